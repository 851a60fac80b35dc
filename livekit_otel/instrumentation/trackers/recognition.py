"""Calls of a non-streaming recognizer: each has a live, current span, which then waits for its transcript."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..scope import SessionScope
from ..span import PipelineSpan
from ..values import named_model
from .stt_metrics import summed, with_usage

if TYPE_CHECKING:
    from livekit.agents.stt import STT, SpeechEvent

__all__ = ["Recognition", "Recognitions"]

_MAX_WAITING = 32


class Recognition:
    """One call of the recognizer."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.end_ns = start_ns
        self.span: PipelineSpan | None = None
        self.attributes: dict[str, AttributeValue] = {}


class Recognitions:
    """The recognizer's calls of one session. ``speech_start`` returns when the user's unclaimed speech began."""

    def __init__(self, scope: SessionScope, speech_start: Callable[[], int | None]) -> None:
        self._scope = scope
        self._speech_start = speech_start
        self._running: Recognition | None = None
        self._done: deque[Recognition] = deque()
        #: the error that the latest call raised, and its time
        self.failure: BaseException | None = None
        self.failed_ns: int | None = None

    def begin(self, stt: STT[Any]) -> Recognition:
        now = self._scope.now_ns()
        heard = self._speech_start()
        recognition = Recognition(min(heard, now) if heard is not None else now)
        recognition.attributes = named_model(stt.provider, stt.model)
        self._running = recognition
        if not self._scope.layers.native_shared:
            recognition.span = self._scope.spans.start(
                attr.KIND_STT, self._scope, recognition.start_ns, recognition.attributes
            )
        return recognition

    def end(self, recognition: Recognition, event: SpeechEvent | None, error: BaseException | None) -> None:
        recognition.end_ns = self._scope.now_ns()
        if self._running is recognition:
            self._running = None
        recognition.attributes = with_usage(recognition.attributes)
        heard = bool(event is not None and event.alternatives and event.alternatives[0].text)
        if error is None and heard:
            self._done.append(recognition)
            if len(self._done) > _MAX_WAITING:
                self._finish(self._done.popleft())
            return
        span = self._span(recognition)
        span.set(recognition.attributes)
        if isinstance(error, Exception):
            self.failure, self.failed_ns = error, recognition.end_ns
            span.fail(error, message=self._scope.message_of(error))
        span.end(recognition.end_ns, attr.OUTCOME_CANCELLED if error is not None else None)

    def metrics(self, fields: dict[str, AttributeValue]) -> bool:
        """Add metrics to the running call; return False if no call is running."""
        if self._running is None:
            return False
        self._running.attributes = summed(self._running.attributes, fields)
        return True

    @property
    def expected(self) -> bool:
        """Whether a call's transcript has yet to arrive."""
        return self._running is not None or bool(self._done)

    def take(self) -> Recognition | None:
        """Remove and return the oldest call whose transcript has not arrived yet."""
        return self._done.popleft() if self._done else None

    def close(self) -> None:
        """The session is over: transcripts that have not arrived are no longer expected."""
        while self._done:
            self._finish(self._done.popleft())

    def _finish(self, recognition: Recognition) -> None:
        self._span(recognition).end(recognition.end_ns, attributes=recognition.attributes)

    def _span(self, recognition: Recognition) -> PipelineSpan:
        return recognition.span or self._scope.spans.start(attr.KIND_STT, self._scope, recognition.start_ns)
