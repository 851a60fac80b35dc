"""One traced session: its spans, its journal, and where each event goes."""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from . import livekit_api
from .eou import EouTracker
from .guard import contain, contained
from .identity import agent_id, identity, open_session
from .interruption import InterruptionTracker
from .journal import Attributes, Journal
from .layers import Layers
from .llm import LlmTracker
from .mirror import MirroredTracer
from .options import Options
from .playback import PlaybackTracker
from .realtime import RealtimeTracker
from .recorder import Recorder
from .stage import SpanFactory
from .stt import SttTracker
from .tool import ToolTracker
from .tts import TtsTracker
from .turn import Turn, event_time
from .turn_tracker import TurnTracker
from .vad import VadTracker
from .values import clip, now_ns

#: how long an event may wait for a span that carries it; a killed process loses no more
CHECKPOINT_SECONDS = 0.3


class SessionState:
    """Everything that is known of one session while it runs. Holds the session weakly."""

    def __init__(
        self,
        session: Any,
        agent: Any,
        options: Options,
        provider: trace.TracerProvider,
        processor: SpanProcessor | None = None,
    ) -> None:
        """``processor``: shown every span, where the provider itself takes none."""
        self._session = weakref.ref(session)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._announced = False
        self.session_id = uuid.uuid4().hex
        self.job = livekit_api.job_context()
        self.llm_input = options.llm_input
        self.agent_name: str | None = agent_id(agent)
        self.agent_state = "initializing"
        self.closing = False
        self.closed = False
        #: everything of the session has ended (set once)
        self.finished = asyncio.Event()
        self.close_reason: str | None = None
        #: which layer records where, asked at each stage
        self.layers = Layers(provider)
        self._options = options
        self._content = options.content_allowed() and not livekit_api.redaction_enabled(session)

        attributes = identity(self.session_id, self.job, session, options, content=self._content)
        tracer = provider.get_tracer(attr.SCOPE)
        if processor is not None:
            tracer = MirroredTracer(tracer, attr.SCOPE, processor)
        self.spans = SpanFactory(tracer, attributes)
        self.stage = open_session(self.spans, self.layers, self.job, self.agent_name)
        self.context = self.stage.context
        self.recording = self.stage.span.is_recording()

        self.journal = Journal(content=self._content)
        self.spans.journal = self.take_journal
        self.recorder = Recorder(self.journal)
        self.vad = VadTracker(self)
        self.turns = TurnTracker(self)
        self.stt = SttTracker(self)
        self.eou = EouTracker(self)
        self.llm = LlmTracker(self)
        self.tts = TtsTracker(self)
        self.realtime_tracker = RealtimeTracker(self)
        self.tools = ToolTracker(self)
        self.playback = PlaybackTracker(self)
        self.interruptions = InterruptionTracker(self)
        self._metrics_handlers: dict[str, Callable[[Any], None]] = {
            "vad_metrics": self.vad.metrics,
            "stt_metrics": self.stt.metrics,
            "eou_metrics": self.eou.metrics,
            "eot_inference_metrics": self.eou.prediction,
            "llm_metrics": self.llm.metrics,
            "decision_metrics": self.llm.decision,
            "tts_metrics": self.tts.metrics,
            "realtime_model_metrics": self.realtime_tracker.metrics,
            "interruption_metrics": self.interruptions.metrics,
            "avatar_metrics": self.playback.avatar,
        }
        self._event_handlers: dict[str, Callable[[Any], None]] = {
            "metrics_collected": self._on_metrics,
            "user_state_changed": self._on_user_state,
            "agent_state_changed": self._on_agent_state,
            "user_input_transcribed": self._on_transcript,
            "user_transcription_timeout": lambda _: self.vad.timed_out(),
            "conversation_item_added": self._on_item,
            "speech_created": self._on_speech_created,
            "function_tools_executed": self._on_tools_executed,
            "tool_execution_updated": lambda event: self.tools.update(event.update),
            "overlapping_speech": self.interruptions.judged,
            "agent_false_interruption": self.interruptions.false_interruption,
            "error": lambda event: self.realtime_tracker.error(event.error),
            "close": self._on_close,
        }

    @property
    def content(self) -> bool:
        """Whether content may be recorded."""
        return self._content

    @property
    def session(self) -> Any | None:
        return self._session()

    @property
    def agent_busy(self) -> bool:
        return self.agent_state in ("speaking", "thinking")

    @property
    def realtime(self) -> bool:
        """Whether the agent in charge uses a speech-to-speech model."""
        session = self._session()
        if session is None:
            return False
        agent_llm = getattr(getattr(session, "_agent", None), "llm", None)
        realtime = livekit_api.realtime_model()
        return isinstance(session.llm, realtime) or isinstance(agent_llm, realtime)

    @property
    def has_audio_output(self) -> bool:
        session = self._session()
        return session is not None and session.output.audio is not None

    def current_speech_id(self) -> str | None:
        """The speech that the agent is at."""
        session = self._session()
        speech = session.current_speech if session is not None else None
        if speech is None:
            speech = livekit_api.speech_handle()
        return speech.id if speech is not None else None

    # --- events ------------------------------------------------------------------------------------

    def on_event(self, event: Any, session: Any) -> None:
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

    def announce(self, session: Any) -> None:
        """session.start: as soon as LiveKit has settled the options, so that a crash leaves an identity."""
        if self._announced:
            return
        self._announced = True
        if self._content and livekit_api.redaction_enabled(session):
            self._content = False
            self.journal.withhold_content()
        if self.layers.native_shared and (stamp := livekit_api.cloud_stamp()):
            # recording begins when this span has begun: without its mark Cloud would not get the parent of LiveKit's
            self.stage.set(stamp)
        attributes: dict[str, AttributeValue] = {attr.SESSION_REDACTED: not self._content}
        with contained("session.start"):
            head = livekit_api.report_head(session, self.job)
            self.journal.add(["h", head])
            attributes[attr.SESSION_SDK_VERSION] = clip(str(head.get("sdk_version", "")))
            if self._content and head.get("room"):
                attributes[attr.SESSION_ROOM] = clip(head["room"])
            attributes.update(self.take_journal())
        self.spans.point(attr.KIND_SESSION_START, self.context, now_ns(), attributes)

    def started(self, session: Any) -> None:
        """start() returned."""
        self.announce(session)
        self.playback.watch(session.output.audio)

    def _on_metrics(self, event: Any) -> None:
        metrics = event.metrics
        handler = self._metrics_handlers.get(getattr(metrics, "type", ""))
        if handler is not None:
            handler(metrics)

    def _on_user_state(self, event: Any) -> None:
        speaking = event.new_state == "speaking"
        self.vad.user_state(speaking=speaking, at_ns=event_time(event))
        if speaking:
            self.stt.speech_started()
            self.interruptions.user_started(event_time(event))

    def _on_agent_state(self, event: Any) -> None:
        self.agent_state = event.new_state
        if event.new_state == "speaking":
            self.turns.agent_speaks()
            self.stt.settle()

    def _on_transcript(self, event: Any) -> None:
        turn = self.turns.user_spoke(event.transcript, final=event.is_final) if event.transcript.strip() else None
        if event.transcript and not self.realtime:
            self.stt.transcript(event, turn)

    def _on_item(self, event: Any) -> None:
        if getattr(event.item, "type", None) == "agent_handoff":
            self.agent_name = event.item.new_agent_id
            if event.item.old_agent_id is not None:
                self.turns.handoff()
            return
        self.turns.message(event.item)

    def _on_speech_created(self, event: Any) -> None:
        session = self._session()
        if session is not None:
            self.playback.watch(session.output.audio)
        self.turns.speech_created(event.speech_handle)

    def _on_tools_executed(self, event: Any) -> None:
        self.tools.executed(event)
        if getattr(event, "has_agent_handoff", False):
            self.turns.handoff()

    def _on_close(self, event: Any) -> None:
        self.close_reason = str(getattr(event.reason, "value", event.reason))

    # --- stages ------------------------------------------------------------------------------------

    def release_speech(self, handle: Any) -> None:
        """A speech is over: requests that waited to know whether it would be used can end."""
        self.llm.settle(handle)
        self.tts.settle(handle)

    def before_turn_ends(self, turn: Turn) -> None:
        """Stages that wait for more end now, so that they are in the turn."""
        for handle in list(turn.active.values()):
            self.llm.settle(handle, discard=True)
            self.tts.settle(handle, discard=True)
        self.stt.settle()
        self.interruptions.turn_ends(turn)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._loop.call_later(seconds, contain("timer")(callback))

    # --- journal -----------------------------------------------------------------------------------

    def take_journal(self) -> Attributes:
        """The pending journal for the span at hand; what does not fit goes out on checkpoints at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first, *rest = self.journal.take() or [{}]
        for attributes in rest:
            self.spans.point(attr.KIND_SESSION_CHECKPOINT, self.context, now_ns(), attributes)
        return first

    @contain("journal.checkpoint")
    def checkpoint(self) -> None:
        if self.journal.pending:
            self.spans.point(attr.KIND_SESSION_CHECKPOINT, self.context, now_ns(), self.take_journal())

    def _on_timer(self) -> None:
        self._timer = None
        self.checkpoint()
