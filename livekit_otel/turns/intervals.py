"""Stretches of time, as pairs of unix nanoseconds: what is left of one when others are taken away."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

__all__ = ["Interval", "by_end", "insert", "merged", "without"]

Interval = tuple[int, int]


def by_end(one: Interval) -> Interval:
    """Key of an order by the end; of stretches that end together, by the start."""
    return one[1], one[0]


def merged(stretches: Iterable[Interval]) -> list[Interval]:
    """The same time as stretches that do not touch, in order."""
    out: list[Interval] = []
    for start, end in sorted(stretches):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        elif end > start:
            out.append((start, end))
    return out


def insert(one: Interval, stretches: list[Interval]) -> None:
    """Add a stretch to :func:`merged` ones, in place; mostly it follows them all."""
    if one[0] < one[1] and (not stretches or one[0] > stretches[-1][1]):
        stretches.append(one)
    else:
        stretches[:] = merged([*stretches, one])


def without(whole: Interval, taken: Sequence[Interval]) -> list[Interval]:
    """The parts of ``whole`` that none of ``taken``, which are :func:`merged`, covers; in order."""
    start, end = whole
    left: list[Interval] = []
    for number in range(bisect_right(taken, start, key=lambda one: one[1]), len(taken)):
        begin, over = taken[number]
        if begin >= end:
            break
        if begin > start:
            left.append((start, begin))
        start = over
    if start < end:
        left.append((start, end))
    return left
