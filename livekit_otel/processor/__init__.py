"""Span processors: turns derived while calls run, and the spans of recent sessions in memory."""

from __future__ import annotations

from .in_memory import SessionSpans
from .processor import TurnSpanProcessor

__all__ = ["SessionSpans", "TurnSpanProcessor"]
