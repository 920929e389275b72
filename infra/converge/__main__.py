"""The command line: `python -m infra.converge VERB --stack STACK`."""

import argparse
import os
import sys
from pathlib import Path

from infra.converge.errors import ConvergeError
from infra.converge.stack import Stack

VERBS = {
    "up": "make Modal what the stack's configuration says, whatever an interrupted run left",
    "preview": "show what `up` would change",
    "drift": "compare Modal with the state and the code; exit status 7 when they differ",
    "refresh": "take over into the state what is at Modal",
    "rollback": "make the version before live (--version: another one); the next `up` converges",
    "rotate": "make new tokens for the server; those before stay valid until the next rotation",
    "destroy": "delete what the stack made (--yes: without asking)",
    "pulumi": "run any other Pulumi command with the stack's backend and credentials",
}


def main(arguments: list[str] | None = None) -> int:
    """A user's mistake is one line on stderr, and an exit status that says of which kind it is."""
    options, rest = _parser().parse_known_args(arguments)
    try:
        return _run(Stack(options.stack), options, rest)
    except ConvergeError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m infra.converge", description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb", metavar="VERB")
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text, add_help=name != "pulumi")
        verb.add_argument(
            "--stack", default=os.environ.get("STACK") or "local", help="the stack (default: %(default)s)"
        )
        if name == "up":
            verb.add_argument("--refresh", action="store_true", help="look at what is at Modal first")
            verb.add_argument("--record", type=Path, help="a file to say in what is deployed then")
        if name == "preview":
            verb.add_argument("--diff", action="store_true", help="show each property")
            verb.add_argument("--policies", action="store_true", help="fail on what infra/policies forbids")
        if name == "rollback":
            verb.add_argument("--version", help="the version to make live, such as v3")
        if name == "destroy":
            verb.add_argument("--yes", action="store_true", help="don't ask; for the stack local it is the default")
    return parser


def _run(stack: Stack, options: argparse.Namespace, rest: list[str]) -> int:
    if options.verb == "pulumi":
        return stack.pulumi(rest)
    if rest:
        raise ConvergeError(f"{options.verb} takes no {rest[0]}")
    match options.verb:
        case "up":
            return stack.up(refresh=options.refresh, record=options.record)
        case "preview":
            return stack.preview(diff=options.diff, policies=options.policies)
        case "rollback":
            return stack.rollback(options.version)
        case "destroy":
            return stack.destroy(confirmed=options.yes or stack.is_local)
        case verb:
            run = {
                "drift": stack.drift,
                "refresh": stack.refresh,
                "rotate": stack.rotate,
            }
            return run[verb]()


if __name__ == "__main__":
    sys.exit(main())
