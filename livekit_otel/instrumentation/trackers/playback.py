"""Playback: one span from the first to the last sound of the agent's voice, by the audio output's own events."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...containment import contain
from .. import livekit_api
from ..clock import to_ns
from ..scope import SessionScope
from ..span import PipelineSpan
from ..values import flatten, model_attributes
from .holds import Holds
from .pauses import PauseWatch
from .turn import TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents.metrics.base import AvatarMetrics
    from livekit.agents.voice.io import AudioOutput, PlaybackFinishedEvent, PlaybackStartedEvent

__all__ = ["PlaybackTracker"]

#: maximum number of recorded pauses and resumptions of one playout
_MAX_PAUSES = 64


class PlaybackTracker:
    """Playouts of one session.

    Callbacks: ``voice_starts(at_ns, turn)`` when a playout begins, ``cut_off(turn, at_ns, by)`` when one is cut off,
    where ``by`` is the cause that LiveKit reports, or None.
    """

    def __init__(
        self,
        scope: SessionScope,
        turns: TurnTracker,
        holds: Holds,
        *,
        voice_starts: Callable[[int, TurnState | None], None],
        cut_off: Callable[[TurnState | None, int, str | None], None],
    ) -> None:
        self._scope = scope
        self._turns = turns
        self._holds = holds
        self._voice_starts = voice_starts
        self._cut_off = cut_off
        self._output: weakref.ref[AudioOutput] | None = None
        self._pause_watch = PauseWatch(self._paused)
        self._current: PipelineSpan | None = None
        self._turn: TurnState | None = None
        #: pauses and resumptions of the current playout, in pairs, seconds from its start
        self._pauses: list[float] = []
        self._speech_id: str | None = None

    @property
    def audible(self) -> bool:
        """Whether a playout has begun and is not over (it may be paused)."""
        return self._current is not None

    @property
    def turn(self) -> TurnState | None:
        """The turn whose voice is currently played."""
        return self._turn

    def watch(self, output: AudioOutput | None) -> None:
        """Listen to the session's audio output, which can be replaced during a call."""
        watched = self._output() if self._output is not None else None
        if output is watched:
            return
        self._unwatch(watched)
        self._output = None
        if output is not None:
            output.on("playback_started", self._started)
            output.on("playback_finished", self._finished)
            self._pause_watch.attach(output)
            self._output = weakref.ref(output)

    def _unwatch(self, output: AudioOutput | None) -> None:
        if output is not None:
            output.off("playback_started", self._started)
            output.off("playback_finished", self._finished)
            self._pause_watch.detach(output)

    @contain("playback.started")
    def _started(self, event: PlaybackStartedEvent) -> None:
        if not self._scope.recording or self._current is not None:
            return  # not sampled; or a resumed output, or a repeated event
        start = self._scope.clock.at_ns(event.created_at)
        handle = livekit_api.current_speech(self._scope.session)
        turn = self._turns.working(handle) if handle is not None else None
        turn = turn if turn is not None and turn.open else None
        attributes: dict[str, AttributeValue] = {}
        if handle is not None:
            attributes = {attr.SPEECH_ID: handle.id, **self._holds.attributes(handle.id, start)}
            if (created := self._turns.created_ns(handle.id)) is not None:
                attributes[attr.PLAYBACK_SPEECH_AGE] = max(0, start - created) / 1e9
        self._speech_id = handle.id if handle is not None else None
        self._current = self._scope.spans.start(attr.KIND_PLAYBACK, turn or self._scope, start, attributes)
        self._turn = turn
        self._pauses = []
        self._turns.begin(turn)
        if turn is not None:
            turn.answered = turn.heard = True
        self._voice_starts(start, turn)

    def _paused(self, paused: bool) -> None:
        """The output was paused or resumed."""
        if self._current is None or len(self._pauses) >= _MAX_PAUSES:
            return
        if paused is not (len(self._pauses) % 2 == 1):
            self._pauses.append(max(0, self._scope.now_ns() - self._current.start_ns) / 1e9)

    @contain("playback.finished")
    def _finished(self, event: PlaybackFinishedEvent) -> None:
        span, self._current = self._current, None
        turn, self._turn = self._turn, None
        if span is None:
            return
        interrupted = bool(event.interrupted)
        now = self._scope.now_ns()
        self._turns.voice_ns = now
        self._holds.playback_over(self._speech_id)
        last: dict[str, AttributeValue] = {
            attr.PLAYBACK_POSITION: float(event.playback_position),
            attr.PLAYBACK_INTERRUPTED: interrupted,
        }
        if self._pauses:
            last[attr.PLAYBACK_PAUSES] = tuple(self._pauses)
        span.end(now, attr.OUTCOME_CANCELLED if interrupted else None, last)
        if interrupted:
            speech = turn.speeches.get(self._speech_id or "") if turn is not None else None
            self._cut_off(turn, now, livekit_api.interrupted_by(speech))
        self._turns.finish(turn)

    def avatar(self, metrics: AvatarMetrics) -> None:
        """AvatarMetrics: added to the current playout; otherwise they get a span of their own."""
        fields = {**flatten("avatar", metrics), **model_attributes(metrics)}
        if self._current is not None:
            self._current.set(fields)
            return
        end = self._scope.clock.inside_ns(metrics.timestamp)
        start = end - to_ns(max(metrics.playback_latency, 0))
        turn = self._turns.latest
        self._scope.spans.start(attr.KIND_PLAYBACK, turn or self._scope, start, fields).end(end)

    def close(self, at_ns: int) -> None:
        self._unwatch(self._output() if self._output is not None else None)
        self._output = None
        span, self._current = self._current, None
        turn, self._turn = self._turn, None
        if span is not None:
            span.end(at_ns, attr.OUTCOME_CANCELLED, {attr.PLAYBACK_INTERRUPTED: True})
            if turn is not None:
                turn.closed_by_session = True
            self._turns.finish(turn)
