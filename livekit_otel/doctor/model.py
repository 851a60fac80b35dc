"""What a check says."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Check", "Level"]

Level = Literal["ok", "note", "problem"]


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        area: ``packages``, ``instrumentation``, ``alongside``, ``environment``, ``endpoints`` or ``files``.
        level: ``ok``; ``note``, good to know; ``problem``, calls are not traced or not exported as they should be.
        text: what was found. Never holds a secret.
        fix: what to change; empty where nothing needs to be.
    """

    area: str
    level: Level
    text: str
    fix: str = ""
