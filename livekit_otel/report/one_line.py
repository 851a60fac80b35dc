"""Any text on one line that a terminal shows and does not obey, whatever a caller or a tool said."""

from __future__ import annotations

from typing import Any

from .._display import visible

__all__ = ["LONG", "one_line"]

LONG = 300


def one_line(value: Any, limit: int | None = LONG) -> str:
    """``value`` on one line. What is longer than ``limit`` characters ends with how many more there are."""
    try:
        text = " ".join(visible(value or "").split())
    except RecursionError:
        return ""
    if limit is None or len(text) <= limit:
        return text
    return f"{text[: limit - 1]}… (+{len(text) - limit + 1:,} characters)"
