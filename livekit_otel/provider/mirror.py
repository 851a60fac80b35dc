"""Turn latencies for providers without processors: each span gets an SDK span as a double, which a processor sees.

When a span ends, the attributes that the processor set on its double are copied to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["tracer_for"]


class _SameIds(RandomIdGenerator):
    """Gives doubles the ids of their original spans."""

    def __init__(self) -> None:
        self.context = trace.INVALID_SPAN_CONTEXT

    def generate_span_id(self) -> int:
        return self.context.span_id

    def generate_trace_id(self) -> int:
        return self.context.trace_id


class MirroredTracer(trace.Tracer):
    """Starts a span with ``tracer``, and a double that ``processor`` sees."""

    def __init__(self, tracer: trace.Tracer, scope: str, processor: SpanProcessor) -> None:
        self._tracer = tracer
        self._ids = _SameIds()
        provider = TracerProvider(sampler=ALWAYS_ON, id_generator=self._ids, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self._doubles = provider.get_tracer(scope)

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        more = (kind, attributes, links, start_time, record_exception, set_status_on_exception)
        span = self._tracer.start_span(name, context, *more)
        if not span.is_recording():
            return span
        self._ids.context = span.get_span_context()
        return MirroredSpan(span, self._doubles.start_span(name, context, *more), attributes)

    @property
    def start_as_current_span(self) -> Callable[..., Any]:
        return self._tracer.start_as_current_span


class MirroredSpan(trace.Span):
    """A span and its double."""

    def __init__(self, span: trace.Span, double: trace.Span, given: Attributes) -> None:
        self._span = span
        self._double: Any = double
        self._given = dict(given or {})

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._given.update(attributes)
        self._span.set_attributes(attributes)
        self._double.set_attributes(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self.set_attributes({key: value})

    def set_status(self, status: trace.Status | trace.StatusCode, description: str | None = None) -> None:
        self._span.set_status(status, description)
        self._double.set_status(status, description)

    def end(self, end_time: int | None = None) -> None:
        derived = {key: value for key, value in (self._double.attributes or {}).items() if key not in self._given}
        if derived:
            self._span.set_attributes(derived)
        self._span.end(end_time)
        self._double.end(end_time)

    def get_span_context(self) -> trace.SpanContext:
        return self._span.get_span_context()

    def is_recording(self) -> bool:
        return self._span.is_recording()

    def add_event(
        self, name: str, attributes: Mapping[str, AttributeValue] | None = None, timestamp: int | None = None
    ) -> None:
        self._span.add_event(name, attributes, timestamp)

    def add_link(self, context: trace.SpanContext, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        self._span.add_link(context, attributes)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, AttributeValue] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self._span.record_exception(exception, attributes, timestamp, escaped)

    def update_name(self, name: str) -> None:
        self._span.update_name(name)


def tracer_for(provider: trace.TracerProvider, scope: str, processor: SpanProcessor | None) -> trace.Tracer:
    """The provider's tracer; with ``processor``, a tracer that passes it every span."""
    tracer = provider.get_tracer(scope)
    return tracer if processor is None else MirroredTracer(tracer, scope, processor)
