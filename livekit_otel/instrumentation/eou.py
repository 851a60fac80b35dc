"""EOU: from the moment the user stopped speaking to the commit of the turn, and the end-of-turn model's metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contain, contained
from . import registry
from .turn import Turn
from .values import flatten, model_attributes, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState

_MAX_OPEN = 8


class _Decision:
    """One decision on a user's turn."""

    def __init__(self, info: Any, start_ns: int, end_ns: int, turn: Turn | None) -> None:
        self.info = info
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.turn = turn
        self.attributes: dict[str, AttributeValue] = {}
        #: the task in which on_user_turn_completed runs: its EOUMetrics come from there
        self.task: asyncio.Task[Any] | None = None
        self.done = False


class EouTracker:
    """End-of-utterance decisions of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._decisions: list[_Decision] = []
        self._predictions: list[Any] = []

    def decided(self, info: Any, committed: bool) -> None:
        """LiveKit decided that the user's turn is over (or dropped the decision)."""
        if self._state.closing and not info.new_transcript:
            return  # LiveKit commits whatever there is when it closes
        now = now_ns()
        stopped = getattr(info.metrics, "stopped_speaking_at", None)
        turn = self._state.turns.pending
        if committed and (turn is None or turn.committed) and (info.new_transcript or self._state.realtime):
            turn = self._state.turns.open_user_turn(committed=True)
        decision = _Decision(info, min(to_ns(stopped), now) if stopped else now, now, turn)
        if not committed:
            self._emit(decision, attr.OUTCOME_NOT_COMMITTED)
            return
        if turn is not None:
            self._state.turns.committed(turn)
            turn.hook_running = True
        self._decisions.append(decision)
        if len(self._decisions) > _MAX_OPEN:
            self._emit(self._decisions[0])

    def metrics(self, metrics: Any) -> None:
        """EOUMetrics of the decision whose reply was just asked for."""
        fields = {**flatten("eou", metrics), **model_attributes(metrics)}
        if metrics.speech_id:
            fields[attr.SPEECH_ID] = metrics.speech_id
        task = asyncio.current_task()
        decision = next((one for one in self._decisions if one.task is task), None)
        if decision is None:
            end = to_ns(metrics.timestamp)
            decision = _Decision(None, end - to_ns(metrics.end_of_utterance_delay), end, None)
            decision.turn = self._state.turns.of_speech(metrics.speech_id)
        decision.attributes.update(fields)
        self._emit(decision)

    def prediction(self, metrics: Any) -> None:
        """EOTInferenceMetrics: of the decision that comes next, or of a check after which the user went on."""
        if self._predictions:
            self._emit_prediction(self._predictions.pop())
        self._predictions.append(metrics)

    def hook_done(self, decision: _Decision) -> None:
        """``on_user_turn_completed`` is over, with or without a reply."""
        self._emit(decision)
        if decision.turn is not None:
            self._state.turns.hook_done(decision.turn)

    def of(self, info: Any) -> _Decision | None:
        return next((decision for decision in self._decisions if decision.info is info), None)

    def close(self, at_ns: int) -> None:
        for decision in list(self._decisions):
            self._emit(decision)
        for metrics in self._predictions:
            self._emit_prediction(metrics)
        self._predictions = []

    def _emit(self, decision: _Decision, outcome: str | None = None) -> None:
        if decision.done:
            return
        decision.done = True
        if decision in self._decisions:
            self._decisions.remove(decision)
        if self._predictions:
            metrics = self._predictions.pop()
            decision.attributes.update(flatten("eot", metrics))
            if attr.REQUEST_MODEL not in decision.attributes:
                decision.attributes.update(model_attributes(metrics))
        decision.attributes[attr.EOU_COMMITTED] = outcome is None
        parent = decision.turn.context if decision.turn is not None else self._state.context
        stage = self._state.spans.start(attr.KIND_EOU, parent, decision.start_ns, decision.attributes)
        stage.end(decision.end_ns, outcome)

    def _emit_prediction(self, metrics: Any) -> None:
        """An end-of-turn check that led to no decision."""
        end = to_ns(metrics.timestamp)
        start = end - to_ns(max(metrics.total_duration, 0.0))
        turn = self._state.turns.pending
        parent = turn.context if turn is not None else self._state.context
        attributes = {**flatten("eot", metrics), **model_attributes(metrics), attr.EOU_COMMITTED: False}
        self._state.spans.start(attr.KIND_EOU, parent, start, attributes).end(end, attr.OUTCOME_NOT_COMMITTED)


# --- wrappers --------------------------------------------------------------------------------------


def on_end_of_turn(wrapped: Callable[..., bool], activity: Any, args: Any, kwargs: Any) -> bool:
    """``AgentActivity.on_end_of_turn(info)``: whether the turn was committed."""
    committed = wrapped(*args, **kwargs)
    _decided(activity, args, kwargs, committed)
    return committed


@contain("eou.decided")
def _decided(activity: Any, args: Any, kwargs: Any, committed: bool) -> None:
    state = registry.of(activity.session)
    if state is not None and state.recording:
        state.eou.decided(args[0] if args else kwargs["info"], bool(committed))


async def user_turn_completed_task(
    wrapped: Callable[..., Awaitable[Any]], activity: Any, args: Any, kwargs: Any
) -> Any:
    """``AgentActivity._user_turn_completed_task(old_task, info)``: the hook, and the request for a reply."""
    decision = state = None
    with contained("eou.hook"):
        state = registry.of(activity.session)
        if state is not None:
            info = kwargs.get("info", args[-1] if args else None)
            decision = state.eou.of(info)
            if decision is not None:
                decision.task = asyncio.current_task()
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("eou.hook_done"):
            if state is not None and decision is not None:
                state.eou.hook_done(decision)
