"""What COPY lines copy from: the files sent with the image, and the mount of its build context."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from local_modal.images.dockerfile import Line
from local_modal.images.files import inside


class Context:
    """A build context.

    Args:
        folder: an empty directory to lay the sent files out in.
        sent: `api_pb2.Image.context_files`, by name.
        mount: the laid out context mount, where the image has one.
    """

    def __init__(self, folder: Path, sent: Mapping[str, bytes], mount: Path | None) -> None:
        self._roots = [folder, *([mount] if mount else [])]
        for name, data in sent.items():
            path = inside(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def find(self, line: Line, source: str) -> list[Path]:
        """Files and directories that a COPY source names; wildcards as in a Dockerfile.

        Raises:
            ImageError: there are none.
        """
        relative = str(inside(Path("/"), source)).lstrip("/")
        if not relative:
            return self._roots[1:] or self._roots
        exact = [root / relative for root in self._roots if (root / relative).exists()]
        found = exact[:1] or [path for root in self._roots for path in sorted(root.glob(_pattern(relative)))]
        if not found:
            raise line.refuse(f"{source} is not among the files that were sent with the image.")
        return found


def _pattern(relative: str) -> str:
    return str(PurePosixPath(relative)).replace("**", "*")
