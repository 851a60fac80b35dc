"""Pieces of a journal stream: ``<batch>.<part>.<parts>.<bytes>|<payload>``, one span attribute each."""

from __future__ import annotations

from typing import Any

from .. import attributes as attr

#: what a payload may have, so that a piece with its header stays under ``attributes.MAX_VALUE_BYTES``
PAYLOAD_BYTES = attr.PIECE_BYTES
#: numbers beyond these are no journal of ours
MAX_BATCHES, MAX_PARTS = 1_000_000, 100_000


def cut(batch: int, stream: bytes) -> list[str]:
    """A stream as the values of numbered pieces, cut between characters."""
    cuts = [0]
    while len(stream) - cuts[-1] > PAYLOAD_BYTES:
        at = cuts[-1] + PAYLOAD_BYTES
        while stream[at] & 0xC0 == 0x80:
            at -= 1
        cuts.append(at)
    cuts.append(len(stream))
    parts = len(cuts) - 1
    return [
        f"{batch}.{part}.{parts}.{cuts[part + 1] - cuts[part]}|{stream[cuts[part] : cuts[part + 1]].decode()}"
        for part in range(parts)
    ]


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
