"""Reads Dockerfile lines, and the small part of the shell language that a replayed RUN line may use.

Lines, continuations, flags, JSON forms, heredocs and variable expansion are BuildKit's, by `e2b_dockerfile_utils`.
Of the shell: words, quotes, variables, `&&`, assignments in front of a command and `$(command -v python)`.
No shell ever runs: anything else is an error that names the line.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from e2b_dockerfile_utils import DockerfileInstruction, ShellLex, parse_dockerfile_ast

from local_modal.images.errors import ImageError

_ESCAPE = "\\"
_PYTHON_PATH = re.compile(r"""(["']?)\$\(\s*(?:command\s+-v|which)\s+(python3?)\s*\)\1""")
_SHELL_TOKEN = re.compile(
    r"""(?P<and>&&)"""
    r"""|(?P<single>'[^']*')"""
    r"""|(?P<double>"(?:\\.|[^"\\])*")"""
    r"""|(?P<escaped>\\.)"""
    r"""|(?P<other>\$\(|\|\||[;&|<>()`\n'"*?\[{~#]|\\$)"""
    r"""|(?P<variable>\$\{[^}]*\}|\$)"""
    r"""|(?P<text>[^'"\\;&|<>()`\n$*?\[{~#]+)""",
    re.DOTALL,
)
_INSIDE_WORD = {"*", "?", "[", "{", "~", "#"}
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One instruction: `name` in capitals, its arguments as written, and `text`, the whole line for messages."""

    name: str
    flags: tuple[str, ...]
    args: tuple[str, ...]
    exec_form: bool
    heredoc: bool
    text: str

    def refuse(self, why: str) -> ImageError:
        """The error that names this line."""
        return ImageError(f"Image line {self.text!r} can't be replayed on this machine: {why}")


@dataclass(frozen=True)
class Command:
    """One command of a RUN line: its words, and the variables assigned in front of it."""

    argv: tuple[str, ...]
    variables: Mapping[str, str]


def parse(lines: Sequence[str]) -> list[Line]:
    """Instructions of `api_pb2.Image.dockerfile_commands`.

    Raises:
        ImageError: they aren't a Dockerfile.
    """
    try:
        tree = parse_dockerfile_ast("\n".join(lines))
    except ValueError as error:
        raise ImageError(f"The image's Dockerfile lines can't be read: {error}") from None
    if tree.escape_token != _ESCAPE:
        raise ImageError("The image's Dockerfile sets another escape character; use the default one, a backslash.")
    return [_line(instruction) for instruction in tree.instructions]


def _line(instruction: DockerfileInstruction) -> Line:
    return Line(
        name=instruction.name,
        flags=tuple(instruction.flags),
        args=tuple(instruction.args),
        exec_form=instruction.json,
        heredoc=bool(instruction.heredocs),
        text=instruction.original.strip(),
    )


def expand(line: Line, word: str, variables: Mapping[str, str]) -> str:
    """`word` without quotes and with its variables replaced, as in ENV, COPY and WORKDIR.

    Raises:
        ImageError: unbalanced quotes or an unknown substitution.
    """
    try:
        return _lexer(variables).process_word(word)
    except ValueError as error:
        raise line.refuse(str(error)) from None


def assignments(line: Line, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that an ENV line sets; each value sees those from before the line, as BuildKit has it."""
    triples = zip(line.args[0::3], line.args[1::3], strict=False)
    return {expand(line, name, variables): expand(line, value, variables) for name, value in triples}


def commands(line: Line, variables: Mapping[str, str], secret_names: frozenset[str]) -> list[Command]:
    """The commands of a RUN line, joined there by `&&`, with `$(command -v python)` as the word `python`.

    Raises:
        ImageError: it needs a shell, or it would put a secret on a command line.
    """
    if line.heredoc:
        raise line.refuse("a here-document needs a shell; write one RUN line per command.")
    if line.exec_form:
        return [Command(tuple(line.args), {})]
    return [_command(line, part, variables, secret_names) for part in _split(line, " ".join(line.args))]


def _split(line: Line, text: str) -> list[str]:
    parts = [""]
    for token in _SHELL_TOKEN.finditer(_PYTHON_PATH.sub(r"\2", text)):
        value = token.group()
        if token.lastgroup == "and":
            parts.append("")
            continue
        needs_shell = token.lastgroup == "other" and not (value in _INSIDE_WORD and _is_literal(parts[-1], value))
        if needs_shell or (token.lastgroup == "double" and ("$(" in value or "`" in value)):
            raise line.refuse(
                f"{value.strip() or 'a line break'!r} needs a shell, and no shell runs here; "
                "only commands joined by '&&' are replayed (quote the character if it is meant literally)."
            )
        parts[-1] += value
    if not all(part.strip() for part in parts):
        raise line.refuse("a command is missing beside '&&'.")
    return parts


def _is_literal(before: str, character: str) -> bool:
    """Whether a shell would leave this unquoted character alone: `package[extra]`, `a==1.*`, `url#egg=x`, `a~=1`."""
    in_word = bool(before) and not before[-1].isspace()
    return in_word and character in {"[", "#", "~", "*"}


def _command(line: Line, text: str, variables: Mapping[str, str], secret_names: frozenset[str]) -> Command:
    shown = {name: value for name, value in variables.items() if name not in secret_names}
    try:
        kept = ShellLex(_ESCAPE, env=shown, skip_unset_env=True).process_words(text)
        words = _lexer(shown).process_words(text)
    except ValueError as error:
        raise line.refuse(str(error)) from None
    for name in sorted(secret_names):
        if kept != words and any(re.search(rf"\$\{{?{re.escape(name)}\b", word) for word in kept):
            raise line.refuse(
                f"${name} is a secret, and command lines are visible to every user of this machine; "
                f"write ${{{name}}} in a requirements file instead, or pass it in a UV_INDEX_… variable."
            )
    assigned: dict[str, str] = {}
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        assigned[match[1]] = match[2]
        words = words[1:]
    if not words:
        raise line.refuse("it sets variables for no command; use ENV.")
    return Command(tuple(words), assigned)


def _lexer(variables: Mapping[str, str]) -> ShellLex:
    return ShellLex(_ESCAPE, env=variables, skip_unset_env=False)
