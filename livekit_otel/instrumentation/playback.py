"""Playback: one span from the moment the agent's voice is heard until it stops, by the audio output's own events."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contain
from .stage import Stage
from .turn import Turn
from .values import flatten, model_attributes, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState


class PlaybackTracker:
    """Playouts of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._output: weakref.ref[Any] | None = None
        self._current: Stage | None = None
        self._turn: Turn | None = None

    def watch(self, output: Any) -> None:
        """Listen to the session's audio output; it can be replaced during a call."""
        watched = self._output() if self._output is not None else None
        if output is watched:
            return
        self._unwatch(watched)
        self._output = None
        if output is not None:
            output.on("playback_started", self._started)
            output.on("playback_finished", self._finished)
            self._output = weakref.ref(output)

    def _unwatch(self, output: Any) -> None:
        if output is not None:
            output.off("playback_started", self._started)
            output.off("playback_finished", self._finished)

    @contain("playback.started")
    def _started(self, event: Any) -> None:
        if not self._state.recording:
            return
        start = to_ns(event.created_at)
        if self._current is not None:
            return  # the output was resumed, or tells it twice
        speech = self._state.current_speech_id()
        turn = self._state.turns.of_speech(speech)
        parent = turn.context if turn is not None else self._state.context
        attributes: dict[str, AttributeValue] = {attr.SPEECH_ID: speech} if speech else {}
        self._current = self._state.spans.start(attr.KIND_PLAYBACK, parent, start, attributes)
        self._turn = turn
        self._state.realtime_tracker.first_audio(start, turn)

    @contain("playback.finished")
    def _finished(self, event: Any) -> None:
        stage, self._current = self._current, None
        interrupted = bool(event.interrupted)
        now = now_ns()
        if stage is not None:
            last = {attr.PLAYBACK_POSITION: float(event.playback_position), attr.PLAYBACK_INTERRUPTED: interrupted}
            stage.end(now, attr.OUTCOME_CANCELLED if interrupted else None, last)
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.heard_until_ns = now
        if interrupted and stage is not None:
            self._state.interruptions.cut_off(turn, now)

    def avatar(self, metrics: Any) -> None:
        """AvatarMetrics: of the playout that goes on, else a span of their own."""
        fields = {**flatten("avatar", metrics), **model_attributes(metrics)}
        if self._current is not None:
            self._current.set(fields)
            return
        end = to_ns(metrics.timestamp)
        start = end - to_ns(max(metrics.playback_latency, 0))
        turn = self._state.turns.latest
        parent = turn.context if turn is not None else self._state.context
        self._state.spans.start(attr.KIND_PLAYBACK, parent, start, fields).end(end)

    def close(self, at_ns: int) -> None:
        self._unwatch(self._output() if self._output is not None else None)
        self._output = None
        stage, self._current = self._current, None
        if stage is not None:
            stage.end(at_ns, attr.OUTCOME_CANCELLED, {attr.PLAYBACK_INTERRUPTED: True})
