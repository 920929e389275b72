"""A container's packages are those of the settings, and so are the server's, as far as this process stands for it."""

import importlib.metadata
from collections.abc import Mapping

from roboflow_workflows.errors import WorkflowError

from modal_app.server import configuration
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

    Settings may pin another inference than the project does, for servers that run it: then the containers must have
    that one, and this process, which has the project's packages, may have another, unless the server is to be strict.
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
    pinned, here = configuration.APP.inference_version, server.inference_version()
    inference = {
        "in the container": next(iter(there.values()), "none"),
        "by the deployed app": response.inference,
        "by these settings": pinned,
    }
    if pinned == INFERENCE_VERSION or configuration.SERVER.strict_version:
        inference = {"in this server": here, **inference}
    if problem := disagreement(inference):
        raise CheckFailedError(problem)
    if modal_there != modal_here:
        raise CheckFailedError(f"modal is {modal_here} in this server, {modal_there} in the container")
    both = f"inference {pinned} and modal {modal_here} on both sides"
    if here != pinned:
        both = f"inference {pinned} as pinned, {here} in this process, modal {modal_here} on both sides"
    return f"{both}, contract {CONTRACT_VERSION}, Python {response.result['python']} in the container"


def disagreement(versions: Mapping[str, str]) -> str:
    """What is wrong with these, each named by where it was found; empty where all are the same."""
    if len(set(versions.values())) == 1:
        return ""
    found = ", ".join(f"{version} {where}" for where, version in versions.items())
    return f"inference is {found}: deploy with these settings, from this server's version of the project"
