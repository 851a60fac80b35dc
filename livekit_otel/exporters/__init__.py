"""Exporters: one module per destination that needs more than a plain OTLP exporter."""

from __future__ import annotations

from .files import rotating_files
from .langfuse_preset import langfuse

__all__ = ["langfuse", "rotating_files"]
