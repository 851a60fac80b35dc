"""The preset for Langfuse: maps spans to its pages and costs, and sends them by OTLP."""

from __future__ import annotations

from .preset import langfuse

__all__ = ["langfuse"]
