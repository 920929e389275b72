"""The command line: what it refuses, in a line that says what to do."""

import pytest

from infra.server_images.__main__ import main


def test_without_an_engine_it_ends_with_one_line(no_engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "cpu"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"none answers at {no_engine}" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "cpu", "--arg", "TORCH"], "'TORCH' must be NAME=VALUE"),
        (["build", "tpu"], "invalid choice: 'tpu'"),
        ([], "required: VERB"),
    ],
)
def test_what_it_does_not_understand_is_a_usage_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert said in capsys.readouterr().err


def test_an_argument_that_the_dockerfile_does_not_take_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "cpu", "--arg", "TORCH=cpu"]) == 1
    assert "takes no argument TORCH; it takes" in capsys.readouterr().err
