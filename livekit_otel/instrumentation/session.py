"""One traced session: puts its trackers together, and says where each event goes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor

from .. import attributes as attr
from ..containment import contain, contained
from ..journal import Attributes, Head, JournalWriter, Recorder
from ..provider.mirror import MirroredTracer
from . import livekit_api
from .clock import SessionClock
from .identity import agent_id, identity, open_session
from .layers import Layers
from .options import Options
from .scope import SessionScope
from .span import SpanFactory
from .tool_names import ToolNames
from .trackers.eou import EouTracker
from .trackers.interruption import InterruptionTracker
from .trackers.llm import LlmTracker
from .trackers.playback import PlaybackTracker
from .trackers.realtime import RealtimeTracker
from .trackers.stt import SttTracker
from .trackers.tool import ToolTracker
from .trackers.tts import TtsTracker
from .trackers.turn import Turn
from .trackers.turns import TurnTracker
from .trackers.vad import Claim, VadTracker
from .values import clip

if TYPE_CHECKING:
    from livekit.agents import (
        Agent,
        AgentSession,
        AgentStateChangedEvent,
        CloseEvent,
        ConversationItemAddedEvent,
        ErrorEvent,
        FunctionToolsExecutedEvent,
        MetricsCollectedEvent,
        SpeechCreatedEvent,
        ToolExecutionUpdatedEvent,
        UserInputTranscribedEvent,
        UserStateChangedEvent,
    )

__all__ = ["SessionState"]

#: how long an event may wait for a span that carries it; a killed process loses no more
CHECKPOINT_SECONDS = 0.3


class SessionState:
    """Everything that is known of one session while it runs. Holds the session weakly."""

    def __init__(
        self,
        session: AgentSession[Any],
        agent: Agent | None,
        options: Options,
        layers: Layers,
        processor: SpanProcessor | None = None,
    ) -> None:
        """``processor``: shown every span, where the provider itself takes none."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._announced = False
        self.session_id = uuid.uuid4().hex
        self.job = livekit_api.job_context()
        self.closed = False
        #: everything of the session has ended (set once)
        self.finished = asyncio.Event()
        self.close_reason: str | None = None
        #: LiveKit is asking a realtime model to answer what the user said
        self.answering = False

        content = options.content_allowed() and not livekit_api.redaction_enabled(session)
        clock = SessionClock()
        tracer = layers.provider.get_tracer(attr.SCOPE)
        if processor is not None:
            tracer = MirroredTracer(tracer, attr.SCOPE, processor)
        spans = SpanFactory(tracer, identity(self.session_id, self.job, session, options, content=content))
        agent_name = agent_id(agent)
        span = open_session(spans, layers, self.job, agent_name, clock)
        self.scope = SessionScope(session, options, layers, spans, span, clock, agent_name=agent_name, content=content)
        self.recording = self.scope.recording
        self.tool_names = ToolNames(session, agent)
        self.journal = JournalWriter(content=content, is_tool=self.tool_names)
        spans.journal = self.take_journal
        self.recorder = Recorder(self.journal)
        self._build()

    def _build(self) -> None:
        """The trackers, each with the peers that it needs."""
        scope = self.scope
        self.turns = turns = TurnTracker(scope)
        self.vad = vad = VadTracker(scope)
        self.stt = SttTracker(scope, lambda: vad.segment_start_ns)
        self.llm = LlmTracker(scope, turns)
        self.tts = TtsTracker(scope, turns)
        self.realtime = RealtimeTracker(scope, turns)
        self.tools = ToolTracker(scope, turns, self.tool_names)
        self.interruptions = InterruptionTracker(scope, vad)
        self.eou = EouTracker(scope, turns, self._claim, self._give)
        self.playback = PlaybackTracker(
            scope, turns, voice_starts=self._voice_starts, cut_off=self.interruptions.cut_off
        )
        turns.speech_start = lambda: vad.began_ns(turns.floor_ns)
        turns.outer_speech = self.tools.outer_speech
        turns.speech_over += [self.llm.settle, self.tts.settle]
        turns.before_end += [
            self.llm.turn_ends,
            self.tts.turn_ends,
            self.realtime.turn_ends,
            self.stt.turn_ends,
            self.interruptions.turn_ends,
        ]
        self._metrics_handlers: dict[str, Callable[[Any], None]] = {
            "vad_metrics": vad.metrics,
            "stt_metrics": self.stt.metrics,
            "eou_metrics": self.eou.metrics,
            "eot_inference_metrics": self.eou.prediction,
            "realtime_model_metrics": self.realtime.metrics,
            "interruption_metrics": self.interruptions.metrics,
            "avatar_metrics": self.playback.avatar,
            "decision_metrics": self.llm.decision,
        }
        self._event_handlers: dict[str, Callable[[Any], None]] = {
            "metrics_collected": self._on_metrics,
            "user_state_changed": self._on_user_state,
            "agent_state_changed": self._on_agent_state,
            "user_input_transcribed": self._on_transcript,
            "conversation_item_added": self._on_item,
            "speech_created": self._on_speech_created,
            "function_tools_executed": self._on_tools_executed,
            "tool_execution_updated": self._on_tool_updated,
            "overlapping_speech": lambda event: self.interruptions.judged(event, self.playback.turn),
            "agent_false_interruption": lambda event: self.interruptions.false_interruption(event, self.playback.turn),
            "error": self._on_error,
            "close": self._on_close,
        }

    def listen(self, kind: str, handler: Callable[[Any], None]) -> None:
        """Metrics of this kind go to ``handler``: where a hook knows which stream they come from."""
        self._metrics_handlers[kind] = handler

    # --- events ------------------------------------------------------------------------------------

    def on_event(self, event: Any, session: AgentSession[Any]) -> None:
        """One event of the session, before its handlers see it."""
        self.announce(session)
        with contained("journal.event"):
            self.recorder.event(event, session.history)
        handler = self._event_handlers.get(getattr(event, "type", ""))
        if handler is not None:
            with contained(f"event.{event.type}"):
                handler(event)
        if self.journal.full or self.closed:
            self.checkpoint()
        elif self._timer is None and self.journal.pending:
            self._timer = self._loop.call_later(CHECKPOINT_SECONDS, self._on_timer)

    def announce(self, session: AgentSession[Any]) -> None:
        """session.start: as soon as LiveKit has settled the options, so that a crash leaves an identity."""
        if self._announced:
            return
        self._announced = True
        scope = self.scope
        if scope.content and livekit_api.redaction_enabled(session):
            scope.content = False
            self.journal.withhold_content()
            scope.spans.withhold_content(scope.span)
        started = scope.clock.started_ns / 1e9
        attributes: Attributes = {attr.SESSION_REDACTED: not scope.content, attr.SESSION_STARTED_AT: started}
        with contained("session.start"):
            head = livekit_api.report_head(session, self.job)
            self.journal.add(Head(head))
            attributes[attr.SESSION_SDK_VERSION] = clip(str(head.get("sdk_version", "")))
            if scope.content and head.get("room"):
                attributes[attr.SESSION_ROOM] = clip(head["room"])
            attributes.update(self.take_journal())
        if scope.layers.native_shared and (stamp := livekit_api.cloud_stamp()):
            # recording begins when this span has begun: without its mark Cloud would not get the parent of LiveKit's
            scope.span.set(stamp)
        scope.spans.point(attr.KIND_SESSION_START, scope, scope.now_ns(), attributes)

    def started(self, session: AgentSession[Any]) -> None:
        """start() returned."""
        self.announce(session)
        self.playback.watch(session.output.audio)

    def _on_metrics(self, event: MetricsCollectedEvent) -> None:
        metrics = event.metrics
        handler = self._metrics_handlers.get(getattr(metrics, "type", ""))
        if handler is not None:
            handler(metrics)

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        if event.new_state != "speaking":
            return
        at = self.scope.clock.at_ns(event.created_at)
        if self.scope.realtime:
            # a realtime model's server has no VAD of ours
            self.vad.reported(at)
        self.stt.speech_started()
        if self.playback.audible:
            self.interruptions.user_started(at, self.playback.turn)

    def _on_agent_state(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self.stt.settle()
            turn = self.turns.cause()
            if turn is not None:
                turn.heard = True

    def _on_transcript(self, event: UserInputTranscribedEvent) -> None:
        if event.transcript.strip():
            self.vad.words(self.scope.now_ns())
        if event.transcript and not livekit_api.transcribes_itself(self.scope.session):
            self.stt.transcript(event)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if item.type == "agent_handoff":
            self.scope.agent_name = item.new_agent_id
            self.tool_names.learn()
            return
        if item.type != "message":
            return
        turn = self.turns.cause()
        if item.role == "user" and self.scope.realtime and turn is None:
            self.turns.words_arrived(item, unclaimed=self.vad.unclaimed)
        else:
            self.turns.message(item, turn)

    def _on_speech_created(self, event: SpeechCreatedEvent) -> None:
        session = self.scope.session
        if session is not None:
            self.playback.watch(session.output.audio)
        answers = self.answering or (self.scope.realtime and not event.user_initiated and self.vad.unclaimed)
        if not answers:
            turn = self.turns.speech_created(event.speech_handle)
            turn.by_server = self.scope.realtime and not event.user_initiated
            return
        turn = self.turns.speech_created(event.speech_handle, answers_speech=True)
        if turn.has_user:
            self._give(self._claim(False), turn)

    def _on_tools_executed(self, event: FunctionToolsExecutedEvent) -> None:
        handle = livekit_api.current_speech(self.scope.session)
        turn = self.turns.cause()
        if turn is not None and livekit_api.task_is_done():
            turn.hands_back = True
        self.tools.executed(event, handle.id if handle is not None else None)

    def _on_tool_updated(self, event: ToolExecutionUpdatedEvent) -> None:
        update = event.update
        if update.type == "tool_call_updated":
            self.tools.updated(update.call_id)
        elif update.type == "tool_call_ended":
            self.tools.ended(update.call_id, update.status, update.message)

    def _on_error(self, event: ErrorEvent) -> None:
        error = event.error
        if isinstance(error, livekit_api.realtime_error()):
            turn = self.turns.cause() or self.turns.unanswered
            if (turn is None or not turn.open or turn.heard) and self.vad.unclaimed:
                turn = self.turns.open_user_turn()
                self._give(self._claim(False), turn)
            if turn is not None and turn.open:
                turn.failed(attr.KIND_REALTIME, error.error)
                self.turns.check(turn)

    def close_called(self, *, drain: bool, running: bool) -> None:
        """The session is being closed. ``drain``: what it was about to say is still said."""
        scope = self.scope
        if scope.close_called_ns is None:
            scope.close_called_ns = scope.now_ns()
            if not drain:
                self.turns.close_called(scope.close_called_ns)
        scope.closing = running

    def _on_close(self, event: CloseEvent) -> None:
        self.close_reason = str(getattr(event.reason, "value", event.reason))

    # --- the user's side ---------------------------------------------------------------------------

    def _claim(self, cut: bool) -> Claim:
        return self.vad.claim(self.turns.floor_ns, cut=cut)

    def _give(self, claim: Claim, turn: Turn) -> None:
        self.vad.give(claim, turn)
        self.stt.give(turn)

    def discard_user(self) -> None:
        """What the user said will not be committed."""
        self.turns.drop_candidate()
        self.vad.discard()
        self.stt.discard()

    def _voice_starts(self, at_ns: int, turn: Turn | None) -> None:
        self.realtime.first_audio(at_ns, turn)
        if self.vad.speaking:
            started = self.vad.segment_start_ns
            self.interruptions.user_started(started if started is not None else at_ns, turn)

    # --- journal -----------------------------------------------------------------------------------

    def take_journal(self) -> Attributes:
        """The pending journal for the span at hand; what does not fit goes out on checkpoints at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first, *rest = self.journal.take() or [{}]
        point = partial(self.scope.spans.point, attr.KIND_SESSION_CHECKPOINT, self.scope)
        for attributes in rest:
            point(self.scope.now_ns(), attributes)
        return first

    @contain("journal.checkpoint")
    def checkpoint(self) -> None:
        if self.journal.pending:
            self.scope.spans.point(attr.KIND_SESSION_CHECKPOINT, self.scope, self.scope.now_ns(), self.take_journal())

    def _on_timer(self) -> None:
        self._timer = None
        self.checkpoint()
