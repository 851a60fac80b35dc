"""Watches the user's exporters for spans that they lose.

The SDK drops the oldest span of a full queue, and the whole batch that an exporter refuses, and keeps no count that can
be asked for (its own metrics need a meter provider and a variable). So two methods are watched, each on its own object
and not on its class: ``export`` of an exporter, and ``emit`` of the queue before it. Nothing is replaced or reordered,
and :func:`unwatch` takes the methods away again. Where an SDK is built differently, what it loses is not counted.
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

#: private names of the SDK that the queue's count needs: (attribute of, name)
PRIVATE_NAMES = (
    ("TracerProvider", "_active_span_processor"),
    ("SynchronousMultiSpanProcessor", "_span_processors"),
    ("BatchSpanProcessor", "_batch_processor"),
    ("BatchProcessor", "emit"),
    ("BatchProcessor", "_queue"),
    ("BatchProcessor", "_shutdown"),
)
#: a span that ends in the event loop must not wait longer than this for its export
_SLOW_EXPORT = 0.1
_ABSENT = object()


_watches: weakref.WeakSet[Watch] = weakref.WeakSet()
_lock = threading.Lock()


class Watch:
    """A method of ours in front of one of ``target``'s; the two objects live and die together."""

    name = ""

    def __init__(self, target: Any) -> None:
        self.target, self.active = target, True
        #: the provider was shut down, which was logged: what is lost now is only counted
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
        """Spans that are not delivered yet."""
        raise NotImplementedError

    def remove(self) -> None:
        """Leave the object as it was; where somebody wrapped on top of us, only step aside."""
        self.active = False
        if vars(self.target).get(self.name) is not self._method:
            return
        if self._before is _ABSENT:
            delattr(self.target, self.name)
        else:
            setattr(self.target, self.name, self._before)


class _Exports(Watch):
    """``exporter.export(spans)``: a batch that fails is lost, the SDK does not keep it."""

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
        # an export that was under way when it was switched off is not ours to count any more
        if self.active:
            losses.add(spans, cause, quiet=self.shut_down)

    def _blocks(self) -> None:
        self._in_call = False
        logger.warning(
            "livekit_otel: an export by %s took more than %.1f s in the thread that its span ended in, the "
            "call's own; give the exporter to a BatchSpanProcessor",
            self._exporter,
            _SLOW_EXPORT,
        )


class _Queue(Watch):
    """``emit(span)`` of the queue in a batch processor: when it is full, its oldest span goes."""

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
    """Watch the exporters that this provider has by now; asked again, also those that were added since."""
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
    """Put a watch in place, until :func:`unwatch`."""
    # an object that takes no attributes of its own is left alone
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
    """All watches that are in place."""
    return list(_watches)


def unwatch() -> None:
    """Every object as it was."""
    with _lock:
        for one in list(_watches):
            with contained("delivery.unwatch"):
                one.remove()
        _watches.clear()


def waiting() -> int:
    """Spans in queues, and in exports under way."""
    return sum(one.waiting for one in list(_watches))


def _forked() -> None:
    """In a child: nothing was lost here yet, no export is under way, and whoever held the lock is not here."""
    global _lock
    _lock = threading.Lock()
    losses.reset()
    for one in list(_watches):
        if isinstance(one, _Exports):
            one.in_flight = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
