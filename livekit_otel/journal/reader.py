"""The journal's pieces, collected from spans in any order and put together again. See ``format``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec

from .. import attributes as attr
from .format import (
    LENIENT,
    Batch,
    Change,
    Entry,
    Unknown,
    decode_array,
    decode_entries,
    to_entry,
)
from .pieces import MAX_BATCHES, parse_piece, payload_bytes

__all__ = ["JournalReader"]

_NAMES = frozenset(attr.journal_piece(number, pii=pii) for number in range(1_000) for pii in (False, True))


class _Stream(msgspec.Struct, gc=False):
    """The pieces of one stream of one batch: payloads by part; ``cut`` says what is wrong with a part."""

    parts: int = 0
    payloads: dict[int, str] = {}
    cut: dict[int, str] = {}

    @property
    def whole(self) -> bool:
        return 0 < self.parts <= len(self.payloads)

    @property
    def wanting(self) -> str:
        # the number of parts is what the trace claims: no list is made of it
        lost = islice((number for number in range(self.parts) if number not in self.payloads), 4)
        return ", ".join(f"piece {number + 1} of {self.parts} {self.cut.get(number, 'is missing')}" for number in lost)


class JournalReader:
    """What the spans of one session say of its events and history.

    Attributes:
        warnings: what is missing or damaged; filled by :meth:`entries`.
        whole: whether every batch that ought to be there was. Known after :meth:`entries`.
        withheld: content was recorded, and none of it is in the spans. Known after :meth:`entries`.
        has_content: some content is there. Known after :meth:`entries`.
        gaps: numbers of the batches that are missing, whole or in part. Known after :meth:`entries`.
    """

    def __init__(self) -> None:
        self._main: dict[int, _Stream] = {}
        self._pii: dict[int, _Stream] = {}
        self._unreadable = 0
        self.warnings: list[str] = []
        self.whole = True
        self.withheld = False
        self.has_content = False
        self.gaps: list[int] = []

    def add(self, attributes: Mapping[str, Any]) -> None:
        """Take the pieces that a span carries; one that is there already is left alone."""
        # most spans carry none, and there are many spans
        if not _NAMES.isdisjoint(attributes):
            for name in _NAMES.intersection(attributes):
                self._add(attributes[name], pii=not name.startswith(attr.JOURNAL_PREFIX))

    def _add(self, value: Any, *, pii: bool) -> None:
        streams = self._pii if pii else self._main
        piece = parse_piece(value)
        if piece is None:
            # content that was masked on the way is as good as withheld
            self._unreadable += not pii
            return
        batch, part, parts, size, payload = piece
        stream = streams.get(batch)
        if stream is None:
            stream = streams[batch] = _Stream(payloads={}, cut={})
        stream.parts = parts
        found = payload_bytes(payload)
        if found == size:
            stream.payloads[part] = payload
        else:
            stream.cut[part] = f"was cut from {size:,} to {found:,} bytes"

    def entries(self, batches: int | None) -> list[list[Entry | Unknown]]:
        """The entries of each batch, in order; what cannot be restored is left out, and ``warnings`` say so.

        ``batches`` is how many there ought to be, where that is known.
        """
        last = max([*self._main, *self._pii, -1])
        expected = range(max(last + 1, min(batches or 0, MAX_BATCHES)))
        absent = [number for number in expected if number not in self._main]
        if absent:
            self._lost(f"journal batch{_numbers(absent)} missing: events and history have gaps there")
        if self._unreadable:
            self._lost(f"{self._unreadable} journal pieces are unreadable: were they masked on the way?")
        self.gaps = absent
        unsaid: list[int] = []
        found = [self._batch(number, unsaid) for number in expected if number in self._main]
        self.has_content = any(stream.payloads for stream in self._pii.values())
        if unsaid:
            self.withheld = not self._pii
            if not self.withheld:
                self._lost(f"the content of journal batch{_numbers(unsaid)} missing: texts are empty there")
        self.gaps.sort()
        return found

    def _batch(self, number: int, unsaid: list[int]) -> list[Entry | Unknown]:
        stream = self._main[number]
        text = _whole(stream)
        entries = None if text is None else decode_entries(text)
        if entries is None:
            entries = [to_entry(one) for one in _prefix(stream)]
            self.gaps.append(number)
            why = stream.wanting or "it is not JSON"
            self._lost(f"journal batch {number} is damaged: {why}; {max(len(entries) - 1, 0)} entries of it were kept")
        first = entries[0] if entries else None
        said = isinstance(first, Batch) and first.content
        pii = self._pii.get(number)
        if pii is None:
            if said:
                unsaid.append(number)
            return entries
        text = _whole(pii)
        content = None if text is None else decode_array(text)
        if content is None:
            content = _prefix(pii)
            why = pii.wanting or "it is not JSON"
            self._lost(f"the content of journal batch {number} is damaged: {why}; texts are empty there")
        for place in content:
            _put(entries, place)
        return entries

    def _lost(self, warning: str) -> None:
        self.whole = False
        self.warnings.append(warning)


def _whole(stream: _Stream) -> str | None:
    """All of a stream's text; None where a piece is missing or was cut."""
    if not stream.whole:
        return None
    return "".join(map(stream.payloads.__getitem__, range(stream.parts))) if stream.parts > 1 else stream.payloads[0]


def _prefix(stream: _Stream) -> list[Any]:
    """The entries before the first piece that is wanting."""
    payloads: list[str] = []
    while (payload := stream.payloads.get(len(payloads))) is not None:
        payloads.append(payload)
    return _elements("".join(payloads))


def _elements(text: str) -> list[Any]:
    """The whole elements at the start of a compact JSON array that is cut off."""
    decoder, found, at = LENIENT, [], 1
    while at < len(text):
        try:
            element, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        found.append(element)
        at += 1  # the comma
    return found


def _put(entries: list[Entry | Unknown], place: Any) -> None:
    """Put a content value where it was taken from; entries that are not there have lost their place."""
    try:
        number, (position, *path), value = place
        if position < 1:
            return
        entry = entries[number]
        name = entry.__struct_fields__[position - 1]
        if not path:
            # a whole dictionary; nothing else that an entry has of its own is content
            if isinstance(value, dict) and isinstance(getattr(entry, name), dict):
                setattr(entry, name, value)
            return
        target = getattr(entry, name)
        for at, step in enumerate(path, 1):
            if isinstance(target, Change):
                # only its fields can hold content
                if at < len(path):
                    target = target.fields
                elif isinstance(value, dict):
                    target.fields = value
            elif at == len(path):
                target[step] = value
            else:
                target = target[step]
    except (IndexError, KeyError, TypeError, ValueError):
        pass


def _numbers(numbers: Iterable[int]) -> str:
    """`` 3 is`` or ``es 1, 4-6 are``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs[:10])
    one = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f" {text} is" if one else f"es {text}{', …' if len(runs) > 10 else ''} are"
