"""The server's packages are those of the settings, and a container's are the server's."""

import importlib.metadata

from roboflow_workflows.errors import WorkflowError

from modal_app.settings import CONTRACT_VERSION, INFERENCE_VERSION, MODAL_VERSION
from modal_app.smoke import server
from modal_app.smoke.runner import CheckFailedError, StackUnusableError

IMPORTS = ("import importlib.metadata", "import platform")
REPORT = """
def run(self):
    versions = {}
    for name in ("modal", "inference-cpu", "inference-gpu", "inference"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return {"versions": versions, "python": platform.python_version()}
"""


def agree() -> str:
    """This process, the container and the settings have one version each of inference and modal, and one contract.

    Another contract version, or another client than the server's side is made for, leaves nothing else to check.
    """
    modal_here = importlib.metadata.version("modal")
    if modal_here != MODAL_VERSION:
        raise StackUnusableError(f"modal {modal_here} is installed here: run `pip install modal=={MODAL_VERSION}`")
    try:
        response = server.answer(REPORT, IMPORTS)
    except WorkflowError as error:
        raise StackUnusableError(error.public_message) from error
    there = dict(response.result["versions"])
    modal_there = there.pop("modal", "none")
    inference = {
        "in this server": server.inference_version(),
        "in the container": next(iter(there.values()), "none"),
        "by the deployed app": response.inference,
        "by these settings": INFERENCE_VERSION,
    }
    if len(set(inference.values())) > 1:
        found = ", ".join(f"{version} {where}" for where, version in inference.items())
        raise CheckFailedError(f"inference is {found}: deploy from this server's version of the project")
    if modal_there != modal_here:
        raise CheckFailedError(f"modal is {modal_here} in this server, {modal_there} in the container")
    return (
        f"inference {INFERENCE_VERSION} and modal {modal_here} on both sides, contract {CONTRACT_VERSION}, "
        f"Python {response.result['python']} in the container"
    )
