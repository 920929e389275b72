"""Nothing that a block leaves behind is seen by another workspace, or by the next call of its own."""

import threading
import uuid
from typing import Any

from roboflow_workflows.errors import WorkflowError

from modal_app.smoke import server
from modal_app.smoke.runner import CheckFailedError

IMPORTS = ("import builtins", "import pathlib", "import tempfile")
PLACES = """
def folders():
    return {".", tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~")}
"""
MARK = """
def run(self, token, seconds):
    globals["token"] = token
    np.smoke_token = token
    builtins.smoke_token = token
    os.environ["SMOKE_TOKEN"] = token
    marks = ["globals", "modules", "environment"]
    for path in [os.path.join(folder, token) for folder in folders()] + ["/proc/self/comm"]:
        try:
            pathlib.Path(path).write_text(token)
            marks.append(path)
        except OSError:
            pass
    time.sleep(seconds)
    return {"marks": marks}
"""
LOOK = """
def run(self, token):
    seen = []
    if token in (globals.get("token"), getattr(np, "smoke_token", ""), getattr(builtins, "smoke_token", "")):
        seen.append("a variable")
    if token in os.environ.values():
        seen.append("an environment variable")
    for folder in folders():
        for _, folders_there, files in os.walk(folder):
            if token in files:
                seen.append("a file in " + folder)
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    for pid in pids:
        try:
            if token[:15] in pathlib.Path("/proc", pid, "comm").read_text():
                seen.append("a process")
        except OSError:
            pass
    return {"seen": seen, "processes": len(pids)}
"""
HOLD_SECONDS = 1.0


def of_workspaces() -> str:
    """While a block that has left marks everywhere is still running, and afterwards, no other call finds one."""
    token = uuid.uuid4().hex[:15]
    answers: list[Any] = []

    def leave_marks() -> None:
        try:
            answers.append(server.run_block(MARK + PLACES, "smoke-one", IMPORTS, token=token, seconds=HOLD_SECONDS))
        except WorkflowError as error:
            answers.append(error)

    marking = threading.Thread(target=leave_marks, daemon=True)
    marking.start()
    calls = 0
    while marking.is_alive():
        _look(token, "smoke-two", "another workspace")
        calls += 1
    if isinstance(answers[0], WorkflowError):
        raise answers[0]
    _look(token, "smoke-one", "the next call of the workspace")
    _look(token, "smoke-two", "another workspace")
    return f"{len(answers[0]['marks'])} kinds of marks, none seen in {calls + 2} other calls"


def _look(token: str, workspace: str, who: str) -> None:
    seen = server.run_block(LOOK + PLACES, workspace, IMPORTS, token=token)["seen"]
    if seen:
        raise CheckFailedError(f"{who} sees what a block left: {', '.join(seen)}")
