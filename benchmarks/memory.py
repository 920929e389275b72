"""Memory of a tree of processes: proportional set size, so that what they share counts once."""

import re
from pathlib import Path

PROC = Path("/proc")
MEGABYTE = 1e6


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def megabytes(pid: int) -> float:
    """PSS of the tree, with the page tables that it needs."""
    total = 0
    for each in tree(pid):
        try:
            pss = _kilobytes(PROC / str(each) / "smaps_rollup", "Pss")
            total += pss + _kilobytes(PROC / str(each) / "status", "VmPTE")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return total * 1024 / MEGABYTE


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _kilobytes(path: Path, field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    return int(match[1]) if match else 0
