"""Formats values for people."""

from __future__ import annotations

from datetime import datetime, timezone

__all__ = ["clock", "plain"]


def clock(seconds: float | None) -> str:
    """A Unix time as text, in UTC."""
    if seconds is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "unknown"


def plain(value: object) -> str:
    """A string or a number as text; empty for other types."""
    return str(value) if value and isinstance(value, str | int | float) else ""
