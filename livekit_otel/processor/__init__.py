"""Span processors: derive turns while calls run, and keep the spans of recent sessions in memory."""

from __future__ import annotations

from .in_memory import SessionSpans
from .processor import TurnSpanProcessor

__all__ = ["SessionSpans", "TurnSpanProcessor"]
