"""One traced session: its scope, journal and trackers, and how it begins."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor

from .. import attributes as attr
from ..containment import contain, contained
from ..journal import Attributes, Head
from ..provider.limits import limits_of
from ..provider.mirror import tracer_for
from ..redaction import Redaction, kinds
from . import livekit_api, livekit_job, livekit_telemetry
from .agents import AgentsAtWork, agent_id
from .clock import SessionClock
from .events import SessionEvents
from .identity import dispatched, identity, open_session
from .layers import Layers
from .options import Options
from .scope import SessionScope
from .session_journal import SessionJournal
from .span_factory import SpanFactory
from .startup import Startup
from .tagger import tagger_state
from .tool_names import ToolNames
from .trackers import Trackers
from .trackers.turn import TurnState
from .values import clip

if TYPE_CHECKING:
    from livekit.agents import Agent, AgentSession

__all__ = ["SessionState"]


class SessionState:
    """The state of one running session. Holds a weak reference to the session."""

    def __init__(
        self,
        session: AgentSession[Any],
        agent: Agent | None,
        options: Options,
        layers: Layers,
        processor: SpanProcessor | None = None,
        *,
        joins: bool = False,
    ) -> None:
        """Create the scope, the journal and the trackers, and start the session's span.

        Args:
            processor: receives every span if the provider does not accept span processors.
            joins: whether ``start()`` connects to the room.
        """
        self._announced = False
        self.session_id = uuid.uuid4().hex
        self.job = livekit_api.job_context()
        self.closed = False
        #: session.end has announced that LiveKit makes a report
        self.report_follows = False
        #: the process is ending: session.end has been written, so later events are not recorded
        self.over = False
        #: set once, when all spans of the session have ended
        self.finished = asyncio.Event()
        self.close_reason: str | None = None

        content = options.content_allowed() and not livekit_api.redaction_enabled(session)
        clock = SessionClock()
        tracer = tracer_for(layers.provider, attr.SCOPE, processor)
        redaction = Redaction(options.redact) if content and options.redact is not None else None
        ask = not joins or options.session_attributes is None
        who = identity(self.session_id, self.job, session, options, redaction, content=content, ask=ask)
        spans = SpanFactory(tracer, who, limits_of(layers.provider))
        if not ask:
            spans.unsettled()
        spans.agent_of = AgentsAtWork(session).of_stage
        agent_name = agent_id(agent)
        span = open_session(spans, layers, self.job, agent_name, clock)
        self.scope = SessionScope(
            session, options, layers, spans, span, clock, redaction, agent_name=agent_name, content=content
        )
        self.recording = self.scope.recording
        tool_names = ToolNames(session, agent)
        self.journal = SessionJournal(self.scope, is_tool=tool_names)
        self.trackers = Trackers(self.scope, tool_names, self.job.room if self.job is not None else None)
        self.startup = Startup(self.job, clock)
        self.trackers.voice_starts.append(self._first_audio)
        self.events = SessionEvents(self.scope, self.trackers, tool_names)

    def on_event(self, event: Any, session: AgentSession[Any]) -> None:
        """Record one event of the session before its handlers receive it."""
        if self.over:
            return
        if not self._announced:
            self.announce(session)
        self.journal.event(event, session.history)
        if getattr(event, "type", "") == "close":
            self.close_reason = str(getattr(event.reason, "value", event.reason))
        self.events.dispatch(event)
        self.journal.keep_up(at_once=self.closed)

    def announce(self, session: AgentSession[Any]) -> None:
        """Prepare session.start once LiveKit has settled the options.

        It is sent a moment later, together with the records made until then, so that a session that crashes can still
        be identified."""
        if self._announced or not self.scope.spans.settled:
            return
        self._announced = True
        scope = self.scope
        if scope.content and livekit_api.redaction_enabled(session):
            scope.content, scope.redaction = False, None
            self.journal.writer.withhold_content()
            scope.spans.withhold_content(scope.span)
        started = scope.clock.started_ns / 1e9
        attributes: Attributes = {attr.SESSION_REDACTED: not scope.content, attr.SESSION_STARTED_AT: started}
        if scope.redaction is not None:
            attributes[attr.SESSION_REDACTED_IN_PART] = True
        with contained("session.start"):
            head = livekit_job.report_head(session, self.job)
            self.journal.writer.add(Head(head, tagger_state(self.job)))
            attributes[attr.SESSION_SDK_VERSION] = clip(str(head.get("sdk_version", "")))
            if scope.content and head.get("room"):
                attributes[attr.SESSION_ROOM] = clip(scope.redacted(head["room"], kinds.OTHER))
            attributes.update(self._about_job())
        if scope.layers.native_shared and (stamp := livekit_telemetry.cloud_stamp()):
            # LiveKit begins to record after this span began: without the mark, Cloud would lack its spans' parent
            scope.span.set(stamp)
        attributes |= self.startup.so_far(scope.now_ns())
        self.journal.starts(scope.now_ns(), attributes)

    def _about_job(self) -> Attributes:
        """Return where the job came from; also set the job's metadata on the session's span."""
        if self.job is None:
            return {}
        metadata = livekit_job.dispatch(self.job)[1]
        said: Attributes = {}
        if metadata and self.scope.content:
            said[attr.JOB_METADATA] = clip(self.scope.redacted(metadata, kinds.OTHER))
            self.scope.span.set(said)
        return {**said, **dispatched(self.job)}

    @contain("session.settle")
    def settle(self) -> None:
        """Ask the user for the session's attributes: the room is connected, or start() returned without connecting."""
        scope = self.scope
        session = scope.session
        if scope.spans.settled:
            return
        if session is None:
            scope.spans.settle()
            return
        content = scope.content
        who = identity(self.session_id, self.job, session, scope.options, scope.redaction, content=content)
        scope.spans.settle(who)
        self.announce(session)

    def connected(self) -> None:
        """The session's job has connected to its room."""
        self.settle()
        self.trackers.room.connected()

    def _first_audio(self, at_ns: int, turn: TurnState | None) -> None:
        self.startup.first_audio(self.scope, at_ns, user_first=turn is not None and turn.has_user)

    def started(self, session: AgentSession[Any]) -> None:
        """start() returned."""
        self.settle()
        self.startup.started(self.scope.now_ns())
        self.trackers.room.find_caller()
        self.announce(session)
        self.journal.started()
        self.trackers.playback.watch(session.output.audio)

    def close_called(self, *, drain: bool, running: bool) -> None:
        """The session is being closed. ``drain``: speech that is already queued still plays."""
        scope = self.scope
        if scope.close_called_ns is None:
            scope.close_called_ns = scope.now_ns()
            if not drain:
                self.trackers.turns.close_called(scope.close_called_ns)
        scope.closing = running
