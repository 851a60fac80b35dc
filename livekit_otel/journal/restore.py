"""Journal entries played back into events, history, usage and the report's head."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

from .reader import Entry

__all__ = ["RestoredSession"]

Dict = dict[str, Any]

#: What an entry of unexpected shape leads to.
_SENSELESS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_BINARY_PARTS = ("image_content", "audio_content")


class RestoredSession:
    """The state that a journal tells of.

    Attributes:
        events, items: as LiveKit's report has them (``items`` is the chat history).
        usage: the last usage state, one dictionary per model, all fields.
        head: the report without events and history; None when no entry had it.
        closed: the final part of the journal is there.
        unreadable: entries that made no sense.
        expected_events, expected_items: counts that the session itself recorded when it closed.
    """

    def __init__(self) -> None:
        self.events: list[Dict] = []
        self.items: list[Dict] = []
        self.usage: list[Dict] = []
        self.head: Dict | None = None
        self.closed = False
        self.unreadable = 0
        self.expected_events: int | None = None
        self.expected_items: int | None = None
        self._ids: set[str] = set()
        self._gaps = False

    def play(self, batches: Iterable[list[Entry]], *, gaps: bool) -> None:
        """Apply all entries. With ``gaps`` some entries are missing, so positions cannot be trusted."""
        self._gaps = gaps
        corrections: list[Entry] = []
        for batch in batches:
            for entry in batch:
                try:
                    kind = entry[0]
                    if kind in _CORRECTIONS:
                        corrections.append(entry)
                    else:
                        _ENTRIES[kind](self, *entry[1:])
                except _SENSELESS:
                    self.unreadable += 1
        for entry in corrections:
            try:
                _CORRECTIONS[entry[0]](self, *entry[1:])
            except _SENSELESS:
                self.unreadable += 1

    def _nothing(self, *_: Any) -> None:
        pass

    def _head(self, head: Dict) -> None:
        # the first head is written at the start, the second when the session has closed
        self.closed = self.closed or self.head is not None
        self.head = _dictionary(head)

    def _counts(self, events: int, items: int) -> None:
        self.expected_events, self.expected_items = int(events), int(items)
        self.closed = True

    # --- events
    def _emitted(self, event: Dict) -> None:
        self.events.append(_dictionary(event))

    def _usage(self, event: Dict, changes: list[list[Any]]) -> None:
        usage = list(self.usage)
        for number, change in changes:
            # only after a gap is there more than one to add
            usage += [{} for _ in range(number + 1 - len(usage))]
            # a change that names its kind is another model at this place: LiveKit sorts them by kind
            usage[number] = change if "type" in change else {**usage[number], **change}
        self.usage = usage
        event["usage"] = {"model_usage": [one for one in usage if one]}
        self.events.append(event)

    def _conversation(self, previous: str | None, event: Dict) -> None:
        item = _history_form(event["item"])
        self._insert(previous, item)
        self.events.append(event)

    def _event(self, number: int, event: Dict) -> None:
        if not self._gaps:
            self.events[number] = _dictionary(event)
            return
        # positions have moved: the event that was emitted at the same time is the one
        for at, one in enumerate(self.events):
            if one.get("created_at") == event["created_at"] and one.get("type") == event["type"]:
                self.events[at] = event
                return

    # --- history
    def _insert(self, previous: str | None, item: Dict) -> None:
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

    def _by_time(self, item: Dict) -> int:
        at = len(self.items)
        while at and self.items[at - 1].get("created_at", 0) > item.get("created_at", 0):
            at -= 1
        return at

    def _replace(self, item: Dict) -> None:
        at = next(n for n in reversed(range(len(self.items))) if self.items[n]["id"] == item["id"])
        self.items[at] = item

    def _item(self, item: Dict) -> None:
        if item["id"] in self._ids:
            self._replace(item)
        else:
            self.items.insert(self._by_time(item), item)
            self._ids.add(item["id"])

    def _bucket(self, bucket: int, buckets: int, ids: list[str]) -> None:
        kept = set(ids)
        self._keep([i for i in self.items if i["id"] in kept or _bucket_of(i["id"], buckets) != bucket])

    def _order(self, ids: list[str]) -> None:
        place = {item_id: number for number, item_id in enumerate(ids)}
        self._keep(sorted((item for item in self.items if item["id"] in place), key=lambda item: place[item["id"]]))

    def _tie(self, ids: list[str]) -> None:
        place = {item_id: number for number, item_id in enumerate(ids)}
        tied = [(at, item) for at, item in enumerate(self.items) if item["id"] in place]
        if tied:
            ordered = sorted((item for _, item in tied), key=lambda item: place[item["id"]])
            first = tied[0][0]
            rest = [item for item in self.items[first:] if item["id"] not in place]
            self._keep([*self.items[:first], *ordered, *rest])

    def _keep(self, items: list[Dict]) -> None:
        self.items[:] = items
        self._ids = {item["id"] for item in items}


_ENTRIES: dict[str, Callable[..., None]] = {
    "b": RestoredSession._nothing,
    "h": RestoredSession._head,
    "e": RestoredSession._emitted,
    "u": RestoredSession._usage,
    "c": RestoredSession._conversation,
    "i": RestoredSession._insert,
    "n": RestoredSession._counts,
}
_CORRECTIONS: dict[str, Callable[..., None]] = {
    "fe": RestoredSession._event,
    "fi": RestoredSession._item,
    "fb": RestoredSession._bucket,
    "fo": RestoredSession._order,
    "ft": RestoredSession._tie,
}


def _dictionary(value: Dict) -> Dict:
    if not isinstance(value, dict):
        raise TypeError("heads and events are dictionaries")
    return value


def _bucket_of(item_id: str, buckets: int) -> int:
    return crc32(item_id.encode("utf-8", "replace")) % buckets


def _history_form(item: Dict) -> Dict:
    form = {name: value for name, value in item.items() if value is not None}
    content = form.get("content")
    if content and isinstance(content, list):
        form["content"] = [
            part for part in content if not (isinstance(part, dict) and part.get("type") in _BINARY_PARTS)
        ]
    return form
