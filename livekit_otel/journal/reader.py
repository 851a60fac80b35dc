"""Collects the journal's pieces from spans, in any order, and reassembles them. See ``format``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
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

_MAX_GAPS = 1_000
_NAMES = frozenset(attr.journal_piece(number, pii=pii) for number in range(1_000) for pii in (False, True))


class _Stream(msgspec.Struct, gc=False):
    """The pieces of one stream of one batch: payloads by part, and in ``cut`` the damage of a part."""

    parts: int = 0
    payloads: dict[int, str] = {}
    cut: dict[int, str] = {}

    @property
    def whole(self) -> bool:
        return 0 < self.parts <= len(self.payloads)

    @property
    def wanting(self) -> str:
        # the trace supplies the number of parts, so no list of that size is built
        lost = islice((number for number in range(self.parts) if number not in self.payloads), 4)
        return ", ".join(f"piece {number + 1} of {self.parts} {self.cut.get(number, 'is missing')}" for number in lost)


class JournalReader:
    """Reads the events and history of one session from its spans.

    Attributes:
        warnings: missing or damaged data; filled by :meth:`entries`.
        whole: whether no batch was missing or damaged. Known after :meth:`entries`.
        withheld: whether content was recorded but the spans contain none of it. Known after :meth:`entries`.
        has_content: whether the spans contain some content. Known after :meth:`entries`.
        gaps: numbers of the batches that are missing, in whole (at most the first thousand) or in part. Known after
            :meth:`entries`.
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
        """Add the pieces of a span; a piece that is already known changes nothing."""
        # most spans carry none, and there may be many spans
        if not _NAMES.isdisjoint(attributes):
            for name in _NAMES.intersection(attributes):
                self._add(attributes[name], pii=not name.startswith(attr.JOURNAL_PREFIX))

    def _add(self, value: Any, *, pii: bool) -> None:
        streams = self._pii if pii else self._main
        piece = parse_piece(value)
        if piece is None:
            # content that was masked in transit counts as withheld
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
        """Return the entries of each batch, in order; unreadable data is omitted and reported in ``warnings``.

        ``batches`` is the expected number of batches, if known.
        """
        last = max([*self._main, *self._pii, -1])
        numbers = sorted(self._main)
        absent = _between(numbers, max(last + 1, min(batches or 0, MAX_BATCHES)))
        if absent:
            self._lost(f"journal batch{_named(absent)} missing: events and history have gaps there")
        if self._unreadable:
            self._lost(f"{self._unreadable} journal pieces are unreadable: were they masked on the way?")
        self.gaps = list(islice(chain.from_iterable(absent), _MAX_GAPS))
        unsaid: list[int] = []
        found = [self._batch(number, unsaid) for number in numbers]
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
    """Return a stream's complete text; None if a piece is missing or was truncated."""
    if not stream.whole:
        return None
    return "".join(map(stream.payloads.__getitem__, range(stream.parts))) if stream.parts > 1 else stream.payloads[0]


def _prefix(stream: _Stream) -> list[Any]:
    """Return the entries before the first missing or truncated piece."""
    payloads: list[str] = []
    while (payload := stream.payloads.get(len(payloads))) is not None:
        payloads.append(payload)
    return _elements("".join(payloads))


def _elements(text: str) -> list[Any]:
    """Return the complete elements at the start of a truncated compact JSON array."""
    decoder, found, at = LENIENT, [], 1
    while at < len(text):
        try:
            element, at = decoder.raw_decode(text, at)
        except NOT_JSON:
            break
        found.append(element)
        at += 1  # the comma
    return found


def _put(entries: list[Entry | Unknown], place: Any) -> None:
    """Put a content value back in its place; values whose entry is missing are dropped."""
    try:
        number, (position, *path), value = place
        if position < 1:
            return
        entry = entries[number]
        name = entry.__struct_fields__[position - 1]
        if not path:
            # a whole dictionary; no other field of an entry itself is content
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


def _between(numbers: list[int], end: int) -> list[range]:
    """Return the missing numbers from 0 to ``end``, as ranges: the trace supplies ``end``, so no list is built."""
    missing = [range(before + 1, number) for before, number in zip([-1, *numbers], [*numbers, end], strict=True)]
    return [one for one in missing if one]


def _numbers(numbers: Iterable[int]) -> str:
    """Return numbers as `` 3 is`` or ``es 1, 4-6 are``."""
    runs: list[range] = []
    for number in sorted(numbers):
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return _named(runs)


def _named(runs: list[range]) -> str:
    text = ", ".join(f"{one[0]}" if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in runs[:10])
    single = len(runs) == 1 and len(runs[0]) == 1
    return f" {text} is" if single else f"es {text}{', …' if len(runs) > 10 else ''} are"
