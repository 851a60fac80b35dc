"""The words of a turn, as many as its span can have."""

from __future__ import annotations

__all__ = ["TEXT_LIMIT", "joined"]

TEXT_LIMIT = 8_000


def joined(before: str, text: str) -> str:
    return (f"{before} {text}" if before else text)[:TEXT_LIMIT]
