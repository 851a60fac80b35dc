"""Bars of characters that show silence. All turns of a report share one scale, so bars can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .. import attributes as attr
from .turns import Turn

__all__ = ["LETTERS", "SHADES", "Scale", "parts"]

#: one character per stage, which distinguishes stages without colours
SHADES = dict(zip(attr.SILENCE_STAGES, "░▒╳◆█▚▓▄·", strict=True))
#: for outputs that cannot encode these characters
LETTERS = dict(zip(attr.SILENCE_STAGES, "rehnltsp.", strict=True))
#: bars longer than this multiple of the median are cut, so that one long wait does not flatten all others
_OUTLIER = 3.0


class Scale:
    """The scale of the bars.

    Attributes:
        columns: width of the longest bar.
        limit: its length in seconds; longer waits are cut.
    """

    def __init__(self, turns: Iterable[Turn], columns: int) -> None:
        waits = [turn.latency.e2e_latency or 0.0 for turn in turns if turn.silence]
        self.columns = columns
        longest = max(waits, default=0.0)
        self.limit = min(longest, _OUTLIER * median(waits)) or longest if waits else 0.0

    @property
    def seconds(self) -> float:
        """Seconds per column."""
        return self.limit / self.columns

    def cells(self, turn: Turn) -> list[tuple[str, int]]:
        """The stages that the answer waited for, in order, each with its number of columns."""
        found: list[tuple[str, int]] = []
        if not turn.path or not self.limit:
            return found
        begin, done = turn.path[0].start_ns, 0
        for segment in turn.path:
            # round the ends, not the lengths, so that the length of the whole bar is right
            end = min(self.columns, round((segment.end_ns - begin) / 1e9 / self.limit * self.columns))
            if end > done:
                found.append((segment.stage, end - done))
                done = end
        return found

    def cut(self, turn: Turn) -> bool:
        """Whether the turn's wait is longer than its bar."""
        return (turn.latency.e2e_latency or 0.0) > self.limit


def parts(silence: Mapping[str, float], digits: int = 2) -> Sequence[tuple[str, str]]:
    """The stages that took time, with their seconds as text."""
    return [(stage, f"{value:.{digits}f}") for stage, value in silence.items() if round(value, digits) > 0]
