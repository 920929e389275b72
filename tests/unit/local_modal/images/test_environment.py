from pathlib import Path

from local_modal.images.environment import Description, binds


def lay(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_copied_files_are_bound_without_hiding_shared_folders(tmp_path: Path) -> None:
    files = lay(tmp_path, "root/pkg/a.py", "root/b.py", "data/x/y", "tmp/z", ".uv/0/r.txt")
    assert binds(files) == {
        "/.uv": files / ".uv",
        "/data": files / "data",
        "/root/b.py": files / "root/b.py",
        "/root/pkg": files / "root/pkg",
    }


def test_a_folder_without_a_whole_description_is_no_image(tmp_path: Path) -> None:
    assert Description.read(tmp_path) is None
    (tmp_path / "image.json").write_text('{"format": 1, "image_id"')
    assert Description.read(tmp_path) is None
    (tmp_path / "image.json").write_text('{"format": 0}')
    assert Description.read(tmp_path) is None
