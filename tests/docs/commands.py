"""The blocks of commands in the documentation, and what stands in front of each about how it is tested.

`<!-- run: local -->`: runs on local Modal. `<!-- run: account -->`: needs an account, for which a second local Modal
stands in. `; first: WORDS` names what has to have happened. `<!-- not run: WHY -->`. `<!-- executed… -->`: another
test runs it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]+?) -->\n)?^```sh\n(?P<text>.*?)^```$(?:\n```\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
RUN = re.compile(r"run: (?P<where>local|account)(?:; first: (?P<first>[\w ']+))?")
OTHERS = re.compile(r"not run: \S.+|executed.*")


VARIES = re.compile(r"…|https?://\S+|modal\.com|s3://\S+|~/\S+|\bim-\w+|\b[0-9a-f]{12}\b|\d[\d.]*")


@dataclass(frozen=True)
class Block:
    """Commands that a page shows together."""

    page: Path
    line: int
    marker: str
    text: str
    shown: str
    """What the page says that they print."""

    @property
    def where(self) -> str:
        """`local`, `account`, or nothing where it isn't run."""
        match = RUN.fullmatch(self.marker)
        return match["where"] if match else ""

    @property
    def first(self) -> str:
        """What has to have happened."""
        match = RUN.fullmatch(self.marker)
        return (match["first"] or "") if match else ""

    @property
    def is_marked(self) -> bool:
        return bool(RUN.fullmatch(self.marker) or OTHERS.fullmatch(self.marker))

    def unprinted(self, said: str) -> list[str]:
        """Lines that the page shows and that aren't in `said`; numbers, ids and places may differ, `…` is anything."""
        lines = [line for line in self.shown.splitlines() if line.strip(" …")]
        return [line for line in lines if not re.search(_pattern(line), said)]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _pattern(line: str) -> str:
    parts = (r"\s+".join(map(re.escape, part.split())) for part in VARIES.split(line))
    return ".*".join(parts)


def blocks(page: Path) -> list[Block]:
    """Those of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(
            page, text.count("\n", 0, match.start("text")), match["marker"] or "", match["text"], match["shown"] or ""
        )
        for match in BLOCK.finditer(text)
    ]
