"""Data that all turns of a running session share: recent sounds and tool runs."""

from __future__ import annotations

from bisect import insort

from opentelemetry.sdk.trace import ReadableSpan

from .. import attributes as attr
from ..turns.around import heard
from ..turns.intervals import Interval, by_end, insert

__all__ = ["Shared"]

#: number of intervals of sound to keep; silences exclude them
MAX_SOUNDS = 256
MAX_TOOLS = 64


class Shared:
    """Recent sounds and tool runs. Bounded: the oldest are dropped.

    Attributes:
        sounds: when the user or the agent was heard, merged.
        tools: when completed tools ran, by their end.
    """

    __slots__ = ("sounds", "tools")

    def __init__(self) -> None:
        self.sounds: list[Interval] = []
        self.tools: list[Interval] = []

    def take(self, span: ReadableSpan) -> list[Interval]:
        """Record an ended stage. Returns the sounds in it."""
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
