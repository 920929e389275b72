"""What went wrong at Modal, in a sentence that says what to do."""

import os

from modal import exception as modal_errors

from infra.modal_provider.resource import ProviderError

REFUSALS = (modal_errors.PermissionDeniedError, modal_errors.ResourceExhaustedError, modal_errors.UnimplementedError)
"""How Modal answers what a plan or a role doesn't include."""


SENTENCES: dict[type[Exception], str] = {
    modal_errors.AuthError: (
        "Modal doesn't accept the credentials ({text}): set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET to a valid token's "
        "(`modal token new` makes one), and MODAL_SERVER_URL where it isn't Modal itself"
    ),
    modal_errors.ConnectionError: (
        "Modal can't be reached at {server} ({text}): check the network, and that it runs, then deploy again"
    ),
    modal_errors.PermissionDeniedError: (
        "Modal refuses this to the token in use ({text}): it takes a contributor's role in the environment, or the "
        "account's own token"
    ),
    modal_errors.UnimplementedError: "Modal at {server} doesn't offer this ({text})",
    modal_errors.Error: "Modal says: {text}",
}
"""By kind of error, the first that fits."""


def explain(error: Exception) -> str:
    """One line for the engine to show at the resource."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ProviderError):
        return str(error)
    for kind, sentence in SENTENCES.items():
        if isinstance(error, kind):
            return sentence.format(text=text, server=os.environ.get("MODAL_SERVER_URL", "https://api.modal.com"))
    return f"{type(error).__name__}: {text}"


def refusal(error: Exception, what: str, setting: str) -> ProviderError:
    """For a feature that not every plan has: names it, and the key of the stack's configuration that leaves it out."""
    text = " ".join(str(error).split())
    return ProviderError(
        f"Modal refuses {what} ({text}): use the token of one who manages the workspace, or, if the account's plan "
        f"doesn't include this, leave it out with `pulumi config set {setting} false`"
    )
