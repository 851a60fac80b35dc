"""The processors in front of the exporter: they see the start of spans, which an exporter cannot."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from ...containment import report
from .export import LangfuseExporter

__all__ = ["LangfuseBatchProcessor", "LangfuseSimpleProcessor"]


class _Following(SpanProcessor):
    """Reports starts and ends of spans to the exporter; passes spans that can be sent to the next base class."""

    _langfuse: LangfuseExporter

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        super().on_start(span, parent_context)
        try:
            self._langfuse.started(span, trace.get_current_span(parent_context))
        except Exception as error:
            report("langfuse.start", error)

    def on_end(self, span: ReadableSpan) -> None:
        try:
            ready = self._langfuse.ended(span)
        except Exception as error:
            report("langfuse.end", error)
            ready = [span]
        for one in ready:
            super().on_end(one)

    def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
        self._release()
        return super().force_flush(timeout_millis)  # type: ignore[arg-type]  # a batch processor takes None, too

    def shutdown(self) -> None:
        self._release()
        super().shutdown()

    def _release(self) -> None:
        for one in self._langfuse.release():
            super().on_end(one)


class LangfuseBatchProcessor(_Following, BatchSpanProcessor):
    """Sends spans in the background."""

    def __init__(self, exporter: LangfuseExporter) -> None:
        super().__init__(exporter)
        self._langfuse = exporter


class LangfuseSimpleProcessor(_Following, SimpleSpanProcessor):
    """Sends each span in the thread that ends it."""

    def __init__(self, exporter: LangfuseExporter) -> None:
        super().__init__(exporter)
        self._langfuse = exporter
