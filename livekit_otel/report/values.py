"""Values as people read them."""

from __future__ import annotations

from datetime import datetime, timezone

__all__ = ["clock", "plain"]


def clock(seconds: float | None) -> str:
    """A unix time for people, in UTC."""
    if seconds is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "unknown"


def plain(value: object) -> str:
    """A word or a number as text; empty for what is neither."""
    return str(value) if value and isinstance(value, str | int | float) else ""
