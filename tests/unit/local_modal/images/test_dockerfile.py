import pytest

from local_modal.images.dockerfile import Line, assignments, commands, expand, parse
from local_modal.images.errors import ImageError

UV_LINE = (
    "RUN /.uv/uv pip install --python $(command -v python) --compile-bytecode --index-url 'https://x/y?z=1' 'idna<3'"
)


def one(text: str) -> Line:
    (line,) = parse([text])
    return line


def words(text: str, **variables: str) -> list[tuple[str, ...]]:
    return [command.argv for command in commands(one(text), variables, frozenset())]


def test_lines_that_continue_are_one_instruction_and_comments_within_are_left_out() -> None:
    (line,) = parse(["RUN pip install \\", "  # why", "  six \\", "  idna"])
    assert words(line.text) == [("pip", "install", "six", "idna")]


def test_the_clients_uv_line_becomes_its_words() -> None:
    (argv,) = words(UV_LINE)
    assert argv == (
        *("/.uv/uv", "pip", "install", "--python", "python", "--compile-bytecode"),
        *("--index-url", "https://x/y?z=1", "idna<3"),
    )


def test_commands_joined_by_and_are_several() -> None:
    assert words("RUN pip install six&&pip install 'a&&b'") == [("pip", "install", "six"), ("pip", "install", "a&&b")]


def test_the_exec_form_is_taken_literally() -> None:
    assert words('RUN ["pip", "install", "$X; y"]', X="no") == [("pip", "install", "$X; y")]


def test_flags_of_run_are_not_part_of_the_command() -> None:
    line = one("RUN --mount=type=cache,target=/root/.cache uv pip install six")
    assert line.flags == ("--mount=type=cache,target=/root/.cache",)
    assert words(line.text) == [("uv", "pip", "install", "six")]


def test_extras_versions_with_stars_and_url_fragments_need_no_quotes() -> None:
    assert words("RUN pip install a[b] c==1.* git+https://h/x#egg=x d~=1.2") == [
        ("pip", "install", "a[b]", "c==1.*", "git+https://h/x#egg=x", "d~=1.2")
    ]


def test_variables_are_replaced_where_a_shell_would() -> None:
    assert words("RUN pip install six==$V \"idna==${V}\" '$V' ${NONE:-x}", V="1") == [
        ("pip", "install", "six==1", "idna==1", "$V", "x")
    ]


def test_assignments_before_a_command_are_its_variables() -> None:
    (command,) = commands(one("RUN UV_TORCH_BACKEND=cpu A='b c' pip install six"), {}, frozenset())
    assert command.argv == ("pip", "install", "six")
    assert command.variables == {"UV_TORCH_BACKEND": "cpu", "A": "b c"}


@pytest.mark.parametrize(
    "text",
    [
        "RUN pip install six | tee log",
        "RUN pip install six; rm -rf /",
        "RUN pip install six || true",
        "RUN pip install $(cat requirements.txt)",
        "RUN pip install `cat requirements.txt`",
        'RUN pip install "$(cat requirements.txt)"',
        "RUN pip install six > log",
        "RUN pip install a<3",
        "RUN (pip install six)",
        "RUN pip install six &",
        "RUN pip install ?ix",
        "RUN pip install ~/six",
        "RUN pip install {a,b}",
        "RUN pip install 'six",
        "RUN pip install six # why",
        "RUN pip install six &&",
    ],
)
def test_what_needs_a_shell_is_refused_with_the_line(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        words(text)
    assert repr(text) in str(caught.value)


def test_a_here_document_is_refused() -> None:
    (line,) = parse(["RUN <<EOF", "pip install six", "EOF"])
    with pytest.raises(ImageError, match="here-document"):
        commands(line, {}, frozenset())


def test_a_secret_does_not_get_onto_a_command_line() -> None:
    line = one("RUN pip install --index-url https://u:$TOKEN@host/simple six")
    with pytest.raises(ImageError, match="TOKEN is a secret") as caught:
        commands(line, {"TOKEN": "s3cr3t"}, frozenset({"TOKEN"}))
    assert "s3cr3t" not in str(caught.value)


def test_env_lines_in_every_form() -> None:
    assert assignments(one("ENV A='b c' D='it'\"'\"'s' E='a\"b\\c$X' F=\"x$X\" G=${N:-z}"), {"X": "1"}) == {
        "A": "b c",
        "D": "it's",
        "E": 'a"b\\c$X',
        "F": "x1",
        "G": "z",
    }
    assert assignments(one("ENV K one two"), {}) == {"K": "one two"}


def test_values_of_one_env_line_do_not_see_each_other() -> None:
    assert assignments(one("ENV A=new B=$A"), {"A": "old"}) == {"A": "new", "B": "old"}


def test_a_quoted_path_is_expanded_whole() -> None:
    line = one("WORKDIR '/a b'/$X")
    assert expand(line, " ".join(line.args), {"X": "c"}) == "/a b/c"


@pytest.mark.parametrize("lines", [["FLY away"], ["ENV A"], ["RUN <<EOF", "x"], ["# escape=`", "FROM base"]])
def test_lines_that_are_no_dockerfile_are_an_image_error(lines: list[str]) -> None:
    with pytest.raises(ImageError):
        parse(lines)
