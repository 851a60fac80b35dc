"""Pieces of a journal stream: ``<batch>.<part>.<parts>.<bytes>|<payload>``, one span attribute each."""

from __future__ import annotations

from typing import Any

from .. import attributes as attr

__all__ = ["MAX_BATCHES", "cut", "parse_piece", "payload_bytes"]

#: what a payload may have, so that a piece with its header stays under ``attributes.MAX_VALUE_BYTES``
PAYLOAD_BYTES = attr.PIECE_BYTES
#: numbers beyond these are no journal of ours
MAX_BATCHES, MAX_PARTS = 1_000_000, 100_000
#: bytes of the longest character: a cut may have to be so much earlier
_CHARACTER = 4


def cut(batch: int, stream: bytes, value_length: int | None = None) -> list[str]:
    """A stream as the values of numbered pieces, cut between characters.

    ``value_length``: what the SDK keeps of a value, in characters. A piece is at least one character, and longer than
    that where not even its numbers fit.
    """
    longest = PAYLOAD_BYTES if value_length is None else _payload(batch, len(stream), value_length)
    cuts = [0]
    while len(stream) - cuts[-1] > longest:
        at = cuts[-1] + longest
        while stream[at] & 0xC0 == 0x80:
            at -= 1
        cuts.append(at)
    cuts.append(len(stream))
    parts = len(cuts) - 1
    return [
        f"{batch}.{part}.{parts}.{cuts[part + 1] - cuts[part]}|{stream[cuts[part] : cuts[part + 1]].decode()}"
        for part in range(parts)
    ]


def _payload(batch: int, size: int, value_length: int) -> int:
    """The bytes of a payload that fits a value of this length with the numbers before it."""
    fits = PAYLOAD_BYTES
    for _ in range(4):  # fewer bytes make more parts, whose numbers have more digits
        parts = size // max(1, fits - _CHARACTER) + 1
        numbers = len(f"{batch}.{parts}.{parts}.{fits}|")
        fits = max(_CHARACTER, min(PAYLOAD_BYTES, value_length - numbers))
    return fits


def parse_piece(value: Any) -> tuple[int, int, int, int, str] | None:
    """Batch, part, parts, written bytes and payload of a piece; None where the value is no piece."""
    try:
        place, _, payload = value.partition("|")
        batch, part, parts, size = map(int, place.split("."))
    except (AttributeError, TypeError, ValueError):
        return None
    if not (0 <= batch < MAX_BATCHES and 0 <= part < parts < MAX_PARTS):
        return None
    return batch, part, parts, size, payload


def payload_bytes(payload: str) -> int:
    """What a payload has now; fewer than were written when it was cut on the way."""
    return len(payload) if payload.isascii() else len(payload.encode("utf-8", "surrogatepass"))
