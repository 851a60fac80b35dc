"""Pieces of a journal stream: ``<batch>.<part>.<parts>.<bytes>|<payload>``, one span attribute each."""

from __future__ import annotations

from typing import Any

from .. import attributes as attr

__all__ = ["MAX_BATCHES", "cut", "parse_piece", "payload_bytes"]

#: maximum size of a payload, so that a piece with its header stays below ``attributes.MAX_VALUE_BYTES``
PAYLOAD_BYTES = attr.PIECE_BYTES
#: higher numbers cannot come from a journal of livekit_otel
MAX_BATCHES, MAX_PARTS = 1_000_000, 100_000
#: bytes of the longest character: a cut may have to be this much earlier
_CHARACTER = 4


def cut(batch: int, stream: bytes, value_length: int | None = None) -> list[str]:
    """Cut a stream between characters, and return the values of its numbered pieces.

    ``value_length``: the SDK's limit on a value, in characters. A piece has at least one character of payload, even if
    the limit is too small for its numbers.
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
    """Return the bytes of payload that fit a value of this length after its numbers."""
    fits = PAYLOAD_BYTES
    for _ in range(4):  # smaller payloads make more parts, whose numbers have more digits
        parts = size // max(1, fits - _CHARACTER) + 1
        numbers = len(f"{batch}.{parts}.{parts}.{fits}|")
        fits = max(_CHARACTER, min(PAYLOAD_BYTES, value_length - numbers))
    return fits


def parse_piece(value: Any) -> tuple[int, int, int, int, str] | None:
    """Return batch, part, parts, written bytes and payload of a piece; None if the value is not a piece."""
    try:
        place, _, payload = value.partition("|")
        batch, part, parts, size = map(int, place.split("."))
    except (AttributeError, TypeError, ValueError):
        return None
    if not (0 <= batch < MAX_BATCHES and 0 <= part < parts < MAX_PARTS):
        return None
    return batch, part, parts, size, payload


def payload_bytes(payload: str) -> int:
    """Return the current bytes of a payload; fewer than written if it was truncated in transit."""
    return len(payload) if payload.isascii() else len(payload.encode("utf-8", "surrogatepass"))
