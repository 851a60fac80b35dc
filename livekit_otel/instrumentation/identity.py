"""A session's identity: the attributes of all of its spans, and the session span above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import attributes as attr
from ..containment import contained
from ..journal import Attributes
from ..redaction import Redaction, kinds
from . import livekit_job
from .clock import SessionClock
from .layers import Layers
from .options import Options
from .span import PipelineSpan
from .span_factory import SpanFactory
from .users_attributes import users_attributes
from .values import clip, value

if TYPE_CHECKING:
    from livekit.agents import AgentSession, JobContext


def identity(
    session_id: str,
    job: JobContext | None,
    session: AgentSession[Any],
    options: Options,
    redaction: Redaction | None,
    *,
    content: bool,
    ask: bool = True,
) -> Attributes:
    """Return the attributes of every span of a session, with the id by which backends group, under both its names.

    ``ask``: whether to call the user's ``session_attributes``, which is called once.
    """
    out: Attributes = {}
    asked: dict[str, object] = {}
    if ask and options.session_attributes is not None:
        with contained("session_attributes"):
            asked = users_attributes("session_attributes", options.session_attributes(job, session) or {})
    for key, raw in [*options.metadata.items(), *asked.items()]:
        holds_content = attr.is_content(str(key))
        if holds_content and not content:
            continue
        with contained("session_attributes.value"):
            shown = redaction.value(raw, kinds.ATTRIBUTE) if holds_content and redaction is not None else raw
            if (converted := value(shown)) is not None:
                out[str(key)] = converted
    room_id = job.job.room.sid if job is not None else ""
    shared = out.get(attr.BACKEND_SESSION_ID) or out.get(attr.CONVERSATION_ID) or room_id or session_id
    out[attr.SESSION_ID] = session_id
    out[attr.BACKEND_SESSION_ID] = out[attr.CONVERSATION_ID] = shared
    return out


def open_session(
    spans: SpanFactory, layers: Layers, job: JobContext | None, agent_name: str | None, clock: SessionClock
) -> PipelineSpan:
    """Start the session span: below the current span if that is sent to the same provider, or below a remote parent;
    else as a root."""
    under, links, root = layers.session_parent()
    attributes: Attributes = {attr.WORKFLOW_NAME: "agent_session", attr.SESSION_NATIVE: layers.native_shared}
    if job is not None:
        attributes[attr.SESSION_JOB_ID] = clip(job.job.id)
        attributes[attr.SESSION_ROOM_ID] = clip(job.job.room.sid)
        attributes |= dispatched(job)
    if agent_name:
        attributes[attr.AGENT_NAME] = clip(agent_name)
    span = spans.root(attr.KIND_SESSION, under, clock.started_ns, attributes, links)
    if root:
        span.make_root()
    return span


def dispatched(job: JobContext) -> Attributes:
    """Return where a job came from, without content."""
    if not livekit_job.is_run(job):
        return {}
    dispatch_id, _, worker_id = livekit_job.dispatch(job)
    region, deployment = livekit_job.hosting(job)
    named = {
        attr.JOB_DISPATCH_ID: dispatch_id,
        attr.JOB_WORKER_ID: worker_id,
        attr.JOB_REGION: region,
        attr.JOB_DEPLOYMENT: deployment,
    }
    return {name: clip(one) for name, one in named.items() if one}
