import os
from pathlib import Path

import pytest

from local_modal.images.files import clone, copy, inside, measure, megabytes, merge


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("bin/tool", "lib/module.py", "pyvenv.cfg"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "bin/large").write_bytes(bytes(1 << 20))
    (root / "lib64").symlink_to("lib")
    (root / "bin/python").symlink_to("/nowhere/python")
    return root


def test_a_clone_shares_files_and_keeps_links(tree: Path, tmp_path: Path) -> None:
    clone(tree, tmp_path / "clone")
    assert (tmp_path / "clone/lib/module.py").samefile(tree / "lib/module.py")
    assert os.readlink(tmp_path / "clone/lib64") == "lib"
    assert os.readlink(tmp_path / "clone/bin/python") == "/nowhere/python"


def test_files_that_installers_write_in_place_are_copied(tree: Path, tmp_path: Path) -> None:
    clone(tree, tmp_path / "clone")
    for name in ("bin/tool", "pyvenv.cfg"):
        (tmp_path / "clone" / name).write_text("changed")
        assert (tree / name).read_text() == name
    assert (tmp_path / "clone/bin/large").samefile(tree / "bin/large")


def test_merging_replaces_without_touching_other_links(tree: Path, tmp_path: Path) -> None:
    clone(tree, tmp_path / "clone")
    new = tmp_path / "new"
    (new / "lib/deep").mkdir(parents=True)
    (new / "lib/module.py").write_text("new")
    (new / "lib/deep/file").write_text("more")
    merge(new, tmp_path / "clone")
    assert (tmp_path / "clone/lib/module.py").read_text() == "new"
    assert (tmp_path / "clone/lib/deep/file").read_text() == "more"
    assert (tree / "lib/module.py").read_text() == "lib/module.py"


def test_copies_are_readable_for_all_and_writable_for_their_owner_only(tmp_path: Path) -> None:
    source = tmp_path / "secret"
    source.write_text("x")
    source.chmod(0o600)
    copy(source, tmp_path / "a/copy")
    assert (tmp_path / "a/copy").stat().st_mode & 0o777 == 0o644
    copy(source, tmp_path / "a/program", mode=0o777)
    assert (tmp_path / "a/program").stat().st_mode & 0o777 == 0o755


def test_copying_over_a_shared_file_leaves_the_other_alone(tree: Path, tmp_path: Path) -> None:
    clone(tree, tmp_path / "clone")
    new = tmp_path / "module.py"
    new.write_text("new")
    copy(new, tmp_path / "clone/lib/module.py")
    assert (tree / "lib/module.py").read_text() == "lib/module.py"


@pytest.mark.parametrize(
    ("path", "place"),
    [("/a/b", "a/b"), ("c", "work/c"), ("../../../etc/passwd", "etc/passwd"), ("/../x", "x"), (".", "work")],
)
def test_a_containers_path_stays_inside(tmp_path: Path, path: str, place: str) -> None:
    assert inside(tmp_path, path, "/work") == tmp_path / place


def test_shared_files_count_once_and_not_as_own(tree: Path, tmp_path: Path) -> None:
    alone = measure(tree)
    clone(tree, tmp_path / "clone")
    both = measure(tree, tmp_path / "clone")
    assert alone.total == alone.own
    assert alone.total <= both.total < 2 * alone.total
    assert both.own < alone.own


def test_a_tree_is_made_readable(tree: Path) -> None:
    (tree / "lib/module.py").chmod(0o600)
    (tree / "lib").chmod(0o700)
    measure(tree, make_readable=True)
    assert (tree / "lib/module.py").stat().st_mode & 0o444 == 0o444
    assert (tree / "lib").stat().st_mode & 0o555 == 0o555


def test_sizes_read_well() -> None:
    assert [megabytes(12_345_678), megabytes(1_900_000_000)] == ["12 MB", "1.9 GB"]
