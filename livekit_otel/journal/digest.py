"""Digests of journal entries, to detect later changes without keeping the entries."""

from __future__ import annotations

from typing import Any

import msgspec

from .format import encode

__all__ = ["digest"]


def digest(key: int | str, dump: dict[str, Any]) -> int:
    """Return a 64-bit digest of a dump and its key."""
    try:
        data = _ENCODER.encode(dump)
    except Exception:
        # values that msgspec rejects: lone surrogates, keys that are not strings, numbers beyond 64 bits
        data = encode(_plain(dump))
    return hash((key, data)) & 0xFFFFFFFFFFFFFFFF


def _no_json(value: Any) -> str | None:
    return str.__str__(value) if isinstance(value, str) else None


_ENCODER = msgspec.json.Encoder(enc_hook=_no_json)


def _plain(value: Any) -> Any:
    """Return a JSON-ready copy; values that JSON cannot hold become null."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or type(value) in (str, bool, int, float):
        return value
    return str.__str__(value) if isinstance(value, str) else None
