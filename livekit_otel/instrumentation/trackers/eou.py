"""EOU: one span from the end of the user's speech to the turn's commit, with the end-of-turn model's metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..clock import to_ns
from ..end_of_turn import EndOfTurn, EndOfTurnCheck
from ..scope import SessionScope
from ..values import flatten, model_attributes
from .segments import Claim
from .turn import TurnState
from .turns import TurnTracker
from .utterance import Utterance

if TYPE_CHECKING:
    from livekit.agents.metrics import EOTInferenceMetrics, EOUMetrics

__all__ = ["Decision", "EouTracker"]

_MAX_OPEN = 8
_MAX_PREDICTIONS = 8
#: seconds; LiveKit reports less if it does not know when the user stopped: it then takes the transcript's arrival
_UNKNOWN_S = 0.001
#: LiveKit emits the user's message and the state "thinking" right after a decision: its span carries both events
_MESSAGE_S = 0.1


class Decision:
    """A decision on a user's turn.

    Attributes:
        end_of_turn: LiveKit's description of it, which also identifies it.
        start_ns: when the user stopped speaking; if unknown, when the decision was made.
        source: the source of that time: ``vad``, ``stt``, ``commit`` or ``unknown``.
        turn: the turn that the decision opened; None if the words were not committed.
    """

    def __init__(self, end_of_turn: EndOfTurn | None, start_ns: int, end_ns: int, source: str) -> None:
        self.end_of_turn = end_of_turn
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.source = source
        self.turn: TurnState | None = None
        self.attributes: dict[str, AttributeValue] = {}
        #: the stage that LiveKit makes the reply wait for, and the index of that stage's turn
        self.held_by: tuple[str, int] | None = None
        #: the task that runs on_user_turn_completed: the decision's EOUMetrics are emitted there
        self.task: asyncio.Task[object] | None = None
        self.done = False


class EouTracker:
    """End-of-utterance decisions of one session."""

    def __init__(
        self,
        scope: SessionScope,
        turns: TurnTracker,
        utterance: Utterance,
    ) -> None:
        self._scope = scope
        self._turns = turns
        self._utterance = utterance
        self._decisions: list[Decision] = []
        self.check = EndOfTurnCheck()
        self._predictions: list[EOTInferenceMetrics] = []
        #: ends the span of the latest decision, which waits for the user's message
        self._end: Callable[[], None] | None = None

    def dropped(self, end_of_turn: EndOfTurn, tuning: dict[str, AttributeValue]) -> None:
        """LiveKit decided that the turn is not over, or did not accept the words."""
        if self._scope.closing and not end_of_turn.new_transcript:
            return  # on closing, LiveKit commits whatever it has
        now = self._scope.now_ns()
        stopped = end_of_turn.metrics.stopped_speaking_at
        start = min(self._scope.clock.at_ns(stopped), now) if stopped else now
        self._turns.drop_candidate()
        decision = Decision(end_of_turn, start, now, "vad")
        decision.attributes.update(tuning)
        self._emit(decision, attr.OUTCOME_NOT_COMMITTED)

    def committed(
        self, end_of_turn: EndOfTurn, *, has_vad: bool, cut: bool, hook: bool, tuning: dict[str, AttributeValue]
    ) -> None:
        """LiveKit committed the user's turn.

        ``cut``: the user may still be speaking. ``hook``: a task runs the hook and answers. ``tuning``: attributes
        on how the end of the turn was decided."""
        if self._scope.closing and not end_of_turn.new_transcript:
            return
        now = self._scope.now_ns()
        if not end_of_turn.new_transcript and not self._scope.realtime and not hook:
            return
        text = end_of_turn.new_transcript
        claim = self._utterance.claim(text, cut=cut)
        nothing = not text and claim.start_ns is None and not self._scope.realtime  # code committed a silence
        if nothing or (self._scope.closing and (claim.floor_ns or 0) < self._turns.floor_ns):
            self._utterance.release(claim)  # or a remainder of speech from an earlier turn
            return
        stopped, source = self._stopped(end_of_turn, claim, has_vad=has_vad)
        answered, now = self._turns.answered_commit() or (None, now)
        decision = Decision(end_of_turn, min(stopped or now, now), now, source)
        decision.attributes.update(tuning)
        if source == "stt" and claim.start_ns is not None and claim.start_ns < decision.start_ns:
            decision.attributes[attr.EOU_SPEECH_DURATION] = (decision.start_ns - claim.start_ns) / 1e9
        decision.held_by = self._turns.unfinished() if answered is None else None
        began = claim.start_ns or stopped or decision.start_ns
        decision.turn = self._turns.commit(text, began, claim.floor_ns, answered)
        decision.turn.speech_end_source = source
        self._utterance.give(claim, decision.turn)
        if not hook:
            self._emit(decision)
            return
        self._turns.begin(decision.turn)
        decision.turn.deciding = True
        self._decisions.append(decision)
        if len(self._decisions) > _MAX_OPEN:
            self.hook_done(self._decisions[0])

    def _stopped(self, end_of_turn: EndOfTurn, claim: Claim, *, has_vad: bool) -> tuple[int | None, str]:
        """Return when the user stopped speaking, and the source of that time."""
        if claim.source is not None:
            return claim.stopped_ns, claim.source
        metrics = end_of_turn.metrics
        stopped = metrics.stopped_speaking_at
        if stopped is None or (has_vad and (metrics.transcription_delay or 0.0) < _UNKNOWN_S):
            return None, "unknown"
        return self._scope.clock.at_ns(stopped), "stt"

    def metrics(self, metrics: EOUMetrics) -> None:
        """EOUMetrics of the decision whose reply was just requested."""
        fields = {**flatten("eou", metrics), **model_attributes(metrics)}
        if metrics.speech_id:
            fields[attr.SPEECH_ID] = metrics.speech_id
        decision = self._carried_out()
        if decision is None:
            end = self._scope.clock.inside_ns(metrics.timestamp)
            decision = Decision(None, end - to_ns(metrics.end_of_utterance_delay), end, "unknown")
            decision.turn = self._turns.of_speech(metrics.speech_id)
        if decision.source == "unknown":
            # LiveKit writes 0 for an unknown value
            for name in ("end_of_utterance_delay", "transcription_delay"):
                fields.pop(attr.metric("eou", name), None)
        decision.attributes.update(fields)
        self._note_hold(decision, metrics.on_user_turn_completed_delay)
        self._turns.link(metrics.speech_id, decision.turn)
        self._emit(decision)

    def _note_hold(self, decision: Decision, hook: float) -> None:
        """Record how long LiveKit delayed the hook because an earlier turn's tool or hook was still running."""
        held = (self._scope.now_ns() - decision.end_ns) / 1e9 - hook
        if decision.held_by is not None and held >= _UNKNOWN_S:
            stage, turn = decision.held_by
            decision.attributes[attr.EOU_HELD] = held
            decision.attributes[attr.EOU_HELD_BY] = stage
            decision.attributes[attr.EOU_HELD_TURN] = turn

    def hook_failed(self, error: BaseException) -> None:
        """``on_user_turn_completed`` raised in the current task, if the task belongs to a decision."""
        decision = self._carried_out()
        if decision is not None and decision.turn is not None:
            decision.turn.failed("hook", error)

    def _carried_out(self) -> Decision | None:
        """Return the decision that the current task carries out."""
        task = asyncio.current_task()
        return next((one for one in self._decisions if one.task is task), None)

    def prediction(self, metrics: EOTInferenceMetrics) -> None:
        """EOTInferenceMetrics of the next decision, or of a check after which the user continued to speak."""
        self._predictions.append(metrics)
        if len(self._predictions) > _MAX_PREDICTIONS:
            self._emit_prediction(self._predictions.pop(0), None)

    def hook_done(self, decision: Decision) -> None:
        """``on_user_turn_completed`` is over, with or without a reply."""
        if not decision.done and decision.held_by is None and decision in self._decisions:
            # no reply was requested, so LiveKit does not report the hook's duration
            decision.attributes[attr.EOU_HOOK] = (self._scope.now_ns() - decision.end_ns) / 1e9
        self._emit(decision)
        if decision not in self._decisions:
            return
        self._decisions.remove(decision)
        if decision.turn is not None:
            decision.turn.deciding = False
            if not decision.turn.closed_by_session:
                decision.turn.last_ns = max(decision.turn.last_ns, self._scope.now_ns())
            self._turns.give_up_unscheduled(decision.turn)
            self._turns.finish(decision.turn)

    def of(self, end_of_turn: EndOfTurn | None) -> Decision | None:
        return next((one for one in self._decisions if one.end_of_turn is end_of_turn), None)

    def close(self, at_ns: int) -> None:
        for decision in list(self._decisions):
            self._emit(decision)
        self._decisions.clear()
        self._carried(self._end)
        for metrics in self._predictions:
            self._emit_prediction(metrics, None)
        self._predictions.clear()

    def _emit(self, decision: Decision, outcome: str | None = None) -> None:
        if decision.done:
            return
        decision.done = True
        turn = decision.turn if decision.turn is not None and decision.turn.open else None
        predictions, self._predictions = self._predictions, []
        if predictions:
            metrics = predictions.pop()
            decision.attributes.update(flatten("eot", metrics))
            if attr.REQUEST_MODEL not in decision.attributes:
                decision.attributes.update(model_attributes(metrics))
        for earlier in predictions:
            self._emit_prediction(earlier, turn)
        decision.attributes[attr.EOU_COMMITTED] = outcome is None
        if outcome is None:
            decision.attributes[attr.EOU_SOURCE] = decision.source
        span = self._scope.spans.start(attr.KIND_EOU, turn or self._scope, decision.start_ns, decision.attributes)
        self._carried(self._end)
        if outcome is not None or turn is None:
            span.end(decision.end_ns, outcome)
            return
        self._end = partial(span.end, decision.end_ns)
        self._scope.later(_MESSAGE_S, partial(self._carried, self._end))

    def _carried(self, end: Callable[[], None] | None) -> None:
        """End the latest decision's span, unless it has already been ended."""
        if end is not None and self._end is end:
            self._end = None
            end()

    def turn_ends(self, turn: TurnState) -> None:
        """The turn's span is about to end, and no stage may end later."""
        self._carried(self._end)

    def _emit_prediction(self, metrics: EOTInferenceMetrics, turn: TurnState | None) -> None:
        """Record an end-of-turn check that led to no decision."""
        end = self._scope.clock.inside_ns(metrics.timestamp)
        start = end - to_ns(max(metrics.total_duration, 0.0))
        attributes = {**flatten("eot", metrics), **model_attributes(metrics), attr.EOU_COMMITTED: False}
        span = self._scope.spans.start(attr.KIND_EOU, turn or self._scope, start, attributes)
        span.end(end, attr.OUTCOME_NOT_COMMITTED)
