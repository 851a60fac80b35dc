"""Collects journal entries and returns them as span attributes, in the form described in ``format``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TypeAlias

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from ..privacy import MODEL_USAGE, OBJECT, REPORT, TAGGER, Rule
from ..redaction import Redaction
from .format import (
    Batch,
    Conversation,
    Emitted,
    Entry,
    EventCorrection,
    Head,
    Idle,
    Item,
    ItemCorrection,
    PlaceCorrection,
    Usage,
    encode,
)
from .pieces import cut
from .redact import ContentRedactor
from .split import Found, Splitter

__all__ = ["Attributes", "JournalWriter"]

_SPILL_BYTES = 40_000
_MAX_ENTRY_BYTES = 4_000_000
_MAX_WAITING = 64

Attributes: TypeAlias = dict[str, AttributeValue]

#: for each entry type, the field that can hold content, its position in the entry's array, and the rule for it
_HOLDS: dict[type[Entry], tuple[str, int, Rule]] = {
    Head: ("head", 1, REPORT),
    Emitted: ("event", 1, OBJECT),
    Usage: ("event", 1, OBJECT),
    Idle: ("event", 1, OBJECT),
    Conversation: ("event", 2, OBJECT),
    Item: ("item", 2, OBJECT),
    EventCorrection: ("event", 2, OBJECT),
    ItemCorrection: ("item", 1, OBJECT),
    PlaceCorrection: ("item", 2, OBJECT),
}
_CHANGES = _TAGGER = 2


class JournalWriter:
    """Collects entries and returns them as attributes. Holds only data that no span has taken yet.

    Entries are encoded together when a span takes them: encoding each between other work costs twice as much.

    Args:
        content: whether content may be recorded.
        is_tool: returns whether a tool of this name was registered; a model made up other names, which are content.
        redaction: redaction to apply to content before it is encoded; None for none.
        value_length: the SDK's limit on an attribute's value in characters; None without a limit.
    """

    def __init__(
        self,
        *,
        content: bool,
        is_tool: Callable[[str], bool] | None = None,
        redaction: Redaction | None = None,
        value_length: int | None = None,
    ) -> None:
        self._content = content
        self.redaction = redaction if content else None
        self._redactor = ContentRedactor(self.redaction, is_tool) if self.redaction is not None else None
        self._value_length = value_length
        self._split = Splitter(is_tool).split
        self._waiting: list[Callable[[], Iterable[Entry]]] = []
        self._entries: list[bytes] = []
        self._pii: list[bytes] = []
        self._bytes = 0
        self.batches = 0
        #: number of entries that were too large, and of those that could not be created or encoded
        self.too_large = 0
        self.failed = 0

    def withhold_content(self) -> None:
        """Record no content from here on, and drop content that is still pending."""
        self._content = False
        self.redaction = self._redactor = None
        self._pii = []

    @property
    def pending(self) -> bool:
        return bool(self._waiting or self._entries)

    @property
    def full(self) -> bool:
        """Whether the encoded part of the batch is as large as one span should carry."""
        return self._bytes >= _SPILL_BYTES

    def add(self, entry: Entry) -> None:
        """Record an entry; the caller must not change its contents afterwards."""
        self.later(lambda: (entry,))

    def later(self, make: Callable[[], Iterable[Entry]]) -> None:
        """Record the entries that ``make`` returns; it is called soon, in the order of these calls."""
        self._waiting.append(make)
        if len(self._waiting) >= _MAX_WAITING:
            self.settle()

    def settle(self) -> None:
        """Encode the entries that wait."""
        waiting, self._waiting = self._waiting, []
        for make in waiting:
            self.failed += 1
            with contained("journal.entry"):
                for entry in make():
                    self._encode_one(entry)
                self.failed -= 1

    def _encode_one(self, entry: Entry) -> None:
        number = len(self._entries) + 1
        found = self._take_content(entry)
        main = encode(entry)
        pii = encode([(number, path, value) for path, value in found])[1:-1] if found and self._content else b""
        size = len(main) + len(pii)
        if size > _MAX_ENTRY_BYTES:
            # an entry without its content is small; if it still exceeds the limit, it is dropped
            self.too_large += 1
            pii, size = b"", len(main)
            if size > _MAX_ENTRY_BYTES:
                return
        self._entries.append(main)
        if pii:
            self._pii.append(pii)
        self._bytes += size

    def _take_content(self, entry: Entry) -> Found:
        """Remove the entry's content; ids and numbers of the entry itself stay."""
        found: Found = []
        kind = type(entry)
        holds = _HOLDS.get(kind)
        if holds is not None:
            name, place, rule = holds
            form = getattr(entry, name)
            if self._redactor is not None:
                # a correction of a transcript means that the transcript is complete
                form = self._redactor.form(form, rule, whole=kind is EventCorrection)
            setattr(entry, name, self._split(form, rule, [place], found))
            if kind is Usage:
                self._take_changes(entry, found)  # type: ignore[arg-type]
            elif isinstance(entry, Head) and entry.tagger is not None:
                tagged = entry.tagger if self._redactor is None else self._redactor.form(entry.tagger, TAGGER)
                entry.tagger = self._split(tagged, TAGGER, [_TAGGER], found)
        return found

    def _take_changes(self, entry: Usage, found: Found) -> None:
        for at, change in enumerate(entry.changes):
            if self._redactor is not None:
                change.fields = self._redactor.form(change.fields, MODEL_USAGE)
            change.fields = self._split(change.fields, MODEL_USAGE, [_CHANGES, at, 1], found)

    def take(self, first: int = attr.MAX_JOURNAL_PIECES, others: int = attr.MAX_JOURNAL_PIECES) -> list[Attributes]:
        """Return all records since the last call, as the attributes of one span each (mostly of a single span).

        The first span can carry ``first`` pieces, possibly none, the others ``others``.
        """
        self.settle()
        if not self._entries:
            return []
        main = b"[" + b",".join([encode(Batch(bool(self._pii))), *self._entries]) + b"]"
        pieces = [(False, piece) for piece in cut(self.batches, main, self._value_length)]
        if self._pii:
            content = b"[" + b",".join(self._pii) + b"]"
            pieces += [(True, piece) for piece in cut(self.batches, content, self._value_length)]
        self.batches += 1
        self._entries, self._pii, self._bytes = [], [], 0
        first = min(first, attr.MAX_JOURNAL_PIECES)
        cuts = [0, *range(first, len(pieces), min(others, attr.MAX_JOURNAL_PIECES)), len(pieces)]
        return [
            {attr.journal_piece(number, pii=pii): piece for number, (pii, piece) in enumerate(pieces[start:end])}
            for start, end in itertools.pairwise(cuts)
        ]
