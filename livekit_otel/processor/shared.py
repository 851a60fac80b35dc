"""What all turns of a live session share: when somebody was heard lately, and when tools ran."""

from __future__ import annotations

from bisect import insort

from opentelemetry.sdk.trace import ReadableSpan

from .. import attributes as attr
from ..turns.around import heard
from ..turns.intervals import Interval, by_end, insert

__all__ = ["Shared"]

#: stretches of sound that are remembered: silences are free of them
MAX_SOUNDS = 256
MAX_TOOLS = 64


class Shared:
    """Bounded: the oldest is forgotten.

    Attributes:
        sounds: when somebody was heard, merged.
        tools: when tools ran that have ended, by their end.
    """

    __slots__ = ("sounds", "tools")

    def __init__(self) -> None:
        self.sounds: list[Interval] = []
        self.tools: list[Interval] = []

    def take(self, span: ReadableSpan) -> list[Interval]:
        """A stage has ended. Returns the sounds that it brings."""
        start = span.start_time or 0
        end = span.end_time or start
        if span.name == attr.KIND_TOOL:
            insort(self.tools, (start, end), key=by_end)
            del self.tools[:-MAX_TOOLS]
            return []
        sounds = heard(span.name, start, end, span.attributes or {})
        for sound in sounds:
            insert(sound, self.sounds)
            del self.sounds[:-MAX_SOUNDS]
        return sounds
