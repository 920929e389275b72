"""Times, and what is said about them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Durations of one thing, in milliseconds."""

    milliseconds: tuple[float, ...]

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Times":
        """From measured values, at least one."""
        return cls(tuple(sorted(milliseconds)))

    def percentile(self, percent: float) -> float:
        """The smallest value that `percent` of all don't exceed."""
        index = max(0, -(-len(self.milliseconds) * percent // 100) - 1)
        return self.milliseconds[int(index)]

    @property
    def p50(self) -> float:
        return statistics.median(self.milliseconds)

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:8.1f}   p90 {self.percentile(90):8.1f}   p99 {self.percentile(99):8.1f}   "
            f"min {self.milliseconds[0]:8.1f} ms   n {len(self.milliseconds)}"
        )
