"""Keeps the code of blocks by its hash, so that a client needn't send it again; each workspace's own, and bounded.

A hash is checked against the code before that is kept, and is looked up in the caller's workspace only: nobody can put
other code under the hash of somebody's block.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from modal_app.settings import WebSettings


@dataclass(frozen=True)
class Code:
    """A block's code, and what it imports before that."""

    source: str
    imports: tuple[str, ...]

    @property
    def hash(self) -> str:
        """As the client computes it (`_compute_code_hash`): a name for a cache, no protection of anything."""
        text = self.source + "\n" + "\n".join(self.imports)
        return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()

    @property
    def size(self) -> int:
        return len(self.source) + sum(map(len, self.imports))


@dataclass
class _Shelf:
    codes: OrderedDict[str, Code] = field(default_factory=OrderedDict)
    size: int = 0


class CodeStore:
    """The least recently used code goes first, of a workspace, and the least recently used workspace."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()

    def get(self, workspace_id: str, code_hash: str) -> Code | None:
        """The code that this workspace sent with this hash, if it is still kept."""
        shelf = self._shelves.get(workspace_id)
        if shelf is None or code_hash not in shelf.codes:
            return None
        self._shelves.move_to_end(workspace_id)
        shelf.codes.move_to_end(code_hash)
        return shelf.codes[code_hash]

    def put(self, workspace_id: str, code: Code) -> None:
        """Keeps `code` under its own hash, unless it alone is larger than a workspace may have."""
        if code.size > self.settings.code_bytes:
            return
        shelf = self._shelves.setdefault(workspace_id, _Shelf())
        self._shelves.move_to_end(workspace_id)
        if code.hash not in shelf.codes:
            shelf.codes[code.hash] = code
            shelf.size += code.size
        shelf.codes.move_to_end(code.hash)
        while len(shelf.codes) > self.settings.code_entries or shelf.size > self.settings.code_bytes:
            shelf.size -= shelf.codes.popitem(last=False)[1].size
        while len(self._shelves) > self.settings.code_workspaces:
            self._shelves.popitem(last=False)
