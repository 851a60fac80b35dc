"""Interruption: one span for each overlap of user and agent speech that had a consequence, with its verdict.

It begins when the user starts to speak over the agent (or when code interrupts) and ends with the verdict: a real
interruption, a false one, or a backchannel. An overlap without a consequence has no span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..clock import to_ns
from ..scope import SessionScope
from ..values import flatten, model_attributes
from .turn import TurnState
from .vad import VadTracker

if TYPE_CHECKING:
    from livekit.agents import AgentFalseInterruptionEvent
    from livekit.agents.inference.interruption import OverlappingSpeechEvent
    from livekit.agents.metrics import InterruptionMetrics

__all__ = ["InterruptionTracker"]

_BY_USER, _BY_CODE = "user", "programmatic"
#: LiveKit's names for an interruption by the user
_LIVEKIT_USER = frozenset({"audio_activity", "user_turn"})


class _Overlap:
    def __init__(self, start_ns: int, turn: TurnState | None, cause: str) -> None:
        self.start_ns = start_ns
        self.turn = turn
        self.attributes: dict[str, AttributeValue] = {attr.INTERRUPTION_CAUSE: cause}
        self.verdict: str | None = None
        self.verdict_ns = start_ns
        self.has_metrics = False


class InterruptionTracker:
    """Overlaps and barge-ins of one session."""

    def __init__(self, scope: SessionScope, user: VadTracker) -> None:
        self._scope = scope
        self._user = user
        self._overlap: _Overlap | None = None

    def user_started(self, at_ns: int, speaking: TurnState | None) -> None:
        """The user began to speak while this turn's voice was heard."""
        if self._overlap is not None and self._overlap.turn is speaking and self._overlap.verdict is None:
            return  # the same overlap, after a pause of the user
        self.settle()
        self._overlap = _Overlap(at_ns, speaking, _BY_USER)

    def judged(self, event: OverlappingSpeechEvent, speaking: TurnState | None) -> None:
        """The adaptive model's verdict on an overlap (``overlapping_speech``)."""
        overlap = self._overlap
        if overlap is None or overlap.verdict is not None:
            self.settle()
            start = self._scope.clock.at_ns(event.overlap_started_at or event.detected_at)
            overlap = self._overlap = _Overlap(start, speaking, _BY_USER)
        elif event.overlap_started_at:
            overlap.start_ns = self._scope.clock.at_ns(event.overlap_started_at)
        overlap.attributes[attr.INTERRUPTION_PROBABILITY] = float(event.probability)
        verdict = attr.VERDICT_BACKCHANNEL
        if event.is_interruption:
            verdict = attr.VERDICT_INTERRUPTION
        elif getattr(event, "agent_ended", False):
            verdict = attr.VERDICT_UNKNOWN
        self._verdict(verdict, self._scope.clock.at_ns(event.detected_at))

    def metrics(self, metrics: InterruptionMetrics) -> None:
        """InterruptionMetrics of the overlap that is being judged; otherwise they get a span of their own."""
        fields = {**flatten("interruption", metrics), **model_attributes(metrics)}
        overlap = self._overlap
        end = self._scope.clock.inside_ns(metrics.timestamp)
        if overlap is not None and not overlap.has_metrics:
            overlap.attributes.update(fields)
            overlap.has_metrics = True
            if overlap.verdict is None:
                overlap.verdict_ns = end
            return
        verdict = attr.VERDICT_UNKNOWN
        if metrics.num_interruptions:
            verdict = attr.VERDICT_INTERRUPTION
        elif metrics.num_backchannels:
            verdict = attr.VERDICT_BACKCHANNEL
        alone = _Overlap(end - to_ns(max(metrics.detection_delay, 0.0)), None, _BY_USER)
        alone.attributes.update(fields)
        alone.verdict, alone.verdict_ns = verdict, end
        self._emit(alone)

    def false_interruption(self, event: AgentFalseInterruptionEvent, speaking: TurnState | None) -> None:
        """The interruption was a false one; the agent resumes its speech or not."""
        if self._overlap is None:
            self._overlap = _Overlap(self._scope.now_ns(), speaking, _BY_USER)
        self._overlap.attributes[attr.INTERRUPTION_RESUMED] = bool(event.resumed)
        self._verdict(attr.VERDICT_FALSE_INTERRUPTION, self._scope.clock.at_ns(event.created_at))
        self.settle()

    def cut_off(self, turn: TurnState | None, at_ns: int, by: str | None = None) -> None:
        """The agent's voice was cut off. ``by``: the cause that LiveKit reports."""
        overlap = self._overlap
        if overlap is None or (overlap.turn is not turn and turn is not None and overlap.turn is not None):
            self.settle()
            speech = self._user.speaks_ns if by != _BY_CODE else None
            cause = _BY_USER if speech is not None or by in _LIVEKIT_USER else _BY_CODE
            overlap = self._overlap = _Overlap(min(speech or at_ns, at_ns), turn, cause)
        if turn is not None and not self._scope.closing:
            turn.interrupted = True
        self._verdict(attr.VERDICT_INTERRUPTION, at_ns)
        if overlap.attributes[attr.INTERRUPTION_CAUSE] == _BY_CODE and self._scope.closing:
            self._overlap = None  # closing a session is not an interruption

    def turn_ends(self, turn: TurnState) -> None:
        if self._overlap is not None and self._overlap.turn is turn:
            self.settle()

    def close(self, at_ns: int) -> None:
        self.settle()

    def settle(self) -> None:
        """The overlap is over: create its span if it had a consequence."""
        overlap, self._overlap = self._overlap, None
        if overlap is not None and (overlap.verdict is not None or overlap.has_metrics):
            self._emit(overlap)

    def _verdict(self, verdict: str, at_ns: int) -> None:
        if self._overlap is not None:
            self._overlap.verdict = verdict
            self._overlap.verdict_ns = at_ns

    def _emit(self, overlap: _Overlap) -> None:
        turn = overlap.turn if overlap.turn is not None and overlap.turn.open else None
        overlap.attributes[attr.INTERRUPTION_VERDICT] = overlap.verdict or attr.VERDICT_UNKNOWN
        if overlap.turn is not None and overlap.turn.speech_ids:
            overlap.attributes[attr.SPEECH_ID] = overlap.turn.speech_ids[-1]
        # speech that code starts over the user may be cut off by user speech that began before its turn
        start = overlap.start_ns if turn is None else max(overlap.start_ns, turn.span.start_ns)
        span = self._scope.spans.start(attr.KIND_INTERRUPTION, turn or self._scope, start, overlap.attributes)
        span.end(overlap.verdict_ns)
