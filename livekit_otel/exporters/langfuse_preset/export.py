"""The exporter: maps copies of spans and sends them in requests small enough for Langfuse."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ...containment import where
from .ancestry import Ancestry
from .fields import size_of
from .spans import Settings, SpanMapping
from .usage import is_billed, usage_buckets

__all__ = ["LangfuseExporter"]

logger = logging.getLogger("livekit_otel")

#: Characters of attributes per request: proxies in front of Langfuse would reject a whole batch of journals.
_MAX_REQUEST = 1_500_000


class LangfuseExporter(SpanExporter):
    """Maps copies of spans and passes them to ``inner``.

    A processor of :mod:`.processor` reports the start and end of spans; without it, a span whose parent is dropped
    keeps that parent.
    """

    def __init__(self, inner: SpanExporter, settings: Settings) -> None:
        self._inner = inner
        self._repeated = settings.foreign_usage == "drop"

        def counts(kind: str, attributes: object) -> bool:
            return bool(usage_buckets(kind, attributes, metrics=True, units=False, prices=settings.prices))  # type: ignore[arg-type]

        self._ancestry = Ancestry(native=settings.native == "keep", usage=counts)
        self._mapping = SpanMapping(settings, self._ancestry)
        # a simple processor exports in the thread in which a span ends
        self._lock = threading.Lock()
        self._warned = False

    def started(self, span: ReadableSpan, parent: trace.Span) -> None:
        """Record the start of a span; ``parent`` is the span of the context that it starts in."""
        self._ancestry.started(span, parent)

    def ended(self, span: ReadableSpan) -> list[ReadableSpan]:
        """The spans to export now that ``span`` has ended."""
        return self._ancestry.ended(span, repeats=self._repeated and is_billed(span.attributes or {}))

    def release(self) -> list[ReadableSpan]:
        """The spans that wait for another span to end."""
        return self._ancestry.release()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Returns SUCCESS if all requests were accepted."""
        with self._lock:
            self._mapping.learn(spans)
            mapped = [copy for span in spans if (copy := self._mapped(span)) is not None]
        result = SpanExportResult.SUCCESS
        for request in _requests(mapped):
            if self._inner.export(request) is not SpanExportResult.SUCCESS:
                result = SpanExportResult.FAILURE
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Does nothing, because no span is held back here."""
        return self._inner.force_flush(timeout_millis)

    def _mapped(self, span: ReadableSpan) -> ReadableSpan | None:
        try:
            return self._mapping.copy(span)
        except Exception as error:
            # send the span unmapped rather than lose it
            if not self._warned:
                self._warned = True
                logger.warning("livekit_otel: a span could not be mapped for Langfuse\n%s", where(error))
            return span


def _requests(spans: Sequence[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    request: list[ReadableSpan] = []
    size = 0
    for span in spans:
        more = size_of(span)
        if request and size + more > _MAX_REQUEST:
            yield request
            request, size = [], 0
        request.append(span)
        size += more
    if request:
        yield request
