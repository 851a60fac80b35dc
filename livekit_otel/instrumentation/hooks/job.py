"""Wrappers around a job's context: the entrypoint, the connection to the room, and the session reports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ...containment import contained
from .. import closing, livekit_job, registry, startup
from .wrapping import Args, Kwargs, run

if TYPE_CHECKING:
    from livekit.agents import JobContext

#: set while LiveKit ends the job: the report that it then makes is the last one
_ending: ContextVar[bool] = ContextVar("livekit_otel_job_ending", default=False)


def on_setup(wrapped: Callable[..., Any], job: JobContext, args: Args, kwargs: Kwargs) -> Any:
    """``JobContext._on_setup()``: LiveKit calls it just before the entrypoint."""
    result = wrapped(*args, **kwargs)
    with contained("job.setup"):
        startup.entered(job)
        livekit_job.find_entrypoint(job)
    return result


async def connect(wrapped: Callable[..., Awaitable[Any]], job: JobContext, args: Args, kwargs: Kwargs) -> Any:
    """``JobContext.connect(…)``: joins the room."""
    with contained("job.connect"):
        startup.connecting(job, done=False)

    def finish(_result: None, error: BaseException | None) -> None:
        if error is None:
            startup.connecting(job, done=True)
            for state in registry.all_states():
                if state.job is job and not state.closed:
                    state.connected()

    return await run(wrapped, args, kwargs, "job.connected", finish)


def make_session_report(wrapped: Callable[..., Any], job: JobContext, args: Args, kwargs: Kwargs) -> Any:
    """``JobContext.make_session_report(session=None)``: each report has its own timestamp and the current tags."""
    report = wrapped(*args, **kwargs)
    with contained("job.report"):
        session = (args[0] if args else kwargs.get("session")) or livekit_job.primary_session(job)
        state = registry.of(session) if session is not None else None
        if state is not None:
            closing.reported(state, report, final=_ending.get())
    return report


async def on_session_end(wrapped: Callable[..., Awaitable[Any]], job: JobContext, args: Args, kwargs: Kwargs) -> Any:
    """``JobContext._on_session_end()``: LiveKit makes its own report, after the user's ``on_session_end``."""
    token = _ending.set(True)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        _ending.reset(token)
