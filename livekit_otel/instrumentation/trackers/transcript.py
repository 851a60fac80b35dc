"""One final transcript, from the beginning of its speech to its arrival."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..span import PipelineSpan

__all__ = ["Transcript"]


class Transcript:
    """Times are unix nanoseconds.

    Attributes:
        agent: ID of the agent that the user spoke to.
        span: set if the recognition had a live span.
        held_ns: since when an ``stt_node`` held it back, if it did.
        spoken_ns: until when the user spoke, if the recognizer alone detects that.
    """

    __slots__ = ("agent", "attributes", "end_ns", "held_ns", "span", "spoken_ns", "start_ns", "text")

    def __init__(self, start_ns: int, end_ns: int, text: str, attributes: dict[str, AttributeValue]) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.text = text
        self.attributes = attributes
        self.span: PipelineSpan | None = None
        self.agent: str | None = None
        self.held_ns: int | None = None
        self.spoken_ns: int | None = None

    @property
    def spoken(self) -> dict[str, AttributeValue]:
        """Attributes of the speech that the recognizer alone detected."""
        if self.spoken_ns is None or self.spoken_ns <= self.start_ns:
            return {}
        return {attr.STT_SPOKEN: (self.spoken_ns - self.start_ns) / 1e9}
