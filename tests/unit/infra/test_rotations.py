"""Rotations of the local stack's tokens are counted on this machine, those of any other stack in its file."""

from pathlib import Path

import pytest

from infra.rotations import RotationsError, count_rotation, rotations


def test_a_stack_that_was_never_rotated_has_no_count(tmp_path: Path) -> None:
    assert rotations("local", tmp_path / "state") == 0
    assert not (tmp_path / "state").exists()


def test_each_rotation_is_one_more_and_stays(tmp_path: Path) -> None:
    home = tmp_path / "state"
    assert [count_rotation("local", home), count_rotation("local", home)] == [1, 2]
    assert rotations("local", home) == 2
    assert [path.name for path in home.iterdir()] == ["local.rotations"]


def test_nothing_on_this_machine_counts_for_a_shared_stack(tmp_path: Path) -> None:
    (tmp_path / "staging.rotations").write_text("7")
    assert rotations("staging", tmp_path) == 0


@pytest.mark.parametrize("content", [b"", b"many", b"\xff"])
def test_something_else_than_a_count_is_said_so_and_never_a_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "local.rotations").write_bytes(content)
    with pytest.raises(RotationsError, match=r"local\.rotations holds no count.*remove it"):
        rotations("local", tmp_path)
