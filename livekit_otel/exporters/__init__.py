"""Exporters for what a plain OTLP exporter does not do: durable files, and Langfuse's own view of a call."""

from __future__ import annotations

from .files import RotatingFileExporter, rotating_files
from .langfuse_preset import langfuse

__all__ = ["RotatingFileExporter", "langfuse", "rotating_files"]
