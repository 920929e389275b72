"""What an inference server needs to use a stack, from the stack's outputs: `python -m infra.env_file --stack STACK`.

Printed as `NAME=value` lines without the secrets, written with them to a file of mode 0600, or given to a command.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.converge.errors import ConvergeError
from infra.converge.stack import Stack
from infra.transports import NATIVE, TOKENS, TRANSPORTS, check_transport, server_variables, smoke_variables

PRIVATE = 0o600
TOKEN = "MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"  # noqa: S105 - names, and no token
SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")
"""What every reader of such files takes as it stands; anything else is quoted as for a shell."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status of the command, where there is one."""
    options = _parser().parse_args(arguments)
    try:
        stack, transport = Stack(options.stack), check_transport(options.transport)
        if options.run:
            environment = server_environment(stack, stack.outputs(secrets=True), transport)
            os.execvpe(options.run[0], options.run, environment)  # noqa: S606 - the caller's own command
        if options.file:
            plain, secret = server_variables(stack.outputs(secrets=True), transport, stack.name)
            write(options.file, text(stack.name, plain, secret, transport=transport, form=FORMS[options.format]))
            sys.stdout.write(f"{options.file}: {len(plain) + len(secret)} variables, {len(secret)} of them secret\n")
            return 0
        plain, secret = server_variables(stack.outputs(secrets=options.show_secrets), transport, stack.name)
        shown, form = options.show_secrets, FORMS[options.format]
        sys.stdout.write(text(stack.name, plain, secret, transport=transport, shown=shown, form=form))
    except ConvergeError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    return 0


def server_environment(stack: Stack, outputs: Mapping[str, Any], transport: str = NATIVE) -> dict[str, str]:
    """All variables of a command that is to reach the stack as its server does: nothing of Pulumi's or the deployer's.

    On the native way they also say where the web endpoints are, for the smoke test.

    Raises:
        ConvergeError: what is deployed has no such web endpoint.
    """
    inherited = {name: value for name, value in stack.environ.items() if not name.startswith("PULUMI_")}
    if transport == NATIVE:
        inherited |= smoke_variables(outputs)
    else:  # the deployer's own, which the stack's replace on the native way
        inherited = {name: value for name, value in inherited.items() if not name.startswith("MODAL_")}
    plain, secret = server_variables(outputs, transport, stack.name)
    if "NO_PROXY" in plain:
        before = inherited.get("NO_PROXY") or inherited.get("no_proxy") or ""
        plain["NO_PROXY"] = plain["no_proxy"] = ",".join(filter(None, (before, plain["NO_PROXY"])))
    return {**inherited, **plain, **secret}


def text(
    stack: str,
    plain: Mapping[str, str],
    secret: Mapping[str, str],
    *,
    transport: str = NATIVE,
    shown: bool = True,
    form: Callable[[str], str] | None = None,
) -> str:
    """The file's lines; a secret that isn't shown is a comment. `form` writes a value, `quoted` by default."""
    form = form or quoted
    lines = [f"# inference server → stack {stack}, {transport}, {datetime.now().astimezone():%Y-%m-%d %H:%M}"]
    lines += [f"{name}={form(value)}" for name, value in sorted(plain.items())]
    if shown:
        lines += [f"{name}={form(value)}" for name, value in sorted(secret.items())]
    else:
        lines += [f"# {name}: secret (SHOW_SECRETS=1 prints it, FILE=path writes it)" for name in sorted(secret)]
    if "MODAL_TOKEN_SECRET" not in secret:
        lines.append(f"# The stack has no {TOKENS[transport][1]}: give the server one, {TOKEN}.")
    return "\n".join(lines) + "\n"


def quoted(value: str) -> str:
    """A value as shells, docker compose and systemd read it."""
    return value if SAFE.fullmatch(value) else shlex.quote(value)


def unquoted(value: str) -> str:
    """A value as `docker run --env-file` reads it: the rest of the line, quotes included.

    Raises:
        ConvergeError: it has more than a line.
    """
    if "\n" in value:
        raise ConvergeError("a variable of the server has a line break, which an --env-file of Docker can't hold")
    return value


FORMS = {"shell": quoted, "docker": unquoted}
"""How values are written, by the name of the format."""


def write(path: Path, content: str) -> None:
    """Puts `content` there, whole or not at all, readable by the user only."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(part, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, PRIVATE)) as file:
            file.write(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m infra.env_file", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stack", default=os.environ.get("STACK") or "local", help="the stack (default: %(default)s)")
    parser.add_argument("--transport", default=NATIVE, help="how the server calls: " + ", ".join(TRANSPORTS))
    parser.add_argument("--show-secrets", action="store_true", help="print the secrets too")
    parser.add_argument(
        "--format",
        default="shell",
        choices=FORMS,
        help="for shells, docker compose and systemd, or docker run --env-file",
    )
    parser.add_argument("--file", type=Path, help="write it there, 0600, secrets included")
    parser.add_argument("--run", nargs=argparse.REMAINDER, metavar="COMMAND", help="run a command with the variables")
    return parser


if __name__ == "__main__":
    sys.exit(main())
