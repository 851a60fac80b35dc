"""Tracer providers with the habits of those that people use: doubles without the packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@dataclass
class Made:
    """A provider, and the exporter that it came with."""

    provider: Any
    memory: InMemorySpanExporter
    #: the SDK's provider that does the work, if there is one
    inner: TracerProvider | None

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.memory.get_finished_spans())


class ReplacingProvider(TracerProvider):
    """As Phoenix's ``register()``: a processor that is added replaces, and shuts down, the one that it came with."""

    def __init__(self, default: SpanProcessor) -> None:
        super().__init__(shutdown_on_exit=False)
        super().add_span_processor(default)
        self._default_processor: SpanProcessor | None = default

    def add_span_processor(self, *args: Any, replace_default_processor: bool = True, **kwargs: Any) -> None:
        default = self._default_processor
        if default is not None and replace_default_processor:
            active: Any = self._active_span_processor
            active._span_processors = tuple(one for one in active._span_processors if one is not default)
            self._default_processor = None
            default.shutdown()
        super().add_span_processor(*args, **kwargs)


@dataclass
class WrappingProvider(trace.TracerProvider):
    """As Logfire's: a dataclass around an SDK provider, so without a hash, whose spans are wrappers, too."""

    provider: trace.TracerProvider
    tracers: list[Any] = field(default_factory=list)

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        self.tracers.append(_WrappingTracer(self.provider.get_tracer(*args, **kwargs)))
        tracer: trace.Tracer = self.tracers[-1]
        return tracer

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        if isinstance(self.provider, TracerProvider):
            self.provider.add_span_processor(span_processor)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return isinstance(self.provider, TracerProvider) and self.provider.force_flush(timeout_millis)


class _WrappingTracer(trace.Tracer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self.tracer = tracer

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> trace.Span:
        return WrappingSpan(self.tracer.start_span(name, context, *args, **kwargs))

    start_as_current_span = TracerProvider().get_tracer("").__class__.start_as_current_span


class _Forwarding(trace.Span):
    """A span whose methods are another one's."""

    def __init__(self, span: Any) -> None:
        self.span = span

    def end(self, end_time: int | None = None) -> None:
        self.span.end(end_time)

    def get_span_context(self) -> trace.SpanContext:
        context: trace.SpanContext = self.span.get_span_context()
        return context

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.span.set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self.span.set_attribute(key, value)

    def add_event(self, *args: Any, **kwargs: Any) -> None:
        self.span.add_event(*args, **kwargs)

    def update_name(self, name: str) -> None:
        self.span.update_name(name)

    def is_recording(self) -> bool:
        return bool(self.span.is_recording())

    def set_status(self, *args: Any, **kwargs: Any) -> None:
        self.span.set_status(*args, **kwargs)

    def record_exception(self, *args: Any, **kwargs: Any) -> None:
        self.span.record_exception(*args, **kwargs)

    def add_link(self, *args: Any, **kwargs: Any) -> None:
        self.span.add_link(*args, **kwargs)


class WrappingSpan(_Forwarding):
    """Hands on what it does not have itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.span, name)


class BareProvider(trace.TracerProvider):
    """As ddtrace's: makes tracers, and takes no processors. Its spans say nothing of themselves."""

    def __init__(self, make: Callable[..., trace.Tracer]) -> None:
        self._make = make

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return _BareTracer(self._make(*args, **kwargs))


class _BareTracer(_WrappingTracer):
    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> trace.Span:
        return _Bare(self.tracer.start_span(name, context, *args, **kwargs))


class _Bare(_Forwarding):
    def __init__(self, span: Any) -> None:
        self._hidden = span

    @property
    def span(self) -> Any:  # type: ignore[override]
        return self._hidden


def plain() -> Made:
    return _around(lambda provider: provider)


def replacing() -> Made:
    memory = InMemorySpanExporter()
    provider = ReplacingProvider(SimpleSpanProcessor(memory))
    return Made(provider, memory, provider)


def wrapping() -> Made:
    return _around(WrappingProvider)


def wrapped_twice() -> Made:
    return _around(lambda provider: WrappingProvider(WrappingProvider(provider)))


def bare() -> Made:
    made = _around(lambda provider: BareProvider(provider.get_tracer))
    made.inner = None
    return made


def _around(wrap: Callable[[TracerProvider], Any]) -> Made:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return Made(wrap(provider), memory, provider)


KINDS: dict[str, Callable[[], Made]] = {
    "plain": plain,
    "replacing": replacing,
    "wrapping": wrapping,
    "wrapped twice": wrapped_twice,
    "bare": bare,
}
