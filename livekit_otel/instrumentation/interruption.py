"""Interruption: one span for each time that user and agent got in each other's way, with the verdict on it.

It begins when the user starts to speak over the agent (or when code interrupts) and ends with the verdict: a real
interruption, a false one, or a backchannel. An overlap without any consequence leaves no span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .turn import Turn
from .values import flatten, model_attributes, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState


class _Overlap:
    def __init__(self, start_ns: int, turn: Turn | None, cause: str) -> None:
        self.start_ns = start_ns
        self.turn = turn
        self.attributes: dict[str, AttributeValue] = {attr.INTERRUPTION_CAUSE: cause}
        self.verdict: str | None = None
        self.verdict_ns = start_ns
        self.has_metrics = False


class InterruptionTracker:
    """Overlaps and barge-ins of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._overlap: _Overlap | None = None

    def user_started(self, at_ns: int) -> None:
        """The user began to speak; if the agent does too, this is an overlap."""
        if self._state.agent_state != "speaking":
            return
        self.settle()
        self._overlap = _Overlap(at_ns, self._state.turns.speaking, "user")

    def judged(self, event: Any) -> None:
        """The adaptive model's verdict on an overlap (``overlapping_speech``)."""
        overlap = self._overlap
        if overlap is None or overlap.verdict is not None:
            self.settle()
            start = event.overlap_started_at or event.detected_at
            overlap = self._overlap = _Overlap(to_ns(start), self._state.turns.speaking, "user")
        elif event.overlap_started_at:
            overlap.start_ns = to_ns(event.overlap_started_at)
        overlap.attributes[attr.INTERRUPTION_PROBABILITY] = float(event.probability)
        if event.is_interruption:
            self._verdict(attr.VERDICT_INTERRUPTION, to_ns(event.detected_at))
        elif getattr(event, "agent_ended", False):
            self._verdict(attr.VERDICT_UNKNOWN, to_ns(event.detected_at))
        else:
            self._verdict(attr.VERDICT_BACKCHANNEL, to_ns(event.detected_at))

    def metrics(self, metrics: Any) -> None:
        """InterruptionMetrics: of the overlap that is being judged, else a span of their own."""
        fields = {**flatten("interruption", metrics), **model_attributes(metrics)}
        overlap = self._overlap
        if overlap is not None and not overlap.has_metrics:
            overlap.attributes.update(fields)
            overlap.has_metrics = True
            if overlap.verdict is None:
                overlap.verdict_ns = to_ns(metrics.timestamp)
            return
        unsure = attr.VERDICT_BACKCHANNEL if metrics.num_backchannels else attr.VERDICT_UNKNOWN
        verdict = attr.VERDICT_INTERRUPTION if metrics.num_interruptions else unsure
        end = to_ns(metrics.timestamp)
        alone = _Overlap(end - to_ns(max(metrics.detection_delay, 0.0)), self._state.turns.latest, "user")
        alone.attributes.update(fields)
        alone.verdict, alone.verdict_ns = verdict, end
        self._emit(alone)

    def false_interruption(self, event: Any) -> None:
        """What cut in was no interruption; the agent goes on, or not."""
        if self._overlap is None:
            self._overlap = _Overlap(now_ns(), self._state.turns.speaking, "user")
        self._overlap.attributes[attr.INTERRUPTION_RESUMED] = bool(event.resumed)
        self._verdict(attr.VERDICT_FALSE_INTERRUPTION, to_ns(event.created_at))
        self.settle()

    def cut_off(self, turn: Turn | None, at_ns: int) -> None:
        """The agent's voice was cut off."""
        overlap = self._overlap
        if overlap is None or (overlap.turn is not turn and turn is not None and overlap.turn is not None):
            self.settle()
            pending = self._state.turns.pending
            by_user = pending is not None and pending is not turn
            start = pending.stage.start_ns if pending is not None and by_user else at_ns
            overlap = self._overlap = _Overlap(min(start, at_ns), turn, "user" if by_user else "programmatic")
        if turn is not None:
            turn.interrupted = turn.interrupted or not self._state.closing
        self._verdict(attr.VERDICT_INTERRUPTION, at_ns)
        if overlap.attributes[attr.INTERRUPTION_CAUSE] == "programmatic" and self._state.closing:
            self._overlap = None  # closing a session is not an interruption
            return

    def turn_ends(self, turn: Turn) -> None:
        if self._overlap is not None and self._overlap.turn is turn:
            self.settle()

    def close(self, at_ns: int) -> None:
        self.settle()

    def settle(self) -> None:
        """The overlap is history: tell it if it had a consequence."""
        overlap, self._overlap = self._overlap, None
        if overlap is not None and (overlap.verdict is not None or overlap.has_metrics):
            self._emit(overlap)

    def _verdict(self, verdict: str, at_ns: int) -> None:
        if self._overlap is not None:
            self._overlap.verdict = verdict
            self._overlap.verdict_ns = at_ns

    def _emit(self, overlap: _Overlap) -> None:
        parent = overlap.turn.context if overlap.turn is not None else self._state.context
        overlap.attributes[attr.INTERRUPTION_VERDICT] = overlap.verdict or attr.VERDICT_UNKNOWN
        if overlap.turn is not None and overlap.turn.speech_ids:
            overlap.attributes[attr.SPEECH_ID] = overlap.turn.speech_ids[-1]
        stage = self._state.spans.start(attr.KIND_INTERRUPTION, parent, overlap.start_ns, overlap.attributes)
        stage.end(overlap.verdict_ns)
