"""Watches the user's exporters for spans that they lose.

The SDK drops the oldest span of a full queue, and the whole batch that an exporter rejects, without a count that can
be read (its own metrics need a meter provider and an environment variable). So two methods are wrapped, on the objects
and not on their classes: ``export`` of an exporter, and ``emit`` of the queue before it. No object is replaced or
reordered, and :func:`unwatch` removes the wrappers. If an SDK is built differently, its losses are not counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import TracerProvider

from ..containment import contain, contained
from . import proxies
from .export_losses import losses

__all__ = ["Watch", "put", "unwatch", "waiting", "watch", "watches"]

logger = logging.getLogger("livekit_otel")

#: private names of the SDK that counting in the queue needs: (object, name)
PRIVATE_NAMES = (
    ("TracerProvider", "_active_span_processor"),
    ("SynchronousMultiSpanProcessor", "_span_processors"),
    ("BatchSpanProcessor", "_batch_processor"),
    ("BatchProcessor", "emit"),
    ("BatchProcessor", "_queue"),
    ("BatchProcessor", "_shutdown"),
)
#: a span that ends in the event loop must not wait for its export longer than this
_SLOW_EXPORT = 0.1
_ABSENT = object()


_watches: weakref.WeakSet[Watch] = weakref.WeakSet()
_lock = threading.Lock()


class Watch:
    """A wrapper around one of ``target``'s methods; both objects have the same lifetime."""

    name = ""

    def __init__(self, target: Any) -> None:
        self.target, self.active = target, True
        #: whether the provider was shut down, which is logged: later losses are only counted
        self.shut_down = False
        self._before = vars(target).get(self.name, _ABSENT)
        original = getattr(target, self.name)

        def method(*args: Any, **kwargs: Any) -> Any:
            return self.around(original, args, kwargs) if self.active else original(*args, **kwargs)

        self._method = method
        setattr(target, self.name, method)

    def around(self, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        """Number of spans that are not delivered yet."""
        raise NotImplementedError

    def remove(self) -> None:
        """Restore the object; if another wrapper surrounds this one, only deactivate it."""
        self.active = False
        if vars(self.target).get(self.name) is not self._method:
            return
        if self._before is _ABSENT:
            delattr(self.target, self.name)
        else:
            setattr(self.target, self.name, self._before)


class _Exports(Watch):
    """``exporter.export(spans)``: a failed batch is lost, because the SDK does not keep it."""

    name = "export"

    def __init__(self, exporter: Any, *, in_call: bool) -> None:
        self._exporter = type(exporter).__name__
        self._in_call = in_call
        self.in_flight = 0
        super().__init__(exporter)

    @property
    def waiting(self) -> int:
        return self.in_flight

    def around(self, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        spans = args[0] if args else kwargs.get("spans", ())
        started = time.monotonic()
        self.in_flight = len(spans)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            self._lost(spans, f"{self._exporter} ({type(error).__name__})")
            raise
        finally:
            self.in_flight = 0
        if result is SpanExportResult.FAILURE:
            self._lost(spans, f"{self._exporter} (not accepted)")
        if self._in_call and time.monotonic() - started > _SLOW_EXPORT:
            self._blocks()
        return result

    @contain("delivery.export")
    def _lost(self, spans: Any, cause: str) -> None:
        # an export that was in progress when the watch was deactivated no longer counts
        if self.active:
            losses.add(spans, cause, quiet=self.shut_down)

    def _blocks(self) -> None:
        self._in_call = False
        logger.warning(
            "livekit_otel: an export by %s took more than %.1f s in the thread in which its span ended, which is the "
            "call's own; pass the exporter to a BatchSpanProcessor",
            self._exporter,
            _SLOW_EXPORT,
        )


class _Queue(Watch):
    """``emit(span)`` of the queue in a batch processor: a full queue drops its oldest span."""

    name = "emit"

    def __init__(self, queue: Any, exporter: str) -> None:
        self._exporter = exporter
        super().__init__(queue)

    @property
    def waiting(self) -> int:
        return len(self.target._queue)

    def around(self, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._look(*args)
        return original(*args, **kwargs)

    @contain("delivery.queue")
    def _look(self, span: Any) -> None:
        queue = self.target._queue
        if getattr(self.target, "_shutdown", False):
            losses.add((span,), f"{self._exporter} (after its shutdown)", quiet=self.shut_down)
        elif len(queue) == queue.maxlen:
            losses.add((queue[-1],), f"{self._exporter} (queue full)")


@contain("delivery.watch")
def watch(provider: TracerProvider) -> None:
    """Watch the current exporters of this provider; a repeated call adds those added since."""
    with _lock:
        watched = {(id(one.target), one.name) for one in _watches}
        for processor in _processors(getattr(proxies.core(provider), "_active_span_processor", None)):
            exporter = getattr(processor, "span_exporter", None)
            if exporter is None:
                continue
            batch = getattr(processor, "_batch_processor", None)
            if (id(exporter), "export") not in watched:
                put(lambda: _Exports(exporter, in_call=batch is None))  # noqa: B023 (called at once)
            if batch is not None and (id(batch), "emit") not in watched and hasattr(batch, "_queue"):
                put(lambda: _Queue(batch, type(exporter).__name__))  # noqa: B023


def put(make: Callable[[], Watch]) -> None:
    """Install a watch until :func:`unwatch` is called."""
    # an object that does not allow new attributes is not watched
    with contained("delivery.put"):
        _watches.add(make())


def _processors(processor: Any) -> Iterator[Any]:
    inner = getattr(processor, "_span_processors", None)
    if inner is None:
        yield processor
    else:
        for one in inner:
            yield from _processors(one)


def watches() -> list[Watch]:
    """All installed watches."""
    return list(_watches)


def unwatch() -> None:
    """Remove all watches."""
    with _lock:
        for one in list(_watches):
            with contained("delivery.unwatch"):
                one.remove()
        _watches.clear()


def waiting() -> int:
    """Number of spans in queues and in exports in progress."""
    return sum(one.waiting for one in list(_watches))


def _forked() -> None:
    """In a child process: no losses yet, no export in progress, and the thread that held the lock does not exist."""
    global _lock
    _lock = threading.Lock()
    losses.reset()
    for one in list(_watches):
        if isinstance(one, _Exports):
            one.in_flight = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
