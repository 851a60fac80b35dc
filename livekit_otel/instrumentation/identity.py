"""Who a session is: the attributes of all of its spans, and the span that they all hang below."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from .. import attributes as attr
from ..containment import contained
from ..journal import Attributes
from .clock import SessionClock
from .options import Options
from .span import PipelineSpan, SpanFactory
from .values import clip, value


def identity(session_id: str, job: Any, session: Any, options: Options, *, content: bool) -> Attributes:
    """Attributes of every span of a session: one id that backends group by, under both names that they know."""
    out: Attributes = {}
    asked: dict[str, object] = {}
    if options.session_attributes is not None:
        with contained("session_attributes"):
            asked = dict(options.session_attributes(job, session) or {})
    for key, raw in [*options.metadata.items(), *asked.items()]:
        if not content and attr.is_content(str(key)):
            continue
        with contained("session_attributes.value"):
            if (converted := value(raw)) is not None:
                out[str(key)] = converted
    room_id = job.job.room.sid if job is not None else ""
    shared = out.get(attr.BACKEND_SESSION_ID) or out.get(attr.CONVERSATION_ID) or room_id or session_id
    out[attr.SESSION_ID] = session_id
    out[attr.BACKEND_SESSION_ID] = out[attr.CONVERSATION_ID] = shared
    return out


def open_session(spans: SpanFactory, job: Any, agent_name: str | None, clock: SessionClock) -> PipelineSpan:
    """The session span: below the span that records now, or below a remote parent, else a root."""
    parent = trace.get_current_span()
    remote = parent.get_span_context()
    under = otel_context.Context()
    if parent.is_recording() or (remote.is_valid and remote.is_remote):
        under = trace.set_span_in_context(parent, under)
    attributes: Attributes = {attr.WORKFLOW_NAME: "agent_session"}
    if job is not None:
        attributes[attr.SESSION_JOB_ID] = clip(job.job.id)
        attributes[attr.SESSION_ROOM_ID] = clip(job.job.room.sid)
    if agent_name:
        attributes[attr.AGENT_NAME] = clip(agent_name)
    return spans.root(attr.KIND_SESSION, under, clock.started_ns, attributes)


def agent_id(agent: Any) -> str | None:
    name = getattr(agent, "id", None)
    return name if isinstance(name, str) else None
