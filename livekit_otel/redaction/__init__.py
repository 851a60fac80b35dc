"""Partial redaction: applies the user's ``redact``, and provides the ready-made :class:`PatternRedactor`."""

from __future__ import annotations

from . import kinds
from .apply import Redact, Redaction
from .patterns import PatternRedactor

__all__ = ["PatternRedactor", "Redact", "Redaction", "kinds"]
