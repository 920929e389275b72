"""A stack's file is read as Pulumi reads it, and what in it is encrypted is told from what isn't."""

from pathlib import Path

import pytest

from infra.stack_file import HIDDEN, StackFile, StackFileError, read_stack_file


def read(tmp_path: Path, text: str) -> StackFile:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(text)
    return read_stack_file(path, "app")


def test_values_are_texts_as_pulumi_hands_them_over(tmp_path: Path) -> None:
    file = read(
        tmp_path, "config:\n  app:a: 5\n  app:b: true\n  app:c: [x, y]\n  app:d: {e: f}\n  g: 0.5\n  aws:region: eu\n"
    )
    assert file.values == {"a": "5", "b": "true", "c": '["x", "y"]', "d": '{"e": "f"}', "g": "0.5"}


def test_what_is_encrypted_is_told_from_plain_text(tmp_path: Path) -> None:
    file = read(tmp_path, "config:\n  app:a: {secure: v1:x}\n  app:b: {c: {secure: v1:y}, d: plain}\n  app:e: {f: g}\n")
    assert file.encrypted == {"a", "b"}
    assert file.opaque == {"a"}
    assert file.plain == {"b": ("d",), "e": ("f",)}
    assert file.values["a"] == HIDDEN
    assert "v1:" not in str(file)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "").values == {}


@pytest.mark.parametrize("text", ["config: [", "config: 5", "- a\n- b\n", "\tx"])
def test_a_file_that_is_none_of_pulumis_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(StackFileError, match=r"Pulumi\.x\.yaml isn't a stack's file"):
        read(tmp_path, text)
