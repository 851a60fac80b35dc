"""The chat history that a journal leads to. Time and memory follow the number of its entries, whatever their order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from .format import Fields, SlotCorrection, slot_of

__all__ = ["History"]

#: an item's id and time
_Mark: TypeAlias = tuple[str, float]


class History:
    """Items in the order of a linked list; those whose place is unknown are placed by their time, once all are there.

    Corrections may come in any order: which slots, then the order, then ties.

    Args:
        gaps: some entries are missing, so that an item without a predecessor need not be the first.
    """

    def __init__(self, *, gaps: bool = False) -> None:
        self._gaps = gaps
        self._items: dict[str, Fields] = {}
        #: id -> id of the item after it; None -> the first one
        self._next: dict[str | None, str | None] = {None: None}
        self._unplaced: list[str] = []
        self._slots = 0
        self._kept: dict[int, set[str]] = {}
        self._order: dict[str, int] | None = None
        self._ties: dict[str, tuple[int, int]] = {}
        self._tie_count = 0

    def insert(self, previous: str | None, item: Fields) -> None:
        """Put an item after the one with this id, or replace the one with its own."""
        item_id = _id(item)
        if item_id not in self._items:
            if previous in self._items or (previous is None and not self._gaps):
                self._next[item_id], self._next[previous] = self._next[previous], item_id
            else:
                self._next[item_id] = None
                self._unplaced.append(item_id)
        self._items[item_id] = item

    def correct(self, item: Fields) -> None:
        """What an item has become, or one that was never inserted."""
        item_id = _id(item)
        if item_id not in self._items:
            self._next[item_id] = None
            self._unplaced.append(item_id)
        self._items[item_id] = item

    def correct_slot(self, entry: SlotCorrection) -> None:
        """All ids that a slot has. Raises ValueError where the number of slots makes no sense."""
        if entry.slots < 1 or (self._slots and entry.slots != self._slots):
            raise ValueError(f"{entry.slots} slots")
        self._slots = entry.slots
        kept = set(entry.ids)
        self._kept[entry.slot] = self._kept[entry.slot] & kept if entry.slot in self._kept else kept

    def correct_order(self, ids: list[str]) -> None:
        """All ids, in order; the last such correction is the one."""
        self._order = {item_id: number for number, item_id in enumerate(ids)}

    def correct_tie(self, ids: list[str]) -> None:
        """The order of items with one time."""
        self._tie_count += 1
        for number, item_id in enumerate(ids):
            self._ties[item_id] = self._tie_count, number

    def items(self) -> list[Fields]:
        """The history."""
        self._place()
        found = [item_id for item_id in self._chain(self._next[None]) if self._is_kept(item_id)]
        order = self._order
        if order is not None:
            found = sorted((item_id for item_id in found if item_id in order), key=order.__getitem__)
        return [self._items[item_id] for item_id in self._untied(found)]

    def _is_kept(self, item_id: str) -> bool:
        kept = self._kept.get(slot_of(item_id, self._slots)) if self._slots else None
        return kept is None or item_id in kept

    def _untied(self, ids: list[str]) -> Iterator[str]:
        """Items of one tie stand together, where the first of them is, in its order."""
        groups: dict[int, list[str]] = {}
        for item_id in ids:
            if item_id in self._ties:
                groups.setdefault(self._ties[item_id][0], []).append(item_id)
        for item_id in ids:
            if item_id not in self._ties:
                yield item_id
            else:
                yield from sorted(groups.pop(self._ties[item_id][0], ()), key=self._ties.__getitem__)

    def _chain(self, first: str | None) -> Iterator[str]:
        while first is not None:
            yield first
            first = self._next[first]

    def _place(self) -> None:
        """Put each unplaced item, and what follows it, after the last item that is not later than it."""
        waiting = [(self._time(first), first) for first in self._unplaced]
        self._unplaced = []
        # on top is what comes first: ids after which no item is earlier or of the same time
        lowest = _lowest(self._marks(self._next[None]), [])
        anchor: str | None = None
        for time, first in sorted(waiting, key=lambda one: one[0]):
            while lowest and lowest[-1][1] <= time:
                anchor = lowest.pop()[0]
            marks = self._marks(first)
            self._next[marks[-1][0]], self._next[anchor] = self._next[anchor], first
            lowest = _lowest(marks, lowest)

    def _marks(self, first: str | None) -> list[_Mark]:
        return [(item_id, self._time(item_id)) for item_id in self._chain(first)]

    def _time(self, item_id: str) -> float:
        created = self._items[item_id].get("created_at")
        return created if isinstance(created, int | float) and math.isfinite(created) else 0.0


def _lowest(marks: Iterable[_Mark], behind: list[_Mark]) -> list[_Mark]:
    """``behind`` with those marks on top that are earlier than all that follows them."""
    for mark in reversed(list(marks)):
        if not behind or mark[1] < behind[-1][1]:
            behind.append(mark)
    return behind


def _id(item: Fields) -> str:
    """Raises KeyError or TypeError where it is no item."""
    item_id = item["id"]
    if not isinstance(item_id, str) or not isinstance(item.get("created_at", 0), int | float | None):
        raise TypeError("the id of an item is a string, its time a number")
    return item_id
