"""Text that a container wrote, as it may stand on a terminal and in a log."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    r"""`text` with every control character but newline and tab written out, ESC as `\x1b`: a block can neither move
    the cursor of whoever looks, nor overwrite a line of the server's log."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
