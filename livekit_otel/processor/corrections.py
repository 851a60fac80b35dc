"""Corrections of turns whose span has ended, kept until another span of the session can carry them."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..turns.encode import Attributes, correction, correction_piece

__all__ = ["Corrections"]


class Corrections:
    """Changes to turns whose own span had already ended, kept until another span of the session can carry them."""

    LIMIT = 1_024

    def __init__(self) -> None:
        self._pending: dict[tuple[int, str], AttributeValue | None] = {}
        self.lost = 0

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, index: int, before: Mapping[str, AttributeValue], after: Mapping[str, AttributeValue]) -> None:
        """Record that a turn's span has the attributes ``before`` and should have ``after``."""
        for name in {**before, **after}:
            value = after.get(name)
            if before.get(name) != value:
                key = (index, name.removeprefix(attr.TURN_PREFIX))
                self._pending.pop(key, None)
                if len(self._pending) >= self.LIMIT:
                    self.lost += 1
                else:
                    self._pending[key] = value

    def take(self, room: int) -> Attributes:
        """Remove and return corrections for at most ``room`` attributes; the rest stays pending."""
        out: Attributes = {}
        parts: list[bytes] = []
        size = 2
        for key, value in list(self._pending.items()):
            part = correction(*key, value)
            if len(part) + 2 > attr.PIECE_BYTES:
                self.lost += 1
                del self._pending[key]
                continue
            if size + len(part) + 1 > attr.PIECE_BYTES:
                if len(out) + 1 >= room:
                    break
                out.update(correction_piece(len(out), parts))
                parts, size = [], 2
            if room <= 0:
                break
            parts.append(part)
            size += len(part) + 1
            del self._pending[key]
        if parts:
            out.update(correction_piece(len(out), parts))
        return out
