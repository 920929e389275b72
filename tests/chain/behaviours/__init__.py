"""The table of behaviours of custom Python blocks, by families: each is compared with local execution.

`python -m tests.chain.behaviours` shows the differences as docs/DIFFERENCES.md has them; `--write` writes that page.
"""

from tests.chain.behaviours import code, errors, leaving, machine, results, self_and_state, streams
from tests.chain.behaviours.row import Behaviour

FAMILIES: dict[str, tuple[Behaviour, ...]] = {
    "What a block has of itself": self_and_state.ROWS,
    "How code may look": code.ROWS,
    "What a block returns": results.ROWS,
    "Streams and logs": streams.ROWS,
    "Exceptions": errors.ROWS,
    "The machine": machine.ROWS,
    "Ways of leaving": leaving.ROWS,
}
BEHAVIOURS: tuple[Behaviour, ...] = tuple(row for rows in FAMILIES.values() for row in rows)
