"""Tables that fit into a terminal of 80 columns, however long their names and ids are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from ..report.one_line import one_line

__all__ = ["WIDTH", "Column", "short_ids", "table", "widths"]

WIDTH = 80
_NARROWEST = 8


@dataclass(frozen=True)
class Column:
    """A heading and its cells. ``right`` aligns figures. ``shrinks`` allows cutting cells, marked with ``…``."""

    head: str
    cells: Sequence[str]
    right: bool = False
    shrinks: bool = False

    @property
    def width(self) -> int:
        """The length of its longest cell or heading."""
        return max(map(len, (self.head, *self.cells)))


def widths(columns: Sequence[Column], width: int = WIDTH) -> list[int]:
    """Column widths that fit into ``width``, as far as the columns that may shrink allow it."""
    found = [column.width for column in columns]
    over = sum(found) + 2 * (len(found) - 1) - width
    for number, column in enumerate(columns):
        if column.shrinks and over > 0:
            smaller = max(_NARROWEST, found[number] - over)
            over -= found[number] - smaller
            found[number] = min(found[number], smaller)
    return found


def table(columns: Sequence[Column], width: int = WIDTH) -> str:
    """The lines of the table, as one text."""
    wide = widths(columns, width)
    rows = zip(*((column.head, *column.cells) for column in columns), strict=True)
    lines = []
    for row in rows:
        cells = []
        for column, cell, size in zip(columns, row, wide, strict=True):
            short = cell if len(cell) <= size else f"{cell[: size - 1]}…"
            cells.append(short.rjust(size) if column.right else short.ljust(size))
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def short_ids(ids: set[str]) -> dict[str, str]:
    """The shortest prefixes that still distinguish the ids, by id."""
    shared = max((_shared(*pair) for pair in pairwise(sorted(ids))), default=0)
    length = 8 + 4 * max(0, -(-(shared - 7) // 4))
    return {one: one_line(one[:length]) for one in ids}


def _shared(one: str, other: str) -> int:
    """Length of the common prefix of two texts."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
