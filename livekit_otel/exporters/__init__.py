"""Exporters with features that a plain OTLP exporter lacks: durable files, and calls mapped to Langfuse's model."""

from __future__ import annotations

from .files import RotatingFileExporter, rotating_files
from .langfuse_preset import langfuse

__all__ = ["RotatingFileExporter", "langfuse", "rotating_files"]
