"""Recognizers that failed inside an adapter, while another recognizer continues the utterance."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.util.types import AttributeValue

from ..span import PipelineSpan, SpanOwner
from .stt_metrics import summed

__all__ = ["FailedRecognizers"]

_MAX_FAILED = 8
Fields = dict[str, AttributeValue]


class FailedRecognizers:
    """Spans of the failed recognizers of an utterance that is not committed yet.

    ``usage(fields)`` returns the pending usage of the recognizer that these fields name.
    """

    def __init__(self, usage: Callable[[Fields], Fields]) -> None:
        self._usage = usage
        self._spans: list[tuple[PipelineSpan, int, Fields]] = []

    def add(self, span: PipelineSpan, at_ns: int, attributes: Fields) -> None:
        """A recognizer failed at ``at_ns``."""
        if len(self._spans) < _MAX_FAILED:
            self._spans.append((span, at_ns, attributes))
        else:
            span.end(at_ns)

    def give(self, owner: SpanOwner) -> None:
        """End the spans: those that began after the owner become its own, earlier ones stay without a turn."""
        spans, self._spans = self._spans, []
        for span, end_ns, before in spans:
            if span.start_ns >= owner.span.start_ns:
                span.move_to(owner)
            span.end(end_ns, attributes=summed(before, self._usage(before)))
