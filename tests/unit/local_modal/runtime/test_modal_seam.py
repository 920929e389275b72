"""The seams are there in the modal that is pinned, and a modal without one is refused by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from local_modal.runtime import modal_seam


def test_the_pinned_modal_has_every_seam() -> None:
    modal_seam.check()


@pytest.mark.parametrize("seam", modal_seam.SEAMS, ids=lambda seam: f"{seam[0]}.{seam[1]}")
def test_a_missing_seam_is_named(seam: tuple[str, str]) -> None:
    module, path = seam
    program = (
        f"import importlib; from local_modal.runtime import modal_seam\n"
        f"owner = importlib.import_module({module!r})\n"
        f"*way, last = {path!r}.split('.')\n"
        f"for name in way: owner = getattr(owner, name)\n"
        f"delattr(owner, last)\n"
        f"modal_seam.check()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(modal_seam.__file__).parents[2],
    )
    assert done.returncode != 0
    assert f"has no {module}.{path}: local Modal can't run containers with it" in done.stderr
