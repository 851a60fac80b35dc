"""Dispatches the events of a session by two tables: one for events and one for metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..containment import contained
from . import livekit_api, livekit_realtime
from .scope import SessionScope
from .tool_names import ToolNames
from .trackers import Trackers
from .trackers.turn import SERVER, TurnState

if TYPE_CHECKING:
    from livekit.agents import (
        AgentStateChangedEvent,
        ConversationItemAddedEvent,
        ErrorEvent,
        FunctionToolsExecutedEvent,
        MetricsCollectedEvent,
        SpeechCreatedEvent,
        ToolExecutionUpdatedEvent,
        UserInputTranscribedEvent,
        UserStateChangedEvent,
    )

__all__ = ["SessionEvents"]


class SessionEvents:
    """Dispatches a session's events to its trackers."""

    def __init__(self, scope: SessionScope, trackers: Trackers, tool_names: ToolNames) -> None:
        self._scope = scope
        self._trackers = to = trackers
        self._tool_names = tool_names
        #: whether LiveKit is asking a realtime model to answer the user's speech
        self.answering = False
        self._heard_item: str | None = None
        #: the turn whose tool results went to a realtime model that then replies by itself
        self._tools_answered: TurnState | None = None
        self._metrics: dict[str, Callable[[Any], None]] = {
            "vad_metrics": to.vad.metrics,
            "stt_metrics": to.stt.metrics,
            "eou_metrics": to.eou.metrics,
            "eot_inference_metrics": to.eou.prediction,
            "realtime_model_metrics": to.realtime.metrics,
            "interruption_metrics": to.interruptions.metrics,
            "avatar_metrics": to.playback.avatar,
            "decision_metrics": to.llm.decision,
        }
        events: dict[str, Callable[[Any], None]] = {
            "metrics_collected": self._on_metrics,
            "user_state_changed": self._on_user_state,
            "agent_state_changed": self._on_agent_state,
            "user_input_transcribed": self._on_transcript,
            "conversation_item_added": self._on_item,
            "speech_created": self._on_speech_created,
            "function_tools_executed": self._on_tools_executed,
            "tool_execution_updated": self._on_tool_updated,
            "overlapping_speech": lambda event: to.interruptions.judged(event, to.playback.turn),
            "agent_false_interruption": lambda event: to.interruptions.false_interruption(event, to.playback.turn),
            "error": self._on_error,
        }
        self._events = {kind: (contained(f"event.{kind}"), handler) for kind, handler in events.items()}

    def listen(self, kind: str, handler: Callable[[Any], None]) -> None:
        """Send metrics of this kind to ``handler``, for a hook that knows the stream they come from."""
        self._metrics[kind] = handler

    def dispatch(self, event: Any) -> None:
        """Dispatch one event of the session."""
        found = self._events.get(getattr(event, "type", ""))
        if found is not None:
            guard, handler = found
            with guard:
                handler(event)

    def _on_metrics(self, event: MetricsCollectedEvent) -> None:
        metrics = event.metrics
        handler = self._metrics.get(getattr(metrics, "type", ""))
        if handler is not None:
            handler(metrics)

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        if event.new_state != "speaking":
            if event.old_state == "speaking":
                self._trackers.holds.user_silent()
            return
        to, at = self._trackers, self._scope.clock.at_ns(event.created_at)
        to.stt.settle()
        to.eou.check.speaks_on()
        if to.playback.audible:
            to.interruptions.user_started(at, to.playback.turn)

    def _on_agent_state(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._trackers.stt.settle()
            turn = self._trackers.turns.cause()
            if turn is not None:
                turn.heard = True

    def _on_transcript(self, event: UserInputTranscribedEvent) -> None:
        if event.transcript.strip():
            self._trackers.vad.words(self._scope.now_ns(), final=event.is_final)
        # the item that a realtime model's server transcribed; the task that reports it may work for any turn
        self._heard_item = item_id = getattr(event, "item_id", None)
        if item_id is not None:
            self._trackers.utterance.server_words.transcript(event, item_id)
        if event.transcript and not livekit_realtime.transcribes_itself(self._scope.session):
            self._trackers.stt.transcript(event)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item, turns = event.item, self._trackers.turns
        if item.type == "agent_handoff":
            self._scope.agent_name = item.new_agent_id
            self._tool_names.learn()
            return
        if item.type != "message":
            return
        turn = turns.cause()
        if item.role == "user" and self._scope.realtime and (turn is None or item.id == self._heard_item):
            vad = self._trackers.vad
            early = vad.server.has(item.id) or (vad.unclaimed and not vad.server.announces)
            self._trackers.utterance.server_words.message(item, early=early)
        else:
            turns.message(item, turn)

    def _on_speech_created(self, event: SpeechCreatedEvent) -> None:
        to, realtime = self._trackers, self._scope.realtime
        session = self._scope.session
        if session is not None:
            to.playback.watch(session.output.audio)
        by_server = realtime and not event.user_initiated
        heard = to.vad.unclaimed if self._tools_answered is None else to.vad.server.start_ns() is not None
        answers = self.answering or (by_server and heard)
        turn = to.turns.speech_created(event.speech_handle, answers_speech=answers)
        if self.answering:
            to.turns.answers_commit(turn)
        to.nodes.spoke()
        to.holds.speech_waits(event.speech_handle.id)
        if not answers:
            turn.by_server = by_server
            if by_server:
                to.utterance.answered(turn)
        elif turn.has_user:
            to.utterance.give_heard(turn)
        if by_server:
            self._reply_came()

    def _on_tools_executed(self, event: FunctionToolsExecutedEvent) -> None:
        handle = livekit_api.current_speech(self._scope.session)
        self._trackers.tools.executed(event, handle.id if handle is not None else None)
        turn = self._trackers.turns.of_speech(handle.id if handle is not None else None)
        if turn is not None and event.has_tool_reply and livekit_realtime.replies_to_tools(self._scope.session):
            self._reply_came()
            self._tools_answered = turn
            self._trackers.turns.hold(turn, self)

    def _reply_came(self) -> None:
        """The model has replied to its tool results, or will not reply."""
        turn, self._tools_answered = self._tools_answered, None
        if turn is not None:
            self._trackers.turns.release(turn, self)

    def _on_tool_updated(self, event: ToolExecutionUpdatedEvent) -> None:
        update = event.update
        if update.type == "tool_call_updated":
            self._trackers.tools.updated(update.call_id)
        elif update.type == "tool_call_ended":
            self._trackers.tools.ended(update.call_id, update.status, update.message)

    def _on_error(self, event: ErrorEvent) -> None:
        error = event.error
        if not isinstance(error, livekit_realtime.realtime_error()):
            return
        turns = self._trackers.turns
        disconnected = livekit_realtime.disconnects(error)
        if disconnected:
            self._reply_came()
        if self._trackers.realtime.error(error.error, disconnected=disconnected):
            return
        turn = turns.cause() or turns.unanswered
        if (turn is None or not turn.open or turn.heard) and self._trackers.vad.unclaimed:
            turn = self._trackers.utterance.open_turn()
        if turn is not None and turn.open:
            turn.failed(SERVER, error.error)
            turns.check(turn)
