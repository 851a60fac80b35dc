"""The result of a check."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Check", "Level"]

Level = Literal["ok", "note", "problem"]


class Check(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        area: ``packages``, ``instrumentation``, ``alongside``, ``environment``, ``endpoints`` or ``files``.
        level: ``ok``; ``note`` for useful information; ``problem`` if calls are not traced or exported correctly.
        text: the finding. Never contains a secret.
        fix: the change to make; empty if none is needed.
    """

    area: str
    level: Level
    text: str
    fix: str = ""
