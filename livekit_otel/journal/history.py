"""The chat history that results from a journal. Time and memory are linear in its entries, whatever their order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from .format import Fields, SlotCorrection, slot_of

__all__ = ["History"]

#: an item's id and time
_Mark: TypeAlias = tuple[str, float]
#: maximum number of repeated ids in an order
_MAX_REPEATED = 1_000


class History:
    """Items in the order of a linked list; items of unknown position are placed by time, after all items are added.

    Corrections may arrive in any order. They are applied by kind: slots, then the order, then ties, then places.

    Args:
        gaps: some entries are missing, so an item without a predecessor is not necessarily the first.

    Attributes:
        misplaced: number of corrections whose position holds another item, although no entry is missing.
    """

    def __init__(self, *, gaps: bool = False) -> None:
        self._gaps = gaps
        self._items: dict[str, Fields] = {}
        #: id -> id of the next item; the key None -> the first item
        self._next: dict[str | None, str | None] = {None: None}
        self._unplaced: list[str] = []
        self._slots = 0
        self._kept: dict[int, set[str]] = {}
        self._order: list[str] | None = None
        self._places: dict[int, Fields] = {}
        self.misplaced = 0
        self._ties: dict[str, tuple[int, int]] = {}
        self._tie_count = 0

    def insert(self, previous: str | None, item: Fields) -> None:
        """Insert an item after the item ``previous``, or replace the item of the same id."""
        item_id = _id(item)
        if item_id not in self._items:
            if previous in self._items or (previous is None and not self._gaps):
                self._next[item_id], self._next[previous] = self._next[previous], item_id
            else:
                self._next[item_id] = None
                self._unplaced.append(item_id)
        self._items[item_id] = item

    def correct(self, item: Fields) -> None:
        """Set an item's final state; add the item if it was never inserted."""
        item_id = _id(item)
        if item_id not in self._items:
            self._next[item_id] = None
            self._unplaced.append(item_id)
        self._items[item_id] = item

    def correct_slot(self, entry: SlotCorrection) -> None:
        """Set all ids of a slot. Raises ValueError if the number of slots is invalid."""
        if entry.slots < 1 or (self._slots and entry.slots != self._slots):
            raise ValueError(f"{entry.slots} slots")
        self._slots = entry.slots
        kept = set(entry.ids)
        self._kept[entry.slot] = self._kept[entry.slot] & kept if entry.slot in self._kept else kept

    def correct_order(self, ids: list[str]) -> None:
        """Set all ids in order; the last such correction counts. Raises ValueError if too many ids are repeated."""
        if len(ids) - len(set(ids)) > _MAX_REPEATED:
            raise ValueError(f"more than {_MAX_REPEATED:,} repeated ids")
        self._order = ids

    def correct_tie(self, ids: list[str]) -> None:
        """Set the order of items with the same time."""
        self._tie_count += 1
        for number, item_id in enumerate(ids):
            self._ties[item_id] = self._tie_count, number

    def correct_place(self, place: int, item: Fields) -> None:
        """Set the item at a position of the finished history, if several items have its id."""
        _id(item)
        self._places[place] = item

    def items(self) -> list[Fields]:
        """Return the history."""
        self._place()
        found = [item_id for item_id in self._chain(self._next[None]) if self._is_kept(item_id)]
        if self._order is not None:
            known = set(found)
            found = [item_id for item_id in self._order if item_id in known]
        items = [self._items[item_id] for item_id in self._untied(found)]
        for place, item in self._places.items():
            if 0 <= place < len(items) and items[place]["id"] == item["id"]:
                items[place] = item
            elif not self._gaps:  # where items are missing, places have moved
                self.misplaced += 1
        return items

    def _is_kept(self, item_id: str) -> bool:
        kept = self._kept.get(slot_of(item_id, self._slots)) if self._slots else None
        return kept is None or item_id in kept

    def _untied(self, ids: list[str]) -> Iterator[str]:
        """Yield the items of a tie together, in the tie's order, at the position of the first of them."""
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
        """Insert each unplaced item, and its successors, after the last item that is not later than it."""
        waiting = [(self._time(first), first) for first in self._unplaced]
        self._unplaced = []
        # the top of the stack comes first in the history: ids that no earlier or simultaneous item follows
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
    """Return ``behind`` with the marks on top that are earlier than all marks after them."""
    for mark in reversed(list(marks)):
        if not behind or mark[1] < behind[-1][1]:
            behind.append(mark)
    return behind


def _id(item: Fields) -> str:
    """Return an item's id. Raises KeyError or TypeError if it is not an item."""
    item_id = item["id"]
    if not isinstance(item_id, str) or not isinstance(item.get("created_at", 0), int | float | None):
        raise TypeError("the id of an item is a string, its time a number")
    return item_id
