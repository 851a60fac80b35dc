"""The preset for Langfuse: spans as its pages and costs want them, sent by OTLP."""

from __future__ import annotations

from .preset import langfuse

__all__ = ["langfuse"]
