"""The journal: the session's events and conversation items, in order, as numbered pieces of compact JSON.

A *batch* is what was recorded since the last one. It has a main stream, a JSON array of entries, and a content
stream, a JSON array of ``[entry, path, value]``. Each stream is cut into pieces
``<batch>.<part>.<parts>.<bytes>|<payload>`` that fit what the meanest backend keeps of a value. Entries (decoded by
``livekit_otel.journal.reader``):

=====  =====================================================================================================
``b``  first entry of every batch: whether the batch has a content stream
``h``  the report without events and history; the last one wins
``e``  an event
``u``  a usage event, as the difference to the last usage
``c``  an event that also inserts its item in the history after the item with the given id
``i``  a history item that no event announced
``fe`` ``fi`` ``fb`` ``fo`` ``ft`` ``n``  final corrections: event, item, ids of a bucket, order, ties, counts
=====  =====================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from ..privacy import Found, split

_PAYLOAD_BYTES = 1_900
_SPILL_BYTES = 40_000
_MAX_ENTRY_BYTES = 4_000_000
_MAX_WAITING = 64

Attributes = dict[str, AttributeValue]
Entry: TypeAlias = list[Any]


def encode(value: Any) -> bytes:
    """Compact JSON; text that UTF-8 cannot carry (lone surrogates) is escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


class JournalWriter:
    """Collects entries and hands them out as attributes. Holds only what no span has taken yet.

    Entries are encoded when a span takes them, many at a time: one by one, between other work, costs twice as much.
    """

    def __init__(self, *, content: bool) -> None:
        self._content = content
        self._waiting: list[Callable[[], Iterable[Entry]]] = []
        self._entries: list[bytes] = []
        self._pii: list[bytes] = []
        self._bytes = 0
        self.batches = 0
        self.lost = 0

    def withhold_content(self) -> None:
        """Record no content from here on, and none of what is still pending."""
        self._content = False
        self._pii = []

    @property
    def pending(self) -> bool:
        return bool(self._waiting or self._entries)

    @property
    def full(self) -> bool:
        """Whether the batch is as large as one span should carry (as far as it is encoded)."""
        return self._bytes >= _SPILL_BYTES

    def add(self, entry: Entry) -> None:
        """Record one entry; nobody else may change what it holds."""
        self.later(lambda: (entry,))

    def later(self, make: Callable[[], Iterable[Entry]]) -> None:
        """Record the entries that ``make`` gives when it is called, soon and in the order of these calls."""
        self._waiting.append(make)
        if len(self._waiting) >= _MAX_WAITING:
            self.settle()

    def settle(self) -> None:
        """Encode what waits."""
        waiting, self._waiting = self._waiting, []
        for make in waiting:
            self.lost += 1
            with contained("journal.entry"):
                for entry in make():
                    self._encode_one(entry)
                self.lost -= 1

    def _encode_one(self, entry: Entry) -> None:
        number = len(self._entries) + 1
        found: Found = []
        main = encode(split_entry(entry, found))
        pii = [encode([number, path, value]) for path, value in found] if self._content else []
        size = len(main) + sum(map(len, pii))
        if size > _MAX_ENTRY_BYTES:
            # without its content an entry is small, unless it is absurd: then it is left out
            self.lost += 1
            pii, size = [], len(main)
            if size > _MAX_ENTRY_BYTES:
                return
        self._entries.append(main)
        self._pii += pii
        self._bytes += size

    def take(self) -> list[Attributes]:
        """Everything recorded since the last call, as the attributes of one span each (mostly one)."""
        self.settle()
        if not self._entries:
            return []
        main = b"[" + b",".join([encode(["b", bool(self._pii)]), *self._entries]) + b"]"
        pieces = [(False, piece) for piece in _cut(self.batches, main)]
        if self._pii:
            pieces += [(True, piece) for piece in _cut(self.batches, b"[" + b",".join(self._pii) + b"]")]
        self.batches += 1
        self._entries, self._pii, self._bytes = [], [], 0
        return [
            {attr.journal_piece(number, pii=pii): piece for number, (pii, piece) in enumerate(pieces[start:end])}
            for start, end in (
                (at, at + attr.MAX_JOURNAL_PIECES) for at in range(0, len(pieces), attr.MAX_JOURNAL_PIECES)
            )
        ]


def split_entry(entry: list[Any], found: Found) -> list[Any]:
    """``entry`` with the content of its dictionaries split off; ids and numbers are left as they are."""
    return [split(part, found, [at]) if isinstance(part, dict) else part for at, part in enumerate(entry)]


def _cut(batch: int, payload: bytes) -> list[str]:
    """``payload`` in numbered pieces, cut between characters."""
    cuts = [0]
    while len(payload) - cuts[-1] > _PAYLOAD_BYTES:
        at = cuts[-1] + _PAYLOAD_BYTES
        while payload[at] & 0xC0 == 0x80:
            at -= 1
        cuts.append(at)
    cuts.append(len(payload))
    parts = len(cuts) - 1
    return [
        f"{batch}.{part}.{parts}.{cuts[part + 1] - cuts[part]}|{payload[cuts[part] : cuts[part + 1]].decode()}"
        for part in range(parts)
    ]
