"""Silence as bars of characters: one scale for all turns of a report, so that long waits look long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .. import attributes as attr
from .turns import Turn

__all__ = ["LETTERS", "SHADES", "Scale", "parts"]

#: a character per stage, which tells stages apart without colours
SHADES = dict(zip(attr.SILENCE_STAGES, "░▒╳◆█▚▓▄·", strict=True))
#: where the output has no such characters
LETTERS = dict(zip(attr.SILENCE_STAGES, "rehnltsp.", strict=True))
#: a bar this many times as long as the median's is cut, so that one long wait does not flatten all others
_OUTLIER = 3.0


class Scale:
    """How many seconds a column stands for.

    Attributes:
        columns: width of the longest bar.
        limit: seconds that fill it; longer waits are cut.
    """

    def __init__(self, turns: Iterable[Turn], columns: int) -> None:
        waits = [turn.latency.e2e_latency or 0.0 for turn in turns if turn.silence]
        self.columns = columns
        longest = max(waits, default=0.0)
        self.limit = min(longest, _OUTLIER * median(waits)) or longest if waits else 0.0

    @property
    def seconds(self) -> float:
        """What one column stands for."""
        return self.limit / self.columns

    def cells(self, turn: Turn) -> list[tuple[str, int]]:
        """Stages in the order in which the answer waited for them, and their columns."""
        found: list[tuple[str, int]] = []
        if not turn.path or not self.limit:
            return found
        begin, done = turn.path[0].start_ns, 0
        for segment in turn.path:
            # the ends are rounded, not the lengths: the bar's length is right as a whole
            end = min(self.columns, round((segment.end_ns - begin) / 1e9 / self.limit * self.columns))
            if end > done:
                found.append((segment.stage, end - done))
                done = end
        return found

    def cut(self, turn: Turn) -> bool:
        """Whether the turn's wait is longer than its bar."""
        return (turn.latency.e2e_latency or 0.0) > self.limit


def parts(silence: Mapping[str, float], digits: int = 2) -> Sequence[tuple[str, str]]:
    """The stages that took time, with their seconds."""
    return [(stage, f"{value:.{digits}f}") for stage, value in silence.items() if round(value, digits) > 0]
