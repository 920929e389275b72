"""What a fork must do for itself."""

import asyncio
import os
from pathlib import Path

from local_modal.runtime import forked


def test_a_renewed_loop_still_wakes_up_and_leaves_its_old_selector_to_the_parent() -> None:
    loop = asyncio.new_event_loop()
    try:
        shared = os.dup(loop._selector.fileno())  # type: ignore[attr-defined]
        before = Path(f"/proc/self/fdinfo/{shared}").read_text()
        descriptors = forked.renew(loop)
        assert len(descriptors) == 3
        loop.call_later(0, lambda: loop.call_soon_threadsafe(loop.stop))
        loop.run_forever()
        assert "tfd" in before
    finally:
        loop.close()
        os.close(shared)
