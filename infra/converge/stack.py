"""One stack, and what can be done to it: each verb is as few runs of the Pulumi CLI as it needs."""

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.app_facts import AppFactsError, app_facts
from infra.converge.backend import FileBackend, Holder
from infra.converge.environment import ROOT, backend_folder, stack_environment, state_home
from infra.converge.errors import DRIFT, FAILED, HELD, STACK_NOT_FOUND, ConvergeError
from infra.converge.turn import turn
from infra.credentials import LOCAL_STACK
from infra.rotations import RotationsError, count_rotation
from infra.settings import PROJECT, SettingsError, check_stack_file, stack_path
from infra.stack_file import StackFileError
from infra.toolchain.cli import ToolchainError, pulumi

PR_SET_PDEATHSIG = 1
STACK = "pulumi:pulumi:Stack"
APP = "modal:index:App"
WARM_VARIABLE = "CUSTOM_BLOCKS_WARM_WORKSPACES"
"""Of the app's settings: workspaces for which a container is kept ready."""
KEEPS_SECRETS = re.compile(r"^(encryptionsalt|secretsprovider|encryptedkey):", re.MULTILINE)
"""A stack's file that says how its secrets are encrypted."""


class Stack:
    """A stack of this repository's program.

    Every verb gives the exit status of the command that it comes down to.

    Raises:
        ConvergeError: credentials, backend or CLI are missing, or another deployment holds the stack.
    """

    def __init__(self, name: str, environ: Mapping[str, str] = os.environ) -> None:
        self.name = name
        self.environ = {**stack_environment(name, environ), "PULUMI_STACK": name}
        folder = backend_folder(self.environ)
        self._backend = FileBackend(folder, PROJECT, name) if folder else None

    @property
    def is_local(self) -> bool:
        """Whether it is that of this machine's own Modal."""
        return self.name == LOCAL_STACK

    @cached_property
    def cli(self) -> str:
        """Path of the Pulumi CLI."""
        try:
            return str(pulumi(self.environ))
        except ToolchainError as error:
            raise ConvergeError(str(error)) from None

    def up(self, *, refresh: bool = False, record: Path | None = None) -> int:
        """Makes Modal and the stack's state what the configuration says.

        Args:
            refresh: whether to look at what is at Modal first. For `local` it is done by itself after a reset.
            record: a file that then says what is deployed and what can be done with it, in place of Pulumi's list of
                outputs; it is gone where that isn't known.
        """
        self._check()
        if record:
            record.unlink(missing_ok=True)
        with self._turn("up"):
            before = _app(self._recover())
            another = self.is_local and self._modal_seen() != self.environ["MODAL_TOKEN_ID"]
            options = [*(["--refresh"] if refresh or another else []), *(["--suppress-outputs"] if record else [])]
            status = self._changing("up", "--yes", "--skip-preview", *options)
            if status:
                return status
            if another:
                self._modal_path.write_text(self.environ["MODAL_TOKEN_ID"], "utf-8")
            state = self._state()
            app = _app(state)
            if record:
                record.parent.mkdir(parents=True, exist_ok=True)
                record.write_text(self._account(state), "utf-8")
            return self._warm(app) if app.get("version") != before.get("version") else status

    def preview(self, *, diff: bool = False, policies: bool = False) -> int:
        """Shows what `up` would change; with `diff`, each property; with `policies`, fails on what they forbid."""
        self._check()
        pack = ["--policy-pack", str(ROOT / "infra" / "policies")] if policies else []
        return self._run_or_create("preview", *(["--diff"] if diff else []), *pack)

    def drift(self) -> int:
        """Compares Modal with the state and the code; DRIFT when they differ."""
        self._check()
        status = self._run("preview", "--refresh", "--expect-no-changes", *self._config())
        if status == STACK_NOT_FOUND:
            raise ConvergeError(f"stack {self.name} isn't deployed: make deploy STACK={self.name}", STACK_NOT_FOUND)
        if status == DRIFT:
            _say(
                f"Modal isn't what stack {self.name} says: `make deploy REFRESH=1 STACK={self.name}` makes it so, "
                f"`python -m infra.converge refresh --stack {self.name}` has the state follow Modal"
            )
        return status

    def refresh(self) -> int:
        """Takes over into the state what is at Modal."""
        with self._turn("refresh"):
            self._recover()
            return self._changing("refresh", "--yes", "--skip-preview")

    def destroy(self, *, confirmed: bool) -> int:
        """Deletes what the stack made. Unless it is confirmed, Pulumi asks."""
        with self._turn("destroy"):
            self._recover()
            yes = ["--yes", "--skip-preview"] if confirmed else []
            status = self._run("destroy", *yes, *self._config())
        if status == STACK_NOT_FOUND:
            _say(f"stack {self.name} isn't deployed: nothing to destroy")
            return 0
        return status

    def rollback(self, version: str | None) -> int:
        """Makes the version before (or `version`) live, and the state say so, so that the next `up` converges."""
        with self._turn("rollback"):
            app = _app(self._recover())
            outputs = self.outputs()
            command = ["-m", "modal", "app", "rollback", str(outputs["appId"]), *([version] if version else [])]
            status = self._call([sys.executable, *command, "--env", str(outputs["environment"])])
            if status:
                return status
            _say("the state follows: the next deployment makes live again what the code says")
            status = self._run("refresh", "--yes", "--skip-preview", "--suppress-outputs", *self._config())
            return status or self._warm(app)

    def rotate(self) -> int:
        """Raises the generation of the server's tokens and deploys: new ones are made, those before stay until next."""
        self._check()
        asked = self._ask("config", "get", "rotation")
        generation = int(asked.stdout) if asked.returncode == 0 else 1
        if self.is_local:
            try:
                generation += count_rotation(self.name, state_home(self.environ))
            except RotationsError as error:
                raise ConvergeError(str(error)) from None
            where = "counted beside its state"
        else:
            generation += 1
            changed = self._ask("config", "set", "rotation", str(generation))
            if changed.returncode:
                raise ConvergeError(changed.stderr.strip())
            where = f"now in Pulumi.{self.name}.yaml: commit it"
        _say(f"generation {generation} of the tokens of stack {self.name}'s servers, {where}")
        _say(
            f"should this be interrupted, `make deploy STACK={self.name}` finishes it: "
            "another rotation would end the tokens in use"
        )
        return self.up()

    def version(self) -> int | None:
        """The app's version that is live, as the state says; None before the first deployment."""
        version = _app(self._state()).get("version")
        return None if version is None else int(version)

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs; `[secret]` stands for what is secret, unless `secrets` are asked for."""
        asked = self._ask("stack", "output", "--json", *(["--show-secrets"] if secrets else []))
        if asked.returncode == STACK_NOT_FOUND or (asked.returncode == 0 and "appId" not in asked.stdout):
            raise ConvergeError(f"stack {self.name} isn't deployed: make deploy STACK={self.name}", STACK_NOT_FOUND)
        if asked.returncode:
            raise ConvergeError(f"the outputs of stack {self.name} can't be read: {asked.stderr.strip()}")
        outputs: dict[str, Any] = json.loads(asked.stdout)
        return outputs

    def pulumi(self, arguments: Sequence[str]) -> int:
        """Any other command of the CLI, with the stack's variables."""
        return self._call([self.cli, *arguments])

    @property
    def _modal_path(self) -> Path:
        """Names the local Modal that the state is about: by its token's id, which a reset changes."""
        return state_home(self.environ) / f"{PROJECT}.{self.name}.modal"

    def _modal_seen(self) -> str:
        return self._modal_path.read_text("utf-8") if self._modal_path.exists() else ""

    def _account(self, state: Mapping[str, Any]) -> str:
        """What is deployed, and what one does next."""
        outputs = _resource(state, STACK).get("outputs", {})
        lines = [f"stack {self.name}: {outputs.get('appUrl')}, version {outputs.get('appVersion')}"]
        lines += [f"  {what:<31} {command}" for what, command in sorted(dict(outputs.get("next", {})).items())]
        return "\n".join(lines) + "\n"

    def _warm(self, app: Mapping[str, Any]) -> int:
        """Has Modal keep containers ready for the workspaces of the stack's settings, which each deployment ends."""
        workspaces = app.get("settings", {}).get(WARM_VARIABLE)
        if not workspaces:
            return 0
        environ = {**self.environ, "MODAL_ENVIRONMENT": str(app["environment"])}
        return self._call([sys.executable, "-m", "modal_app.warm", *workspaces.split(",")], environ=environ)

    def _check(self) -> None:
        """Names everything that is wrong in the stack's file; Pulumi would stop at the first."""
        try:
            check_stack_file(stack_path(self.name), self.name, app_facts())
        except (SettingsError, StackFileError, AppFactsError) as error:
            raise ConvergeError(str(error)) from None

    @contextmanager
    def _turn(self, verb: str) -> Iterator[None]:
        folder = self._backend.folder if self._backend else state_home(self.environ)
        with turn(folder / f"{PROJECT}.{self.name}.turn", f"{verb} of stack {self.name}"):
            yield

    def _recover(self) -> dict[str, Any]:
        """Clears what an interrupted run left: its lock, and operations of which nobody knows whether they happened.

        Gives the stack's latest deployment, empty where there is none.
        """
        if self._backend:
            locks = self._backend.locks()
            for lock in locks:
                if lock.holder is Holder.LIVE:
                    raise ConvergeError(f"stack {self.name} is held by {lock}: wait for it, or end it", HELD)
                if lock.holder is Holder.ELSEWHERE:
                    raise ConvergeError(
                        f"stack {self.name} is held by {lock}: look there; if no deployment runs, "
                        f"`python -m infra.converge pulumi --stack {self.name} cancel --yes`",
                        HELD,
                    )
            if locks:
                _say(f"the deployment that held stack {self.name} is gone ({locks[0]}): its lock is cancelled")
                if self._run("cancel", "--yes"):
                    raise ConvergeError(f"the lock of stack {self.name} can't be cancelled")
        state = self._state()
        if state.get("pending_operations"):
            _say("operations were interrupted: comparing the state with Modal")
            if self._run("refresh", "--yes", "--skip-preview", "--clear-pending-creates", *self._config()):
                raise ConvergeError(f"stack {self.name} can't be compared with Modal: see above")
            state = self._state()
        return state

    def _state(self) -> dict[str, Any]:
        if self._backend:
            return self._backend.latest() or {}
        asked = self._ask("stack", "export")  # where it fails, the command that follows says why
        return (json.loads(asked.stdout).get("deployment") or {}) if asked.returncode == 0 else {}

    def _changing(self, *arguments: str) -> int:
        """Runs a command that takes Pulumi's lock; says who has it if that is why it fails."""
        status = self._run_or_create(*arguments)
        if status and self._backend:
            for lock in self._backend.locks():
                if lock.holder is not Holder.DEAD:
                    raise ConvergeError(f"stack {self.name} is held by {lock}: wait for it, or end it", HELD)
        return status

    def _run_or_create(self, *arguments: str) -> int:
        """Runs a command, after making the stack if there is none."""
        exists = self._backend is None or self._backend.latest() is not None
        status = self._run(*arguments, *self._config()) if exists else STACK_NOT_FOUND
        if status != STACK_NOT_FOUND:
            return status
        self._create()
        return self._run(*arguments, *self._config())

    def _create(self) -> None:
        """Makes the stack. How its secrets are encrypted is noted in its file; for `local`, in its state only."""
        with tempfile.TemporaryDirectory() as folder:
            cwd = ROOT
            if self._config():
                cwd = Path(folder)
                (cwd / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n", "utf-8")
            if self._call([self.cli, "stack", "init", self.name, "--no-select"], cwd=cwd):
                raise ConvergeError(f"stack {self.name} can't be made: see above")

    def _config(self) -> list[str]:
        """Names a copy of the stack's file, in which Pulumi may note how it encrypts this machine's state."""
        path = stack_path(self.name)
        if not self.is_local or not path.exists():
            return []
        text = path.read_text("utf-8")
        if KEEPS_SECRETS.search(text):
            return []
        copy = state_home(self.environ) / path.name
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy.write_text(text, "utf-8")
        return ["--config-file", str(copy)]

    def _run(self, *arguments: str) -> int:
        return self._call([self.cli, *arguments, "--stack", self.name])

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.cli, *arguments, "--stack", self.name]
        return subprocess.run(  # noqa: S603 - the Pulumi CLI
            command,
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _call(
        self, command: Sequence[str], *, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> int:
        """Runs a command on this terminal. It ends with this process, however that ends."""
        parent = os.getpid()
        process = subprocess.Popen(  # noqa: S603 - the Pulumi CLI, or Modal's
            command,
            cwd=cwd or ROOT,
            env=environ or self.environ,
            preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509
        )
        with _passing_signals(process):
            status = process.wait()
        return status if status >= 0 else 128 - status


def _app(state: Mapping[str, Any]) -> dict[str, Any]:
    """What the state holds of the app: inputs and outputs in one; empty before the first deployment."""
    resource = _resource(state, APP)
    return {**resource.get("inputs", {}), **resource.get("outputs", {})}


def _resource(state: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next((item for item in state.get("resources", []) if item["type"] == kind), {})
    return found


def _end_with(parent: int) -> None:
    """Tells the kernel to kill this process with its parent (prctl(2)), so that no deployment goes on unseen."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(FAILED)


@contextmanager
def _passing_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A request to end is the command's to carry out: Ctrl-C reaches it from the terminal, others are passed on.

    Raises:
        KeyboardInterrupt: there was one, and the command has ended: nothing is to be started any more.
    """
    asked: list[int] = []

    def handle(number: int, _frame: object) -> None:
        asked.append(number)
        if number != signal.SIGINT:
            process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
