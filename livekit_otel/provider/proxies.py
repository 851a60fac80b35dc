"""Tracer providers as they are met: the SDK's, subclasses with habits of their own, proxies around them.

Two objects are the same provider when they end at the same one, however many wrappers are in between. Nothing here
needs a provider to be hashable, and nothing raises.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from opentelemetry import trace
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SDKTracerProvider

__all__ = [
    "ByIdentity",
    "add_processor",
    "core",
    "innermost_span",
    "keeping_processors",
    "made",
    "of_the_sdk",
    "processors",
    "records",
    "reference",
    "same",
    "takes_processors",
]

K = TypeVar("K")
V = TypeVar("V")

#: where the SDK keeps a provider's processors; a span knows them by the name below
_PROCESSORS = "_active_span_processor"
_SPAN_PROCESSORS = "_span_processor"
_MAX_DEPTH = 8
_MAX_VALUES = 64


class ByIdentity(Generic[K, V]):
    """A value for an object, whatever its ``__eq__`` and ``__hash__``; held weakly where the object allows it."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[Callable[[], Any], V]] = {}

    def get(self, key: K) -> V | None:
        found = self._values.get(id(key))
        return found[1] if found is not None and found[0]() is key else None

    def values(self) -> list[V]:
        """All values, of objects that are still there."""
        return [value for held, value in list(self._values.values()) if held() is not None]

    def set(self, key: K, value: V) -> None:
        held = reference(key, self._forget)
        while len(self._values) >= _MAX_VALUES:
            self._values.pop(next(iter(self._values)))
        self._values[id(key)] = (held, value)

    def _forget(self, number: int) -> None:
        self._values.pop(number, None)

    def discard(self, key: K) -> None:
        if self.get(key) is not None:
            del self._values[id(key)]


def reference(target: K, forget: Callable[[int], None] | None = None) -> Callable[[], Any]:
    """A weak reference, or a strong one to what takes none. ``forget`` is called with its id when it is gone."""
    number = id(target)
    try:
        return weakref.ref(target, (lambda _: forget(number)) if forget is not None else None)
    except TypeError:
        return lambda: target


def core(provider: trace.TracerProvider) -> Any:
    """The provider at the end of a chain of proxies and wrappers; the global one for OpenTelemetry's own proxy."""
    for _ in range(_MAX_DEPTH):
        inner = _inner(provider)
        if inner is None or inner is provider:
            break
        provider = inner
    return provider


def same(one: trace.TracerProvider, other: trace.TracerProvider) -> bool:
    """Whether spans of both end in the same processors."""
    if one is other:
        return True
    first, second = core(one), core(other)
    if first is second:
        return True
    processors = getattr(first, _PROCESSORS, None)
    return processors is not None and processors is getattr(second, _PROCESSORS, None)


def records(provider: trace.TracerProvider) -> bool:
    """Whether spans of this provider can be recorded at all."""
    kind = type(provider)
    if kind is SDKTracerProvider or kind is trace.NoOpTracerProvider:  # asked at each stage, and of these as a rule
        return kind is SDKTracerProvider
    return not isinstance(core(provider), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def made(provider: trace.TracerProvider, span: trace.Span) -> bool | None:
    """Whether a span is this provider's; None where neither is known."""
    theirs = getattr(innermost_span(span), _SPAN_PROCESSORS, None)
    ours = getattr(core(provider), _PROCESSORS, None)
    return None if theirs is None or ours is None else theirs is ours


def innermost_span(span: trace.Span) -> Any:
    """The span inside the wrappers that some providers put around theirs."""
    for _ in range(_MAX_DEPTH):
        if isinstance(span, SDKSpan | trace.NonRecordingSpan):
            break
        fields = _fields(span)
        inner = fields.get("span", fields.get("__wrapped__"))
        if not isinstance(inner, trace.Span):
            break
        span = inner
    return span


def of_the_sdk(provider: trace.TracerProvider) -> bool:
    """Whether spans of this provider are the SDK's, inside of whatever is around them."""
    return hasattr(core(provider), _PROCESSORS)


def takes_processors(provider: trace.TracerProvider) -> bool:
    """Whether a processor can be added to this provider, or to the one inside of it."""
    return any(callable(getattr(one, "add_span_processor", None)) for one in (provider, core(provider)))


def add_processor(provider: trace.TracerProvider, processor: SpanProcessor) -> None:
    """Add a processor beside those that are there, also where adding one replaces a default, or where a wrapper's
    method does nothing."""
    inner = core(provider)
    with keeping_processors(provider):
        before = list(processors(inner))
        for target in (provider, inner):
            add = getattr(target, "add_span_processor", None)
            if add is not None:
                add(processor, **_beside(add))
            if target is inner or len(list(processors(inner))) > len(before):
                return


def processors(provider: trace.TracerProvider) -> Iterator[Any]:
    """The processors that a provider has now, those inside of other ones included."""
    yield from _flat(getattr(core(provider), _PROCESSORS, None))


@contextmanager
def keeping_processors(provider: trace.TracerProvider) -> Iterator[None]:
    """While this lasts, whoever adds a processor to ``provider`` adds it beside a default that it would replace."""
    target = core(provider)
    add: Callable[..., Any] = getattr(target, "add_span_processor", _nothing)
    keywords = _beside(add)
    if not keywords or "add_span_processor" in _fields(target):
        yield
        return
    target.add_span_processor = functools.partial(add, **keywords)
    try:
        yield
    finally:
        del target.add_span_processor


def _nothing() -> None:
    """Instead of a method that is not there."""


def _beside(add: Callable[..., Any]) -> dict[str, bool]:
    """The keywords that keep ``add_span_processor`` from replacing what is there (Phoenix has such a one)."""
    try:
        parameters = inspect.signature(add).parameters.values()
    except (TypeError, ValueError):
        return {}
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {one.name: False for one in parameters if one.kind in named and one.name.startswith("replace")}


def _flat(processor: SpanProcessor | None) -> Iterator[Any]:
    inner = getattr(processor, "_span_processors", None)
    if inner is not None:
        for one in inner:
            yield from _flat(one)
    elif processor is not None:
        yield processor


def _inner(provider: trace.TracerProvider) -> Any | None:
    """What a provider that is only a wrapper wraps; None for one that makes spans itself."""
    kind = type(provider)
    if issubclass(kind, SDKTracerProvider):
        if _PROCESSORS in provider.__dict__:
            return None
    elif issubclass(kind, trace.ProxyTracerProvider):
        resolve: Callable[[], Any] = getattr(provider, "resolved", trace.get_tracer_provider)
        return resolve()
    elif issubclass(kind, trace.NoOpTracerProvider):
        return None
    elif (wrapped := getattr(provider, "__wrapped__", None)) is not None:
        return wrapped
    return next((one for one in _fields(provider).values() if callable(getattr(one, "get_tracer", None))), None)


def _fields(target: K) -> dict[str, Any]:
    """What an object holds itself: not what it gets from its class or hands on from what it wraps."""
    fields: dict[str, Any] = {}
    try:
        fields.update(object.__getattribute__(target, "__dict__"))
    except AttributeError:
        pass
    for cls in type(target).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            try:
                fields[name] = object.__getattribute__(target, name)
            except AttributeError:
                continue
    return fields
