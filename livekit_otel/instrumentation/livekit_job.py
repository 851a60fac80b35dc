"""Reads LiveKit's jobs and their reports, with a neutral value if a private name is gone."""

from __future__ import annotations

import asyncio
import os
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..containment import contained

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents import AgentSession, JobContext
    from livekit.agents.voice.report import SessionReport

#: LiveKit's name of the task that runs a job's entrypoint
_ENTRYPOINT = "job_user_entrypoint"
#: weak references: LiveKit keeps the task as long as its job runs
_entrypoints: weakref.WeakKeyDictionary[JobContext, weakref.ref[asyncio.Task[Any]]] = weakref.WeakKeyDictionary()


def dispatch_times(job: JobContext | None) -> dict[str, float]:
    """Return stage -> its end in unix seconds, as far as LiveKit knows; ``dispatch`` begins the first stage."""
    info = getattr(job, "_info", None)
    names = {"dispatch": "received_at", "accept": "accepted_at", "assign": "assigned_at", "process": "launched_at"}
    return {stage: at for stage, name in names.items() if (at := float(getattr(info, name, 0.0) or 0.0))}


def dispatch(job: JobContext) -> tuple[str, str, str]:
    """Return the id and metadata of a job's dispatch, and the id of the worker that took it; empty if unknown."""
    return job.job.dispatch_id, job.job.metadata, str(getattr(getattr(job, "_info", None), "worker_id", ""))


def hosting(job: JobContext) -> tuple[str, str]:
    """Return the region and the deployment of an agent that LiveKit Cloud hosts; empty elsewhere."""
    return os.environ.get("LIVEKIT_REGION_NAME", ""), str(getattr(job.job, "deployment", ""))


def find_entrypoint(job: JobContext) -> None:
    """Find the task that runs the job's entrypoint. LiveKit is about to create it, in the running event loop."""

    def find() -> None:
        with contained("job.entrypoint"):
            task = next((one for one in asyncio.all_tasks() if one.get_name() == _ENTRYPOINT), None)
            if task is not None:
                _entrypoints[job] = weakref.ref(task)

    asyncio.get_running_loop().call_soon(find)


def crash(job: JobContext | None) -> Exception | None:
    """Return what the job's entrypoint raised, if it did."""
    found = _entrypoints.get(job) if job is not None else None
    task = found() if found is not None else None
    error = task.exception() if task is not None and task.done() and not task.cancelled() else None
    return error if isinstance(error, Exception) else None


def joins(job: JobContext | None, room: rtc.Room | None) -> bool:
    """Whether a session started in this job with this room connects to it, because it is not connected yet."""
    return job is not None and room is not None and room is job.room and room.isconnected() is False


def primary_session(context: JobContext) -> AgentSession[Any] | None:
    """Return the session that a job reports on by default."""
    return getattr(context, "_primary_agent_session", None)


def is_run(context: JobContext) -> bool:
    """Whether LiveKit runs the job. It does not run a context made by a test (``fake_job_context``)."""
    return getattr(getattr(context, "_info", None), "worker_id", "") != "fake"


def reports_on(context: JobContext | None, session: AgentSession[Any] | None) -> bool:
    """Whether LiveKit makes a report of this session at the end of its job."""
    if context is None or session is None:
        return False
    return primary_session(context) is session and is_run(context)


def report_head(session: AgentSession[Any], context: JobContext | None) -> dict[str, Any]:
    """Return LiveKit's report of the session without events and history, made by LiveKit's own class."""
    import time

    from livekit.agents.llm import ChatContext
    from livekit.agents.voice import report

    recorder = getattr(session, "_recorder_io", None)
    path = getattr(recorder, "output_path", None)
    recording_since = getattr(recorder, "recording_started_at", None)
    now = time.time()
    since = recording_since or getattr(session, "_started_at", None)
    job = context.job if context is not None else None
    fields: dict[str, Any] = {
        "job_id": job.id if job else "",
        "room_id": job.room.sid if job else "",
        "room": job.room.name if job else "",
        "options": session.options,
        "events": [],
        "chat_history": ChatContext.empty(),
        "audio_recording_path": path,
        "audio_recording_started_at": recording_since,
        "started_at": getattr(session, "_started_at", None),
        "duration": now - since if since else None,
        "timestamp": now,
        "model_usage": session.usage.model_usage,
    }
    known = report.SessionReport.__dataclass_fields__
    if "agent_name" in known and job is not None and context is not None:
        fields["agent_name"] = job.agent_name
        fields["tags"] = sorted(context.tagger.tags)
    return head_of(report.SessionReport(**fields))


def head_of(report: SessionReport) -> dict[str, Any]:
    """Return a report of LiveKit's without events and history."""
    from livekit.agents.llm import ChatContext

    head: dict[str, Any] = replace(report, events=[], chat_history=ChatContext.empty()).to_dict()
    return {key: None if key in ("events", "chat_history") else part for key, part in head.items()}
