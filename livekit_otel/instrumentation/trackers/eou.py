"""EOU: one span from the end of the user's speech to the turn's commit, with the end-of-turn model's metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...containment import contain
from ..clock import to_ns
from ..end_of_turn import EndOfTurn, EndOfTurnCheck
from ..scope import SessionScope
from ..values import flatten, model_attributes
from .decision import Decision
from .segments import Claim
from .turn import TurnState
from .turns import TurnTracker
from .utterance import Utterance

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle
    from livekit.agents.metrics import EOTInferenceMetrics, EOUMetrics

__all__ = ["EouTracker"]

_MAX_OPEN = 8
_MAX_PREDICTIONS = 8
#: seconds; LiveKit reports less if it does not know when the user stopped: it then takes the transcript's arrival
_UNKNOWN_S = 0.001
#: LiveKit emits the user's message and the state "thinking" right after a decision: its span carries both events
_MESSAGE_S = 0.1


class EouTracker:
    """End-of-utterance decisions of one session."""

    def __init__(self, scope: SessionScope, turns: TurnTracker, utterance: Utterance) -> None:
        self._scope = scope
        self._turns = turns
        self._utterance = utterance
        self._decisions: list[Decision] = []
        self.check = EndOfTurnCheck()
        self._predictions: list[EOTInferenceMetrics] = []
        #: ends the span of the latest decision, which waits for the user's message
        self._end: Callable[[], None] | None = None
        turns.speech_over.append(self._speech_over)

    def dropped(self, end_of_turn: EndOfTurn, tuning: dict[str, AttributeValue]) -> None:
        """LiveKit decided that the turn is not over, or did not accept the words."""
        if self._scope.closing and not end_of_turn.new_transcript:
            return  # on closing, LiveKit commits whatever it has
        now = self._scope.now_ns()
        stopped = end_of_turn.metrics.stopped_speaking_at
        start = min(self._scope.clock.at_ns(stopped), now) if stopped else now
        self._turns.drop_candidate()
        decision = Decision(end_of_turn, start, now, "vad", self.check.agent)
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
        if nothing or (self._scope.closing and (claim.floor_ns or 0) < self._turns.voice_ns):
            self._utterance.release(claim)  # or LiveKit kept these words, and the agent spoke on
            return
        stopped, source = self._stopped(end_of_turn, claim, has_vad=has_vad)
        answered, now = self._turns.answered_commit() or (None, now)
        decision = Decision(end_of_turn, min(stopped or now, now), now, source, self.check.agent)
        decision.attributes.update(tuning)
        if source == "stt" and claim.start_ns is not None and claim.start_ns < decision.start_ns:
            decision.attributes[attr.EOU_SPEECH_DURATION] = (decision.start_ns - claim.start_ns) / 1e9
        decision.held_by = self._turns.unfinished() if answered is None else None
        began = claim.start_ns or stopped or decision.start_ns
        decision.turn = self._turns.commit(text, began, claim.floor_ns, answered)
        decision.turn.speech_end_source = source
        self._utterance.give(claim, decision.turn)
        if not hook:
            decision.turn.closed_by_session = decision.turn.closed_by_session or self._scope.closing
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
        if (alone := self._utterance.stopped_ns) is not None:
            return alone, "stt"
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
        if decision.source == "unknown" or decision.unknown_to_livekit:
            # LiveKit writes 0 for an unknown value
            for name in ("end_of_utterance_delay", "transcription_delay"):
                fields.pop(attr.metric("eou", name), None)
        decision.attributes.update(fields)
        self._note_hold(decision, metrics.on_user_turn_completed_delay)
        self._turns.link(metrics.speech_id, decision.turn)
        self._emit(decision)

    def _note_hold(self, decision: Decision, hook: float) -> None:
        """Record how long LiveKit delayed the hook because an earlier turn's tool or hook was still running."""
        self._hold(decision, (self._scope.now_ns() - decision.end_ns) / 1e9 - hook)

    def _hold(self, decision: Decision, held: float) -> None:
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
        now = self._scope.now_ns()
        if not decision.done and decision in self._decisions:
            # no reply was requested, so LiveKit does not report the hook's duration
            self._hold(decision, (decision.free_ns - decision.end_ns) / 1e9)
            decision.attributes[attr.EOU_HOOK] = (now - decision.free_ns) / 1e9
        self._emit(decision)
        if decision not in self._decisions:
            return
        self._decisions.remove(decision)
        for later in self._decisions:
            later.free_ns = now if later.held_by is not None else later.free_ns
        if decision.turn is not None:
            decision.turn.deciding = False
            if not decision.turn.closed_by_session:
                decision.turn.last_ns = max(decision.turn.last_ns, now)
            self._turns.give_up_unscheduled(decision.turn)
            self._turns.finish(decision.turn)

    @contain("eou.speech_over")
    def _speech_over(self, handle: SpeechHandle) -> None:
        """A speech is done: LiveKit may have held back the hooks of later turns for it."""
        turn = self._turns.of_speech(handle.id)
        for decision in self._decisions:
            if decision.held_by is not None and turn is not decision.turn:
                decision.free_ns = self._scope.now_ns()

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
        span.agent = decision.agent
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
