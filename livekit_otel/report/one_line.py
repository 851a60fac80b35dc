"""Makes any text of callers or tools a single line without control characters, safe for a terminal."""

from __future__ import annotations

from typing import Any

from .._display import visible

__all__ = ["LONG", "one_line"]

LONG = 300


def one_line(value: Any, limit: int | None = LONG) -> str:
    """``value`` on one line. Texts are cut at ``limit`` characters, and then end with the number of cut characters."""
    try:
        text = " ".join(visible(value or "").split())
    except RecursionError:
        return ""
    if limit is None or len(text) <= limit:
        return text
    return f"{text[: limit - 1]}… (+{len(text) - limit + 1:,} characters)"
