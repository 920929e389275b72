from pathlib import Path

import pytest

from local_modal.images.context import Context
from local_modal.images.dockerfile import parse
from local_modal.images.errors import ImageError

(LINE,) = parse(["COPY x /y"])


@pytest.fixture
def context(tmp_path: Path) -> Context:
    mount = tmp_path / "mount"
    (mount / "data").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "data/c.txt"):
        (mount / name).write_text(name)
    (tmp_path / "sent").mkdir()
    return Context(tmp_path / "sent", {"/.requirements.txt": b"six"}, mount)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("/.requirements.txt", [".requirements.txt"]),
        ("a.txt", ["a.txt"]),
        ("/a.txt", ["a.txt"]),
        ("*.txt", [".requirements.txt", "a.txt", "b.txt"]),
        ("data", ["data"]),
        (".", ["mount"]),
    ],
)
def test_sources_are_found(context: Context, source: str, names: list[str]) -> None:
    assert [path.name for path in context.find(LINE, source)] == names


@pytest.mark.parametrize("source", ["none.txt", "../../../../etc/passwd", "*.md"])
def test_what_was_not_sent_is_refused(context: Context, source: str) -> None:
    with pytest.raises(ImageError, match="not among the files"):
        context.find(LINE, source)
