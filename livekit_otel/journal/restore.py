"""Restores events, history, usage and the report's head from journal entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .format import (
    MAX_IDLE,
    MAX_IDLE_FIELDS,
    Batch,
    Conversation,
    Counts,
    Emitted,
    Entry,
    EventCorrection,
    Fields,
    Head,
    Idle,
    Item,
    ItemCorrection,
    OrderCorrection,
    PlaceCorrection,
    SlotCorrection,
    TieCorrection,
    Unknown,
    Usage,
    history_form,
)
from .history import History

__all__ = ["RestoredSession"]

#: exceptions that an entry of unexpected shape can cause
_SENSELESS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
#: limit on the number of models: LiveKit counts usage by provider and model, and no session uses more
MAX_MODELS = 100
#: maximum number of models over all usage events of a session: ten models, each second for three days
MAX_USAGE_PLACES = 3_000_000


class RestoredSession:
    """The state that results from a journal.

    Attributes:
        events, items: as in LiveKit's report (``items`` is the chat history).
        usage: the last usage state, one dictionary per model, with all fields.
        head: the report without events and history; None if there was no such entry.
        tagger: the job's tags, by the keys of ``privacy.TAGGER``; None if there was no such entry.
        closed: whether the head is the final one, as in LiveKit's report after the session has closed.
        unreadable: number of invalid entries.
        beyond: number of usage records omitted because they exceed the limits of a plausible session.
        expected_events, expected_items: the numbers that the session itself recorded when it closed.
    """

    def __init__(self) -> None:
        self.events: list[Fields] = []
        self.items: list[Fields] = []
        self.usage: list[Fields] = []
        self.head: Fields | None = None
        self.tagger: Fields | None = None
        self.closed = False
        self.unreadable = 0
        self.beyond = 0
        self.expected_events: int | None = None
        self.expected_items: int | None = None
        self._history = History()
        self._shown: list[Fields] = []
        self._places = 0
        self._gaps = False
        self._heads = self._number = 0
        #: index of the batch with the last head, and of the batch with the final counts
        self._head_in, self._counts_in = -1, -2
        #: (time, type) of an event -> number of the first such event; built on first use
        self._numbers: dict[tuple[Any, Any], int] | None = None

    def play(self, batches: Iterable[Iterable[Entry | Unknown]], *, gaps: bool) -> None:
        """Apply all entries. With ``gaps``, some entries are missing, so positions cannot be trusted."""
        self._gaps = gaps
        self._history = History(gaps=gaps)
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
        # the first head is written at the start, the final one together with the counts when the session closes
        self.closed = self._heads > 1 or self._head_in == self._counts_in
        for entry in corrections:
            try:
                _CORRECTIONS[type(entry)](self, entry)
            except _SENSELESS:
                self.unreadable += 1
        self.items = self._history.items()
        self.unreadable += self._history.misplaced

    def _batch(self, entry: Batch) -> None:
        pass

    def _head(self, entry: Head) -> None:
        self._heads += 1
        self._head_in = self._number
        self.head, self.tagger = entry.head, entry.tagger

    def _counts(self, entry: Counts) -> None:
        self.expected_events, self.expected_items = entry.events, entry.items
        self._counts_in = self._number

    # --- events
    def _emitted(self, entry: Emitted) -> None:
        self.events.append(entry.event)

    def _usage(self, entry: Usage) -> None:
        # most usage events of a call change nothing, so they share one list
        if entry.changes or not self.events:
            usage = list(self.usage)
            for one in entry.changes:
                number, change = one.number, one.fields
                if not 0 <= number < MAX_MODELS:
                    self.beyond += 1
                    continue
                # more than one is added only after a gap
                usage += [{} for _ in range(number + 1 - len(usage))]
                # a change that includes the type replaces the model at this position: LiveKit sorts models by type
                usage[number] = change if "type" in change else {**usage[number], **change}
            self.usage, self._shown = usage, [one for one in usage if one]
        self._places += len(self._shown)
        if self._places > MAX_USAGE_PLACES:
            self.beyond += 1
        else:
            entry.event["usage"] = {"model_usage": self._shown}
        self.events.append(entry.event)

    def _idle(self, entry: Idle) -> None:
        if len(entry.event) > MAX_IDLE_FIELDS:
            raise ValueError(f"a usage event with {len(entry.event)} fields")
        if len(entry.times) > MAX_IDLE:
            self.beyond += 1
        self._usage(Usage(entry.event, []))
        for created in entry.times[:MAX_IDLE]:
            self._usage(Usage({**entry.event, "created_at": created}, []))

    def _conversation(self, entry: Conversation) -> None:
        self._history.insert(entry.previous, history_form(entry.event["item"]))
        self.events.append(entry.event)

    def _correct_event(self, entry: EventCorrection) -> None:
        if not self._gaps:
            self.events[entry.number] = entry.event
            return
        # positions have moved: find the event by its time and type
        if self._numbers is None:
            self._numbers = {}
            for number, one in enumerate(self.events):
                when, what = one.get("created_at"), one.get("type")
                if isinstance(when, int | float) and isinstance(what, str):
                    self._numbers.setdefault((when, what), number)
        found = self._numbers.get((entry.event["created_at"], entry.event["type"]))
        if found is not None:
            self.events[found] = entry.event

    # --- history
    def _item(self, entry: Item) -> None:
        self._history.insert(entry.previous, entry.item)

    def _correct_item(self, entry: ItemCorrection) -> None:
        self._history.correct(entry.item)

    def _correct_slot(self, entry: SlotCorrection) -> None:
        self._history.correct_slot(entry)

    def _correct_order(self, entry: OrderCorrection) -> None:
        self._history.correct_order(entry.ids)

    def _correct_tie(self, entry: TieCorrection) -> None:
        self._history.correct_tie(entry.ids)

    def _correct_place(self, entry: PlaceCorrection) -> None:
        self._history.correct_place(entry.place, entry.item)


_ENTRIES: dict[type, Callable[[RestoredSession, Any], None]] = {
    Batch: RestoredSession._batch,
    Head: RestoredSession._head,
    Emitted: RestoredSession._emitted,
    Usage: RestoredSession._usage,
    Idle: RestoredSession._idle,
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
