"""The journal's format: its entries, its pieces and its limits, for both writers and readers.

A *batch* holds the records since the previous batch. It has a main stream, a JSON array of entries, and a content
stream, a JSON array of ``[entry, path, value]``: the content values that were removed from the entries, with the place
of each. ``path`` begins with the position in the entry's own array. Each stream is cut into pieces
``<batch>.<part>.<parts>.<bytes>|<payload>`` that fit the smallest value limit of the backends; a piece is one span
attribute (see ``pieces``).

An entry is written as an array that begins with its tag:

=====  =====================================================================================================
``b``  :class:`Batch`, first entry of every batch: whether the batch has a content stream
``h``  :class:`Head`, the report without events and history; the last one counts
``e``  :class:`Emitted`, an event
``u``  :class:`Usage`, a usage event, as the difference from the previous usage
``ui`` :class:`Idle`, consecutive usage events without a difference (since schema 2)
``c``  :class:`Conversation`, an event that also inserts its item in the history after the item with the given id
``i``  :class:`Item`, a history item without an event
``fe`` ``fi`` ``fb`` ``fo`` ``ft`` ``fp`` ``n``  final corrections: event, item, ids of a slot, order, ties, item
       at a position, counts
=====  =====================================================================================================

Fields may be added at the end of an entry (an older reader ignores them); a reader counts and skips an entry with an
unknown tag.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias
from zlib import crc32

import msgspec

from .._json import NOT_JSON

#: number of slots for digests: of events, by number, and of items, by :func:`slot_of` of the item's id
EVENT_SLOTS, ITEM_SLOTS = 1_024, 256
#: maximum number of repetitions in an entry for unchanged usage, and of fields in such a usage event
MAX_IDLE, MAX_IDLE_FIELDS = 256, 16

Fields: TypeAlias = dict[str, Any]
Path: TypeAlias = list[str | int]
#: types of message parts that the report's history omits
BINARY_PARTS = ("image_content", "audio_content")


class Batch(msgspec.Struct, array_like=True, tag="b"):
    """The first entry of a batch."""

    content: bool = False


class Head(msgspec.Struct, array_like=True, tag="h"):
    """The report without events and history, as ``make_session_report()`` stamped it, and the job's tags.

    ``tagger`` has the keys of ``privacy.TAGGER``; None if nothing was tagged, and before schema 2.
    """

    head: Fields
    tagger: Fields | None = None


class Emitted(msgspec.Struct, array_like=True, tag="e"):
    """An event."""

    event: Fields


class Change(msgspec.Struct, array_like=True):
    """The changed usage fields of the model at this position of LiveKit's list."""

    number: int
    fields: Fields


class Usage(msgspec.Struct, array_like=True, tag="u"):
    """A usage event, whose own ``usage`` is null."""

    event: Fields
    changes: list[Change]


class Idle(msgspec.Struct, array_like=True, tag="ui"):
    """A usage event without changes, and the creation times of equal events that directly followed it."""

    event: Fields
    times: list[float]


class Conversation(msgspec.Struct, array_like=True, tag="c"):
    """An event whose ``item`` follows the item ``previous`` in the history (None: it is the first item)."""

    previous: str | None
    event: Fields


class Item(msgspec.Struct, array_like=True, tag="i"):
    """A history item without an event."""

    previous: str | None
    item: Fields


class EventCorrection(msgspec.Struct, array_like=True, tag="fe"):
    """The final state of the event of this number."""

    number: int
    event: Fields


class ItemCorrection(msgspec.Struct, array_like=True, tag="fi"):
    """The final state of a history item, which may not have been written before."""

    item: Fields


class SlotCorrection(msgspec.Struct, array_like=True, tag="fb"):
    """All ids of the history in one slot, given the total number of ``slots``."""

    slot: int
    slots: int
    ids: list[str]


class OrderCorrection(msgspec.Struct, array_like=True, tag="fo"):
    """All ids of the history, in order; an item that occurs twice is listed twice."""

    ids: list[str]


class TieCorrection(msgspec.Struct, array_like=True, tag="ft"):
    """Ids of items with the same ``created_at``, in order."""

    ids: list[str]


class PlaceCorrection(msgspec.Struct, array_like=True, tag="fp"):
    """The item at a position of the ordered history, if several items have its id."""

    place: int
    item: Fields


class Counts(msgspec.Struct, array_like=True, tag="n"):
    """The final numbers of events and history items."""

    events: int
    items: int


class Unknown(msgspec.Struct):
    """Placeholder for an entry that could not be parsed. Never written."""

    value: Any


Entry: TypeAlias = (
    Batch
    | Head
    | Emitted
    | Usage
    | Idle
    | Conversation
    | Item
    | EventCorrection
    | ItemCorrection
    | SlotCorrection
    | OrderCorrection
    | TieCorrection
    | PlaceCorrection
    | Counts
)

_decode_entries = msgspec.json.Decoder(list[Entry]).decode
_decode_array = msgspec.json.Decoder(list[Any]).decode
#: accepts lone surrogates; non-finite numbers become null
LENIENT = json.JSONDecoder(
    parse_float=lambda digits: number if math.isfinite(number := float(digits)) else None, parse_constant=lambda _: None
)


def encode(value: Any) -> bytes:
    """Encode as compact JSON. Lone surrogates, which UTF-8 cannot encode, are escaped; integers may have any size."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        plain = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
        return json.dumps(plain, separators=(",", ":")).encode("ascii")


def decode_entries(text: str) -> list[Entry | Unknown] | None:
    """Return the entries of a main stream; None if it is not a JSON array."""
    try:
        return _decode_entries(text)  # type: ignore[return-value]
    except NOT_JSON:
        found = decode_array(text)
        return None if found is None else [to_entry(one) for one in found]


def decode_array(text: str) -> list[Any] | None:
    """Return a JSON array; None if the text is not one. Lone surrogates are kept."""
    try:
        return _decode_array(text)
    except NOT_JSON:
        pass
    try:
        found = LENIENT.decode(text)
    except NOT_JSON:
        return None
    return found if isinstance(found, list) else None


def to_entry(value: Any) -> Entry | Unknown:
    """Convert a decoded array to an entry."""
    try:
        return msgspec.convert(value, Entry)  # type: ignore[no-any-return]
    except NOT_JSON:
        return Unknown(value)


def slot_of(item_id: str, slots: int = ITEM_SLOTS) -> int:
    """Return the slot of a history item."""
    return crc32(item_id.encode("utf-8", "replace")) % slots


def history_form(item: Fields) -> Fields:
    """Return an item as in the report's chat history: without null keys and without image or audio parts."""
    form = {name: value for name, value in item.items() if value is not None}
    content = form.get("content")
    if content and isinstance(content, list):
        form["content"] = [
            part for part in content if not (isinstance(part, dict) and part.get("type") in BINARY_PARTS)
        ]
    return form
