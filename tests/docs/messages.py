"""Finds the errors that a user of this project can see, in its source: each as a template, `…` for what varies.

By name of what makes an error: `SHOWN` says which argument is the text, and what is put before it. An exception that is
raised anywhere and is in neither `SHOWN` nor `WITHIN` is one that nobody has thought about (`unknown`).
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("modal_app", "local_modal", "infra")
SCRIPTS = ("Makefile", ".ci/*", "docker/*.sh", "requirements/*.sh")
ANY = "…"
LEAST = 7
"""Characters of its own that a message has: with fewer it is only what another one stands behind."""
PROBLEMS = ("_conflicts", "_missing_backend")
"""How the names of functions end that give problems as texts."""
Names = Mapping[str, Sequence[ast.expr]]


@dataclass(frozen=True)
class Shown:
    """Which argument of a call is the text: its position, or a keyword; and what stands before it when it is shown."""

    position: int = 0
    keyword: str = "public_message"
    before: str = ""


REFUSED_LINE = Shown(before="Image line … can't be replayed on this machine: ")
REFUSED_ANSWER = Shown(before="The answer from the sandbox of `…` was refused: …")
OF_A_RESULT = Shown(before="…result… ")
SHOWN: Mapping[str, Shown] = {
    **dict.fromkeys(
        (
            *("AppFactsError", "CheckFailedError", "ConvergeError", "CredentialsError", "DynamicBlockError"),
            *("DynamicBlockCodeError", "ImageError", "IsolationError", "LocalModalError", "Partial", "ProviderError"),
            *("RotationsError", "SettingsError", "StackFileError", "StackUnusableError", "ToolchainError"),
            *("PluginLoadingError", "ContainerStartException", "UsageError", "NotAudited", "PermissionError"),
            *("refusal", "conflict", "invalid", "not_found", "exit", "__init__"),
        ),
        Shown(),
    ),
    "_error": Shown(1),
    "Problem": Shown(1),
    "busy": Shown(before="ServerBusy: "),
    "bad_request": Shown(before="InvalidRequest: "),
    "GRPCError": Shown(1),
    "RefusedError": Shown(1),
    "Finding": Shown(2),
    "refuse": REFUSED_LINE,
    "ReplayRefusedError": REFUSED_LINE,
    "ContractError": REFUSED_ANSWER,
    "RefusedOutputError": REFUSED_ANSWER,
    "decoder.error": REFUSED_ANSWER,
    "encoder.error": OF_A_RESULT,
}
"""An attribute's name, or with the name that it is taken from."""

WITHIN: Mapping[str, str] = {
    "HangUp": "ends a connection with a close code, after the problem that it has",
    "ItemProblem": "told as `the result in the answer …`",
    "_explained": "told with what Modal's client says, by the kind of problem",
    "_too_large": "makes a RefusedError",
    "failure": "makes a RefusedError",
    "_malformed": "told as `the workspace id is malformed`",
    "NameError": "told as the block's own failure",
    "WebSocketDisconnect": "told to nobody: the client has left",
    "ValueError": "told as the setting, parameter or line that has the value",
    "WrongValue": "told in the SettingsError of its stack",
    "TypeError": "a mistake of ours",
    "AssertionError": "a mistake of ours",
    "AttributeError": "a mistake of ours",
    "RuntimeError": "ends a container's start: its text stands behind `can't start`",
    "OSError": "told by who catches it",
    "FileNotFoundError": "told by who catches it",
    "ConnectionError": "told as `can't be reached`",
    "ConnectionResetError": "ends a request whose client takes nothing",
    "ConnectionRefusedError": "told to a block that asks for a second connection",
    "InterruptedError": "told to nobody: the process ends",
    "TimeoutError": "told by who catches it",
    "CallDeadlineError": "told as `can't be reached` or `gave no answer`",
    "OutputTooLargeError": "told as ResultTooLarge",
    "ContractVersionError": "told with what to deploy",
    "CommandFailedError": "told as the image line that failed",
    "ForgedResultError": "told as `was lost`, and in local Modal's log",
    "PayloadError": "told as ForgedResultError",
    "BrokenAnswerError": "told as `the endpoint's answer was none`, and in local Modal's log",
    "StartError": "told as `can't start`",
    "ZygoteFailed": "told as `can't start`",
    "RunError": "told by Pulumi, with the text of a SettingsError",
    "ArgumentTypeError": "told by argparse with the option",
    "call_error": "makes one of the `_error` above",
    "code_error": "is the block's own error",
    "HTTPBadRequest": "told to who asks the port by hand",
    "HTTPNotFound": "told to who asks the port by hand",
    "NoSuchExampleError": "told with the list of those that there are",
    "error": "of an encoder or a decoder",
}
"""Exceptions that reach a user as part of another one, or not at all."""


@dataclass(frozen=True, order=True)
class Message:
    """An error's text, and where it is made."""

    template: str
    where: str


@cache
def messages() -> tuple[Message, ...]:
    """Every error that a user can see, with some text of its own."""
    found = {*_of_python(), *_of_scripts()}
    return tuple(sorted(message for message in found if len(own_words(message.template)) >= LEAST))


def own_words(template: str) -> str:
    """What doesn't vary; nothing for what is no sentence, such as a name."""
    return template.replace(ANY, "").strip(" .:;()=") if " " in template else ""


def unknown() -> list[str]:
    """Raised exceptions that neither `SHOWN` nor `WITHIN` names."""
    raised = {
        (_name(node.exc.func)[1], str(path.relative_to(ROOT)))
        for path in _files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    return sorted(f"{name} in {path}" for name, path in raised if name not in SHOWN and name not in WITHIN)


def _files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _of_python() -> Iterator[Message]:
    for path in _files():
        tree = ast.parse(path.read_text("utf-8"))
        constants = _assigned(tree.body)
        scopes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        decoding = {
            id(node) for scope in tree.body if getattr(scope, "name", "") == "Decoder" for node in ast.walk(scope)
        }
        seen: set[int] = set()
        for scope in [*reversed(scopes), tree]:  # the innermost function knows a call's names best
            names = {**constants, **_assigned(list(ast.walk(scope)))} if scope is not tree else constants
            for node in ast.walk(scope):
                if id(node) not in seen:
                    seen.add(id(node))
                    where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                    yield from (Message(text, where) for text in _told(node, names, decoding=id(node) in decoding))
            if getattr(scope, "name", "").endswith(PROBLEMS):
                yield from _yielded(scope, names, path)


def _told(node: ast.AST, names: Names, *, decoding: bool) -> Iterator[str]:
    """The templates of the errors that `node` makes."""
    if isinstance(node, ast.Call):
        owner, name = _name(node.func)
        shown = SHOWN.get(f"{owner}.{name}") or SHOWN.get(name)
        if name == "Finding" and not (isinstance(node.args[1], ast.Constant) and node.args[1].value is False):
            return
        if name == "error" and owner == "self":
            shown = REFUSED_ANSWER if decoding else OF_A_RESULT
        if name == "append" and owner in ("problems", "errors"):
            shown = Shown()
        if name == "write" and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "sys.stderr":
            shown = Shown()
        if shown is not None:
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            text = given.get(shown.keyword) or (node.args[shown.position] if len(node.args) > shown.position else None)
            if text is not None:
                yield _tidy(shown.before + _template(text, names))
    elif isinstance(node, ast.Dict):
        for value in node.values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and "{text}" in value.value:
                yield _tidy(re.sub(r"\{\w+\}", ANY, value.value))


def _yielded(scope: ast.AST, names: Names, path: Path) -> Iterator[Message]:
    """The problems that a generator of them gives."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Yield | ast.Return) and isinstance(node.value, ast.JoinedStr | ast.Constant):
            yield Message(_tidy(_template(node.value, names)), f"{path.relative_to(ROOT)}:{node.lineno}")


def _assigned(nodes: Iterable[ast.AST]) -> Names:
    """Texts by the names that they are given, in the order of their lines."""
    values: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
    return {name: sorted(given, key=lambda value: value.lineno) for name, given in values.items()}


def _template(node: ast.expr, names: Names) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_template(value, names) for value in values)
        case ast.FormattedValue(value=value):
            return _template(value, names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _template(left, names) + _template(right, names)
        case ast.Name(id=name, lineno=line) if name in names:
            before = [value for value in names[name] if value.lineno < line] or names[name]
            return _template(before[-1], {other: value for other, value in names.items() if other != name})
        case _:
            return ANY


def _name(function: ast.expr) -> tuple[str, str]:
    """What a call's function is taken from, and its name."""
    match function:
        case ast.Name(id=name):
            return "", name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return owner, name
        case ast.Attribute(attr=name):
            return "", name
    return "", ""


def _of_scripts() -> Iterator[Message]:
    for path in (path for pattern in SCRIPTS for path in sorted(ROOT.glob(pattern)) if path.is_file()):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            plain = line if path.name == "Makefile" else re.sub(r"\$\([^()]*\)", ANY, line)
            for text in re.findall(r'\bfail "([^"]+)"|\becho "([^"]+)" >&2|\$\(error (.+)\)$', plain):
                template = re.sub(r"\$\([^)]*\)|\$\{?[\w#*@]+\}?", ANY, "".join(text))
                yield Message(_tidy(template), f"{path.relative_to(ROOT)}:{number}")


def _tidy(text: str) -> str:
    return re.sub(f"{ANY}(?:{ANY})+", ANY, " ".join(text.split()))
