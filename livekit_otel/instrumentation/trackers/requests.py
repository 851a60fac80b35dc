"""Common code for LLM and TTS requests: a live span, attempts, and metrics that arrive from another task."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...containment import contained
from .. import livekit_api
from ..failures import Retries
from ..scope import SessionScope
from ..span import PipelineSpan, SpanOwner
from .node_run import is_left_over
from .turn import TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle

__all__ = ["Request", "RequestTracker", "in_adapter"]

#: returns attributes for a request that is about to end
Late: TypeAlias = "Callable[[Request], Mapping[str, AttributeValue]]"

#: set while a fallback adapter's stream runs: it marks the adapter's inner requests and its probes of a failed model
in_adapter: contextvars.ContextVar[bool] = contextvars.ContextVar("livekit_otel_adapter", default=False)


class Request:
    """One request. Its span ends when its work and its metrics are done and the outcome of its speech is known."""

    def __init__(
        self, tracker: RequestTracker, span: PipelineSpan, handle: SpeechHandle | None, turn: TurnState | None
    ) -> None:
        self._tracker = tracker
        self.span = span
        self.handle = handle
        self.turn = turn
        #: whether LiveKit's own span of the request carries the usage
        self.native = False
        #: made by a fallback adapter: whether the turn failed is known only when the adapter is done
        self.in_adapter = in_adapter.get()
        #: whether the request belongs to no speech, beside the conversation
        self.beside = False
        self.attempts = 1
        self.retries = Retries(tracker.retried_for, tracker.retried_codes)
        self.has_metrics = False
        self._end_ns: int | None = None
        self._reported = False
        self._outcome: str | None = None
        #: whether the speech will not be scheduled
        self._discarded = False
        self._attributes: dict[str, AttributeValue] = {}
        self._late: list[Late] = []

    @property
    def completes(self) -> bool:
        """Whether the request has neither failed nor been cancelled, as far as is known."""
        return self._outcome is None and self.span.outcome == attr.OUTCOME_COMPLETED

    @property
    def whole(self) -> bool:
        """Whether the model's complete output arrived."""
        return self._end_ns is not None and self.completes

    @property
    def used(self) -> bool:
        """Whether the request's speech was scheduled; True without a speech."""
        return self.handle is None or self.handle.scheduled

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes for the span to get when it ends."""
        self._attributes.update(attributes)

    def has(self, name: str) -> bool:
        """Whether the span will get this attribute."""
        return name in self._attributes

    def set_late(self, make: Late) -> None:
        """Add attributes that depend on the outcome: ``make`` is called when the request ends."""
        self._late.append(make)

    def reported(self, attributes: dict[str, AttributeValue], speech_id: str | None = None) -> None:
        """LiveKit's metrics of this request arrived. ``speech_id``: the speech that they name."""
        self.has_metrics = True
        if speech_id and (self.handle is None or self.handle.id != speech_id):
            attributes[attr.metric(self.span.kind, "speech_id")] = speech_id
        self.set(attributes)
        if self.turn is not None:
            self.turn.models.note(self.span.kind, attributes)

    def work_done(self, end_ns: int, error: BaseException | None) -> None:
        self._end_ns = end_ns
        if isinstance(error, asyncio.CancelledError):
            self._outcome = attr.OUTCOME_CANCELLED
        elif error is not None:
            self.span.fail(error, message=self._tracker.scope.message_of(error))
            if self.turn is not None and not self.in_adapter and not self.beside:
                self.turn.failed(self.span.kind, error)
        self.finish_if_settled()

    def report_done(self) -> None:
        self._reported = True
        self.finish_if_settled()

    def discard(self) -> None:
        """The request's speech is over, or will never be scheduled."""
        self._discarded = True
        self.finish_if_settled()

    def finish_if_settled(self) -> None:
        if self._end_ns is None or not self._reported:
            return
        if not self.used and not self._discarded:
            return  # a preemptive generation that may still be used
        self.finish(self._end_ns)

    def finish(self, at_ns: int) -> None:
        """End the span, even if parts are missing."""
        if self.span.ended:
            return
        outcome = self._outcome if self._end_ns is not None else attr.OUTCOME_CANCELLED
        if not self.used:
            outcome = attr.OUTCOME_DISCARDED
        for make in self._late:
            with contained("request.late"):
                self.set(make(self))
        self.span.end(self._end_ns if self._end_ns is not None else at_ns, outcome, self._attributes)
        self._tracker.finished(self)


class RequestTracker:
    """The open requests of one kind in one session."""

    kind = ""
    #: name of the attribute with the number of attempts
    attempts = ""
    #: name of the attribute with the reasons for retries
    retried_for = ""
    #: name of the attribute with the codes of these reasons
    retried_codes = ""

    def __init__(self, scope: SessionScope, turns: TurnTracker) -> None:
        self.scope = scope
        self._turns = turns
        self._open: dict[int, Request] = {}
        self._streams: weakref.WeakKeyDictionary[object, Request] = weakref.WeakKeyDictionary()

    def open(
        self,
        handle: SpeechHandle | None,
        attributes: dict[str, AttributeValue],
        owner: SpanOwner | None = None,
    ) -> Request:
        """Begin a request of a speech or, with ``owner``, of another owner."""
        if owner is self.scope:
            turn = handle = None  # the request belongs to no speech, whichever task led to it
        else:
            turn = self._turns.working(handle) if handle is not None and owner is None else self._turns.cause()
        if turn is not None and not turn.open:
            turn = None
        if handle is not None:
            attributes[attr.SPEECH_ID] = handle.id
        span = self.scope.spans.start(self.kind, owner or turn or self.scope, self.scope.now_ns(), attributes)
        request = Request(self, span, handle if owner is None else None, turn)
        request.beside = owner is not None
        if turn is not None and owner is None and not in_adapter.get() and not is_left_over():
            turn.tried_again(self.kind)
        self._open[id(request)] = request
        self._turns.begin(turn)
        if turn is not None and owner is None:
            turn.models.note(self.kind, attributes, served=False)
        return request

    def work_done(self, request: Request, error: BaseException | None) -> None:
        """The request's last attempt is over."""
        if request.attempts > 1:
            request.set({self.attempts: request.attempts})
        request.set(request.retries.take())
        request.work_done(self.scope.now_ns(), error)

    def remember(self, stream: object, request: Request) -> None:
        self._streams[stream] = request

    def reporting(self, stream: object | None) -> Request | None:
        """Return the open request of a stream."""
        request = self._streams.get(stream) if stream is not None else None
        return request if request is not None and not request.span.ended else None

    def unseen(self, start_ns: int, end_ns: int, attributes: dict[str, AttributeValue], speech_id: str | None) -> None:
        """Record metrics of a request whose stream was not traced, as a span of their own."""
        if speech_id is not None:
            attributes[attr.SPEECH_ID] = speech_id
        self.scope.spans.start(self.kind, self._turns.owner(speech_id), start_ns, attributes).end(end_ns)

    def finished(self, request: Request) -> None:
        if self._open.pop(id(request), None) is not None:
            self._turns.finish(request.turn)

    def settle(self, handle: SpeechHandle) -> None:
        """The speech is over or will never be scheduled: end its requests that waited for this."""
        for request in list(self._open.values()):
            if request.handle is handle:
                request.discard()

    def used(self, speech_id: str) -> None:
        """The speech is scheduled: end its requests that waited for this and kept its turn open."""
        for request in list(self._open.values()):
            if request.handle is not None and request.handle.id == speech_id:
                request.finish_if_settled()

    def turn_ends(self, turn: TurnState) -> None:
        """The turn's span is about to end: its requests that still wait were not used."""
        for request in list(self._open.values()):
            if request.turn is turn:
                request.discard()

    def adapter_tries(self, *, again: bool) -> TurnState | None:
        """An adapter's stream begins; return its turn. ``again``: earlier failures no longer count."""
        handle = livekit_api.speech_handle()
        turn = self._turns.working(handle) if handle is not None else None
        if turn is not None and again:
            turn.tried_again(self.kind)
        return turn

    def close(self, at_ns: int) -> None:
        for request in list(self._open.values()):
            request.finish(at_ns)
