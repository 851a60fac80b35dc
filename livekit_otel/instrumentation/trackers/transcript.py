"""One final transcript, from the beginning of its speech to its arrival."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from ..span import PipelineSpan

__all__ = ["Transcript"]


class Transcript:
    """``agent`` is the ID of the agent that the user spoke to, ``span`` is set if the recognition had a live span, and
    ``held_ns`` if an ``stt_node`` held it back: since then. Times are unix nanoseconds."""

    __slots__ = ("agent", "attributes", "end_ns", "held_ns", "span", "start_ns", "text")

    def __init__(self, start_ns: int, end_ns: int, text: str, attributes: dict[str, AttributeValue]) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.text = text
        self.attributes = attributes
        self.span: PipelineSpan | None = None
        self.agent: str | None = None
        self.held_ns: int | None = None
