"""Records a session's events and history items in its journal and, at the end, any later changes to them.

Memory does not grow with the call: only digests of written data are kept, in a fixed number of slots. If a slot's
digest differs from LiveKit's final state, the whole slot is written again.
"""

from __future__ import annotations

import itertools
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from . import waits
from .digest import digest
from .format import (
    BINARY_PARTS,
    EVENT_SLOTS,
    ITEM_SLOTS,
    Conversation,
    Counts,
    Emitted,
    Entry,
    EventCorrection,
    Idle,
    Item,
    ItemCorrection,
    OrderCorrection,
    PlaceCorrection,
    SlotCorrection,
    TieCorrection,
    Usage,
    history_form,
    slot_of,
)
from .model_dump import dump
from .transcripts import Transcripts
from .usage import UsageEvents
from .writer import JournalWriter

__all__ = ["Recorder", "item_form"]

_RECENT_ITEMS = 256
#: events whose objects LiveKit shares with the history or changes later; all others are values
_MUTABLE = frozenset({"conversation_item_added", "function_tools_executed", "tool_execution_updated"})
_UNREPORTED = frozenset({"metrics_collected"})

#: a history item, and the id of the previous item
Added: TypeAlias = tuple[Any, str | None]


class Recorder:
    """The recorder of one session. ``event`` is called for each emitted event, in order."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._events = 0
        self._event_digests = array("Q", bytes(8 * EVENT_SLOTS))
        self._item_digests = array("Q", bytes(8 * ITEM_SLOTS))
        self._known_items = 0
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._usage = UsageEvents()
        self._transcripts = Transcripts()

    def event(self, event: Any, history: Any) -> float | None:
        """Record an emitted event, and the history items added since the previous one.

        They are read when the journal is written, a moment later, because LiveKit's report shows their final state.
        Returns the seconds that this may wait for a span; None if nothing was recorded.
        """
        items = history.items
        added = self._new_items(items) if len(items) != self._known_items else ()
        kind = getattr(event, "type", None)
        if kind in _UNREPORTED:
            self._items(added)
            return waits.SAID_SECONDS if added else None
        if kind == "session_usage_updated":
            return self._usage_event(event, added)
        self._usage.other()
        redaction = self._journal.redaction
        whole = self._transcripts.event(event, self._events, redaction) if redaction is not None else None
        self._journal.later(partial(self._entries, event, kind, added, self._events))
        if whole is not None:
            self._journal.later(whole)
        self._events += 1
        return waits.SAID_SECONDS if added else waits.of_event(kind, event)

    def _items(self, added: Sequence[Added]) -> None:
        if added:
            self._usage.other()
            self._journal.later(partial(self._item_entries, added))

    def _usage_event(self, event: Any, added: Sequence[Added]) -> float:
        self._items(added)
        self._events += 1
        self._journal.failed += 1
        entry = self._usage.entry(event)
        self._journal.failed -= 1
        if isinstance(entry, Idle):
            self._journal.later(partial(self._idle_entry, entry))
        elif entry is not None:
            self._journal.add(entry)
        changes = entry.changes if isinstance(entry, Usage) else ()
        return waits.SAID_SECONDS if added else waits.of_usage(changes, event.usage.model_usage)

    def _idle_entry(self, idle: Idle) -> Iterator[Entry]:
        """Called when the entry is written: only the last recorded entry may still have grown."""
        self._usage.written(idle)
        yield idle

    def _entries(self, event: Any, kind: str | None, added: Sequence[Added], number: int) -> Iterator[Entry]:
        """Yield an event, after the items that came with it. Called in the order of the events."""
        if kind not in _MUTABLE:
            yield from self._item_entries(added)
            yield Emitted(dump(event))
            return
        form = event.model_dump()
        self._event_digests[number % EVENT_SLOTS] ^= digest(number, form)
        item = event.item if kind == "conversation_item_added" else None
        if item is not None and added and added[-1][0] is item and _simple(form["item"]):
            yield from self._item_entries(added[:-1])
            yield Conversation(added[-1][1], form)
            self._written(item.id, history_form(form["item"]))
        else:
            yield from self._item_entries(added)
            yield Emitted(form)

    def _new_items(self, items: list[Any]) -> list[Added]:
        """Return new history items in list order; they are near the end of the list."""
        missing = len(items) - self._known_items
        self._known_items = len(items)
        found: list[int] = []
        for position in range(len(items) - 1, max(-1, len(items) - 1 - _RECENT_ITEMS), -1):
            if missing <= len(found):
                break
            if items[position].id not in self._recent:
                found.append(position)
        found.reverse()
        for position in found:
            self._recent[items[position].id] = None
        while len(self._recent) > _RECENT_ITEMS:
            self._recent.popitem(last=False)
        return [(items[position], str(items[position - 1].id) if position else None) for position in found]

    def _item_entries(self, added: Sequence[Added]) -> Iterator[Entry]:
        for item, previous in added:
            form = item_form(item)
            yield Item(previous, form)
            self._written(item.id, form)

    def _written(self, item_id: str, form: dict[str, Any]) -> None:
        self._item_digests[slot_of(item_id)] ^= digest(item_id, form)

    def corrections(self, recorded: list[Any] | None, history: Any) -> Iterator[None]:
        """Record differences between LiveKit's final state and the journal. Yields repeatedly to spread the work."""
        items = list(history.items)
        added = self._new_items(items) if len(items) != self._known_items else []
        # waiting entries must be written, too, before anything can be compared
        self._journal.later(partial(self._item_entries, added))
        self._journal.settle()
        events = self._events
        if recorded is not None:
            reported = [e for e in recorded if getattr(e, "type", None) not in _UNREPORTED]
            events = len(reported)
            yield from self._correct_events(reported)
        yield from self._correct_items(items)
        self._journal.add(Counts(events, len(items)))

    def _correct_events(self, events: list[Any]) -> Iterator[None]:
        now = array("Q", bytes(8 * EVENT_SLOTS))
        mutable = [number for number, event in enumerate(events) if event.type in _MUTABLE]
        for done, number in enumerate(mutable):
            now[number % EVENT_SLOTS] ^= digest(number, events[number].model_dump())
            if done % 32 == 31:
                yield
        for number in mutable:
            if now[number % EVENT_SLOTS] != self._event_digests[number % EVENT_SLOTS]:
                self._journal.add(EventCorrection(number, events[number].model_dump()))
                yield

    def _correct_items(self, items: list[Any]) -> Iterator[None]:
        now = array("Q", bytes(8 * ITEM_SLOTS))
        for done, item in enumerate(items):
            now[slot_of(item.id)] ^= digest(item.id, item_form(item))
            if done % 32 == 31:
                yield
        stale = {slot for slot in range(ITEM_SLOTS) if now[slot] != self._item_digests[slot]}
        if stale:
            ids: dict[int, list[str]] = {slot: [] for slot in stale}
            for item in items:
                slot = slot_of(item.id)
                if slot in stale:
                    ids[slot].append(item.id)
                    self._journal.add(ItemCorrection(item_form(item)))
                    yield
            for slot, kept in ids.items():
                self._journal.add(SlotCorrection(slot, ITEM_SLOTS, kept))
        self._correct_order(items)

    def _correct_order(self, items: list[Any]) -> None:
        """Record the order if it does not follow from the items' times, with ties in the order of insertion."""
        repeated = len({item.id for item in items}) < len(items)
        if repeated or any(before.created_at > after.created_at for before, after in itertools.pairwise(items)):
            self._journal.add(OrderCorrection([item.id for item in items]))
            if repeated:
                self._correct_repeated(items)
            return
        tie: list[str] = []
        for number, item in enumerate(items):
            if number and item.created_at == items[number - 1].created_at:
                tie = tie or [items[number - 1].id]
                tie.append(item.id)
            elif tie:
                self._journal.add(TieCorrection(tie))
                tie = []
        if tie:
            self._journal.add(TieCorrection(tie))

    def _correct_repeated(self, items: list[Any]) -> None:
        """Record the items if several objects share an id; for a repeated object, its id is enough."""
        first: dict[str, Any] = {}
        differ = {item.id for item in items if first.setdefault(item.id, item) is not item}
        for place, item in enumerate(items):
            if item.id in differ:
                self._journal.add(PlaceCorrection(place, item_form(item)))


def item_form(item: Any) -> dict[str, Any]:
    """Return a history item as in LiveKit's report (``ChatContext.to_dict(exclude_timestamp=False)``)."""
    form: dict[str, Any] = item.model_dump(mode="json", exclude_none=True)
    return history_form(form)


def _simple(dump: dict[str, Any]) -> bool:
    """Whether the history form follows from the event's dump: no nested nulls or values that JSON cannot hold."""
    return not dump.get("extra") and all(
        isinstance(part, str) or (isinstance(part, dict) and part.get("type") in BINARY_PARTS)
        for part in dump.get("content") or ()
    )
