"""The journal's form: its entries, its pieces and its limits. Whoever writes or reads a journal takes them from here.

A *batch* is what was recorded since the last one. It has a main stream, a JSON array of entries, and a content stream,
a JSON array of ``[entry, path, value]``: where in which entry a value was taken out that is content. ``path`` begins
with the position in the entry's own array. Each stream is cut into pieces ``<batch>.<part>.<parts>.<bytes>|<payload>``
that fit what the meanest backend keeps of a value; a piece is one span attribute (see ``pieces``).

An entry is written as an array with its tag first:

=====  =====================================================================================================
``b``  :class:`Batch`, first entry of every batch: whether the batch has a content stream
``h``  :class:`Head`, the report without events and history; the last one wins
``e``  :class:`Emitted`, an event
``u``  :class:`Usage`, a usage event, as the difference to the last usage
``ui`` :class:`Idle`, consecutive usage events without a difference (since schema 2)
``c``  :class:`Conversation`, an event that also inserts its item in the history after the item with the given id
``i``  :class:`Item`, a history item that no event announced
``fe`` ``fi`` ``fb`` ``fo`` ``ft`` ``fp`` ``n``  final corrections: event, item, ids of a slot, order, ties, the item
       at a place, counts
=====  =====================================================================================================

An entry may get more fields at its end (an older reader ignores them); an entry of an unknown tag is counted and left
out.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias
from zlib import crc32

import msgspec

#: digests of events and items are kept in so many slots: by number, and by :func:`slot_of` of the item's id
EVENT_SLOTS, ITEM_SLOTS = 1_024, 256
#: usage events without a difference that one entry stands for beside its first, and the fields that such an event has
MAX_IDLE, MAX_IDLE_FIELDS = 256, 16

Fields: TypeAlias = dict[str, Any]
Path: TypeAlias = list[str | int]
#: parts of a message that the report's history leaves out
BINARY_PARTS = ("image_content", "audio_content")


class Batch(msgspec.Struct, array_like=True, tag="b"):
    """First entry of a batch."""

    content: bool = False


class Head(msgspec.Struct, array_like=True, tag="h"):
    """The report without events and history, as ``make_session_report()`` stamped it, and what the job was tagged with.

    ``tagger`` has the keys of ``privacy.TAGGER``; None where nothing was tagged, and before schema 2.
    """

    head: Fields
    tagger: Fields | None = None


class Emitted(msgspec.Struct, array_like=True, tag="e"):
    """An event."""

    event: Fields


class Change(msgspec.Struct, array_like=True):
    """What changed of the usage of the model at this place of LiveKit's list."""

    number: int
    fields: Fields


class Usage(msgspec.Struct, array_like=True, tag="u"):
    """A usage event, whose own ``usage`` is null."""

    event: Fields
    changes: list[Change]


class Idle(msgspec.Struct, array_like=True, tag="ui"):
    """A usage event that changed nothing, and those like it that followed at once: when each of them was created."""

    event: Fields
    times: list[float]


class Conversation(msgspec.Struct, array_like=True, tag="c"):
    """An event whose ``item`` stands in the history after the item ``previous`` (None: it is the first)."""

    previous: str | None
    event: Fields


class Item(msgspec.Struct, array_like=True, tag="i"):
    """A history item that no event announced."""

    previous: str | None
    item: Fields


class EventCorrection(msgspec.Struct, array_like=True, tag="fe"):
    """What the event of this number has become."""

    number: int
    event: Fields


class ItemCorrection(msgspec.Struct, array_like=True, tag="fi"):
    """What a history item has become, or one that was never written."""

    item: Fields


class SlotCorrection(msgspec.Struct, array_like=True, tag="fb"):
    """All ids that the history has in one of ``slots`` slots."""

    slot: int
    slots: int
    ids: list[str]


class OrderCorrection(msgspec.Struct, array_like=True, tag="fo"):
    """The history's ids, all of them, in order; one that is there twice stands there twice."""

    ids: list[str]


class TieCorrection(msgspec.Struct, array_like=True, tag="ft"):
    """Ids of items with one ``created_at``, in order."""

    ids: list[str]


class PlaceCorrection(msgspec.Struct, array_like=True, tag="fp"):
    """The item at a place of the ordered history, where several items have its id."""

    place: int
    item: Fields


class Counts(msgspec.Struct, array_like=True, tag="n"):
    """How many events and history items there were in the end."""

    events: int
    items: int


class Unknown(msgspec.Struct):
    """What stands in the place of an entry that could not be understood. Never written."""

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
#: takes halves of surrogate pairs; a number that is not finite is null
LENIENT = json.JSONDecoder(
    parse_float=lambda digits: number if math.isfinite(number := float(digits)) else None, parse_constant=lambda _: None
)


def encode(value: Any) -> bytes:
    """Compact JSON; text that UTF-8 cannot carry (lone surrogates) is escaped, integers may have any size."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        plain = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
        return json.dumps(plain, separators=(",", ":")).encode("ascii")


def decode_entries(text: str) -> list[Entry | Unknown] | None:
    """The entries of a main stream; None when it is no JSON array."""
    try:
        return _decode_entries(text)  # type: ignore[return-value]
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        found = decode_array(text)
        return None if found is None else [to_entry(one) for one in found]


def decode_array(text: str) -> list[Any] | None:
    """A JSON array; None when it is something else. Halves of surrogate pairs are taken as they were written."""
    try:
        return _decode_array(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        found = LENIENT.decode(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def to_entry(value: Any) -> Entry | Unknown:
    """One decoded array as an entry."""
    try:
        return msgspec.convert(value, Entry)  # type: ignore[no-any-return]
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
        return Unknown(value)


def slot_of(item_id: str, slots: int = ITEM_SLOTS) -> int:
    """The slot of a history item."""
    return crc32(item_id.encode("utf-8", "replace")) % slots


def history_form(item: Fields) -> Fields:
    """What the report's chat history shows of an item: no null keys, no image or audio parts."""
    form = {name: value for name, value in item.items() if value is not None}
    content = form.get("content")
    if content and isinstance(content, list):
        form["content"] = [
            part for part in content if not (isinstance(part, dict) and part.get("type") in BINARY_PARTS)
        ]
    return form
