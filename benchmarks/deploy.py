"""`python -m benchmarks.deploy`: `make deploy` with nothing to change, beside `pulumi preview` of an empty program."""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.planes import DEPLOY_SECONDS, ROOT, run
from benchmarks.statistics import Times

ROUNDS = 7
BUILD = ROOT / "build"
"""In the tree, which a Pulumi CLI that was built from its Go modules finds its interpreter by."""
GOAL_SECONDS, GOAL_RATIO = 10.0, 2.5
EMPTY_PROJECT = "name: empty\nruntime:\n  name: python\n  options:\n    virtualenv: {venv}\n"


def main() -> int:
    """Deploys once, then times both in turn; exit status 1 if one of them failed."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=BUILD) as folder:
        home = Path(folder)
        variables = {
            "LOCAL_MODAL_HOME": str(home / "modal"),
            "LOCAL_MODAL_PORT": str(_free_port()),
            "XDG_STATE_HOME": str(home / "state"),
            "STACK": "local",
        }
        try:
            run(["make", "deploy"], variables, DEPLOY_SECONDS)
            command, project = _empty_project(home / "empty")
            deploys, previews = [], []
            for _ in range(ROUNDS):
                deploys.append(_milliseconds(["make", "deploy"], variables))
                previews.append(_milliseconds(command, project))
        except RuntimeError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        finally:
            run([sys.executable, "-m", "local_modal", "stop"], variables, DEPLOY_SECONDS)
    deploy, preview = Times.of(deploys), Times.of(previews)
    ratio = deploy.p50 / preview.p50
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"make deploy, nothing to change      {deploy}   {_verdict(deploy.p50 / 1000, GOAL_SECONDS)} s")
    print(f"pulumi preview of an empty program  {preview}")
    print(f"ratio                               {ratio:.1f}   {_verdict(ratio, GOAL_RATIO)}")
    return 0


def _empty_project(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command that previews an empty program, with a backend of its own; and its variables."""
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(EMPTY_PROJECT.format(venv=ROOT / ".venv"))
    (folder / "__main__.py").write_text("")
    cli = run([sys.executable, "-m", "infra.toolchain"], {}, DEPLOY_SECONDS).strip()
    variables = {
        "PULUMI_BACKEND_URL": folder.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "empty",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    run([cli, "--cwd", str(folder), "stack", "init", "empty"], variables, DEPLOY_SECONDS)
    return [cli, "--cwd", str(folder), "preview", "--stack", "empty", "--non-interactive"], variables


def _milliseconds(command: list[str], variables: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    run(command, variables, DEPLOY_SECONDS)
    return 1000 * (time.perf_counter() - begin)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _verdict(value: float, goal: float) -> str:
    return f"goal {goal:g}: {'met' if value <= goal else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main())
