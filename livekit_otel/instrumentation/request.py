"""What requests to an LLM and to a TTS have in common: a live span, attempts, metrics that come from another task."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from . import livekit_api
from .guard import contained
from .stage import CANCELLED, DISCARDED, Stage
from .turn import Turn, model_name
from .values import now_ns

if TYPE_CHECKING:
    from .session import SessionState


#: set while a fallback adapter's stream runs: those inside, and those that probe a failed model later, are its own
_in_adapter: contextvars.ContextVar[bool] = contextvars.ContextVar("livekit_otel_adapter", default=False)


class Request:
    """One request. It ends when its work and its reporting are done, and its speech is settled."""

    def __init__(self, tracker: RequestTracker, stage: Stage, handle: Any, turn: Turn | None) -> None:
        self._tracker = tracker
        self.stage = stage
        self.handle = handle
        self.turn = turn
        self.native = False
        #: a fallback adapter asked: whether the turn failed with this request shows when the adapter is done
        self.in_adapter = _in_adapter.get()
        self.attempts = 1
        self.has_metrics = False
        self._end_ns: int | None = None
        self._reported = False
        self._outcome: str | None = None
        self._attributes: dict[str, AttributeValue] = {}

    @property
    def speech_id(self) -> str | None:
        return self.handle.id if self.handle is not None else None

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Attributes that the span gets when it ends."""
        self._attributes.update(attributes)

    def reported(self, attributes: dict[str, AttributeValue]) -> None:
        """LiveKit's metrics of this request arrived."""
        self.has_metrics = True
        self.set(attributes)
        name = model_name(attributes)
        if self.turn is not None and name is not None:
            self.turn.models.setdefault(name)

    def work_done(self, end_ns: int, error: BaseException | None) -> None:
        self._end_ns = end_ns
        if isinstance(error, asyncio.CancelledError):
            self._outcome = CANCELLED
        elif error is not None:
            self.stage.fail(error, content=self._tracker.state.content)
            if self.turn is not None and not self.in_adapter:
                self.turn.failed(self.stage.kind, error)
        self.finish_if_settled()

    def report_done(self) -> None:
        self._reported = True
        self.finish_if_settled()

    def finish_if_settled(self, *, discard: bool = False) -> None:
        if self._end_ns is None or not self._reported:
            return
        if self.handle is not None and not self.handle.scheduled and not self.handle.done() and not discard:
            return  # a preemptive generation: whether it is used is not known yet
        self.finish(self._end_ns)

    def finish(self, at_ns: int) -> None:
        """End the span, whatever is missing."""
        if self.stage.ended:
            return
        outcome = self._outcome if self._end_ns is not None else CANCELLED
        if self.handle is not None and not self.handle.scheduled:
            outcome = DISCARDED
        self._tracker.finished(self)
        self.stage.end(self._end_ns if self._end_ns is not None else at_ns, outcome, self._attributes)


class RequestTracker:
    """Open requests of one kind in one session."""

    kind = ""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self._state = state
        self._open: dict[int, Request] = {}
        self._streams: weakref.WeakKeyDictionary[Any, Request] = weakref.WeakKeyDictionary()

    def open(self, handle: Any, attributes: dict[str, AttributeValue]) -> Request:
        turn = self._state.turns.working(handle) if handle is not None else None
        if handle is not None:
            attributes[attr.SPEECH_ID] = handle.id
        parent = turn.context if turn is not None else self._state.context
        stage = self._state.spans.start(self.kind, parent, now_ns(), attributes)
        if turn is not None and not _in_adapter.get():
            turn.tried_again(self.kind)
        request = Request(self, stage, handle, turn)
        self._open[id(request)] = request
        name = model_name(attributes)
        if turn is not None and name is not None:
            turn.models.setdefault(name)
        return request

    def remember(self, stream: Any, request: Request) -> None:
        self._streams[stream] = request

    def reporting(self, stream: Any) -> Request | None:
        """The open request of a stream that has no metrics yet."""
        request = self._streams.get(stream) if stream is not None else None
        return request if request is not None and not request.stage.ended else None

    def unseen(self, start_ns: int, end_ns: int, attributes: dict[str, AttributeValue], speech_id: str | None) -> None:
        """Metrics of a request whose stream we did not see get a span of their own."""
        if speech_id is not None:
            attributes[attr.SPEECH_ID] = speech_id
        self._state.spans.start(self.kind, self._state.turns.parent_of(speech_id), start_ns, attributes).end(end_ns)

    def finished(self, request: Request) -> None:
        self._open.pop(id(request), None)

    def settle(self, handle: Any, *, discard: bool = False) -> None:
        """The speech is over: its requests that waited for that can end. ``discard``: it never will be scheduled."""
        for request in list(self._open.values()):
            if request.handle is handle:
                request.finish_if_settled(discard=discard)

    def adapter_tries(self, *, again: bool) -> Turn | None:
        """An adapter's stream begins; returns the turn that it works for. ``again``: what failed before is past."""
        handle = livekit_api.speech_handle()
        turn = self._state.turns.working(handle) if handle is not None else None
        if turn is not None and again:
            turn.tried_again(self.kind)
        return turn

    def close(self, at_ns: int) -> None:
        for request in list(self._open.values()):
            request.finish(at_ns)


async def run_adapter(
    wrapped: Callable[..., Awaitable[Any]], args: Any, kwargs: Any, tracker: RequestTracker, model: Any
) -> Any:
    """The stream of an adapter, which is no request itself; its turn fails with it.

    That of a fallback adapter fails when every model that it could ask has; until then, one of them means nothing.
    """
    turn = token = None
    with contained("adapter.begin"):
        if not _in_adapter.get():
            fallback = isinstance(model, livekit_api.fallback_adapters())
            turn = tracker.adapter_tries(again=fallback)
            token = _in_adapter.set(True) if fallback else None
    try:
        return await wrapped(*args, **kwargs)
    except Exception as error:
        with contained("adapter.failed"):
            if turn is not None:
                turn.failed(tracker.kind, error)
        raise
    finally:
        if token is not None:
            _in_adapter.reset(token)
