"""Journal entries played back into events, history, usage and the report's head."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .format import (
    Batch,
    Conversation,
    Counts,
    Emitted,
    Entry,
    EventCorrection,
    Fields,
    Head,
    Item,
    ItemCorrection,
    OrderCorrection,
    PlaceCorrection,
    SlotCorrection,
    TieCorrection,
    Unknown,
    Usage,
    history_form,
    slot_of,
)

__all__ = ["RestoredSession"]

#: What an entry of unexpected shape leads to.
_SENSELESS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
#: LiveKit counts usage by provider and model: a place beyond this is no usage of a session
_MAX_MODELS = 1_000


class RestoredSession:
    """The state that a journal leads to.

    Attributes:
        events, items: as LiveKit's report has them (``items`` is the chat history).
        usage: the last usage state, one dictionary per model, all fields.
        head: the report without events and history; None when no entry had it.
        closed: the head is the final one, as LiveKit's report has it when the session has closed.
        unreadable: entries that made no sense.
        expected_events, expected_items: counts that the session itself recorded when it closed.
    """

    def __init__(self) -> None:
        self.events: list[Fields] = []
        self.items: list[Fields] = []
        self.usage: list[Fields] = []
        self.head: Fields | None = None
        self.closed = False
        self.unreadable = 0
        self.expected_events: int | None = None
        self.expected_items: int | None = None
        self._ids: set[str] = set()
        self._gaps = False
        self._heads = self._number = 0
        #: batches with the last head, and with the final counts
        self._head_in, self._counts_in = -1, -2

    def play(self, batches: Iterable[Iterable[Entry | Unknown]], *, gaps: bool) -> None:
        """Apply all entries. With ``gaps`` some entries are missing, so positions cannot be trusted."""
        self._gaps = gaps
        corrections: list[Entry | Unknown] = []
        for self._number, batch in enumerate(batches):
            for entry in batch:
                play = _ENTRIES.get(type(entry))
                if play is None:
                    corrections.append(entry)
                    continue
                try:
                    play(self, entry)
                except _SENSELESS:
                    self.unreadable += 1
        # the first head is written at the start, the final one with the counts when the session has closed
        self.closed = self._heads > 1 or self._head_in == self._counts_in
        for entry in corrections:
            try:
                _CORRECTIONS[type(entry)](self, entry)
            except _SENSELESS:
                self.unreadable += 1

    def _batch(self, entry: Batch) -> None:
        pass

    def _head(self, entry: Head) -> None:
        self._heads += 1
        self._head_in = self._number
        self.head = entry.head

    def _counts(self, entry: Counts) -> None:
        self.expected_events, self.expected_items = entry.events, entry.items
        self._counts_in = self._number

    # --- events
    def _emitted(self, entry: Emitted) -> None:
        self.events.append(entry.event)

    def _usage(self, entry: Usage) -> None:
        usage = list(self.usage)
        for one in entry.changes:
            number, change = one.number, one.fields
            if not 0 <= number < _MAX_MODELS:
                raise ValueError(f"usage of a model at place {number}")
            # only after a gap is there more than one to add
            usage += [{} for _ in range(number + 1 - len(usage))]
            # a change that names its kind is another model at this place: LiveKit sorts them by kind
            usage[number] = change if "type" in change else {**usage[number], **change}
        self.usage = usage
        entry.event["usage"] = {"model_usage": [one for one in usage if one]}
        self.events.append(entry.event)

    def _conversation(self, entry: Conversation) -> None:
        self._insert(entry.previous, history_form(entry.event["item"]))
        self.events.append(entry.event)

    def _correct_event(self, entry: EventCorrection) -> None:
        if not self._gaps:
            self.events[entry.number] = entry.event
            return
        # positions have moved: the event that was emitted at the same time is the one
        for at, one in enumerate(self.events):
            if one.get("created_at") == entry.event["created_at"] and one.get("type") == entry.event["type"]:
                self.events[at] = entry.event
                return

    # --- history
    def _item(self, entry: Item) -> None:
        self._insert(entry.previous, entry.item)

    def _insert(self, previous: str | None, item: Fields) -> None:
        items = self.items
        if item["id"] in self._ids:
            self._replace(item)
        elif items and items[-1]["id"] == previous:
            items.append(item)
        elif previous is None and not self._gaps:
            items.insert(0, item)
        else:
            at = next((n for n in reversed(range(len(items))) if items[n]["id"] == previous), None)
            items.insert(self._by_time(item) if at is None else at + 1, item)
        self._ids.add(item["id"])

    def _by_time(self, item: Fields) -> int:
        at = len(self.items)
        while at and self.items[at - 1].get("created_at", 0) > item.get("created_at", 0):
            at -= 1
        return at

    def _replace(self, item: Fields) -> None:
        at = next(n for n in reversed(range(len(self.items))) if self.items[n]["id"] == item["id"])
        self.items[at] = item

    def _correct_item(self, entry: ItemCorrection) -> None:
        item = entry.item
        if item["id"] in self._ids:
            self._replace(item)
        else:
            self.items.insert(self._by_time(item), item)
            self._ids.add(item["id"])

    def _correct_slot(self, entry: SlotCorrection) -> None:
        kept = set(entry.ids)
        self._keep([i for i in self.items if i["id"] in kept or slot_of(i["id"], entry.slots) != entry.slot])

    def _correct_order(self, entry: OrderCorrection) -> None:
        items = {item["id"]: item for item in self.items}
        self._keep([items[item_id] for item_id in entry.ids if item_id in items])

    def _correct_tie(self, entry: TieCorrection) -> None:
        place = {item_id: number for number, item_id in enumerate(entry.ids)}
        tied = [(at, item) for at, item in enumerate(self.items) if item["id"] in place]
        if tied:
            ordered = sorted((item for _, item in tied), key=lambda item: place[item["id"]])
            first = tied[0][0]
            rest = [item for item in self.items[first:] if item["id"] not in place]
            self._keep([*self.items[:first], *ordered, *rest])

    def _correct_place(self, entry: PlaceCorrection) -> None:
        # where items are missing, places have moved
        if self.items[entry.place]["id"] == entry.item["id"]:
            self.items[entry.place] = entry.item
        elif not self._gaps:
            raise ValueError(f"another item at place {entry.place}")

    def _keep(self, items: list[Fields]) -> None:
        self.items[:] = items
        self._ids = {item["id"] for item in items}


_ENTRIES: dict[type, Callable[[RestoredSession, Any], None]] = {
    Batch: RestoredSession._batch,
    Head: RestoredSession._head,
    Emitted: RestoredSession._emitted,
    Usage: RestoredSession._usage,
    Conversation: RestoredSession._conversation,
    Item: RestoredSession._item,
    Counts: RestoredSession._counts,
}
_CORRECTIONS: dict[type, Callable[[RestoredSession, Any], None]] = {
    EventCorrection: RestoredSession._correct_event,
    ItemCorrection: RestoredSession._correct_item,
    SlotCorrection: RestoredSession._correct_slot,
    OrderCorrection: RestoredSession._correct_order,
    TieCorrection: RestoredSession._correct_tie,
    PlaceCorrection: RestoredSession._correct_place,
}
