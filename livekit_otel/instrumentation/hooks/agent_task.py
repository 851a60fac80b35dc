"""Wrappers around agent tasks: the code that awaits one, its completion, and the resumption of the awaiting code."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...containment import contained
from .. import livekit_api, registry
from .tool import current_call
from .wrapping import Args, Kwargs

if TYPE_CHECKING:
    from livekit.agents import Agent, AgentTask

    from ..session import SessionState

#: the sessions of the tasks that are being awaited
_sessions: WeakKeyDictionary[AgentTask[Any], SessionState] = WeakKeyDictionary()


def await_task(
    wrapped: Callable[..., Any], agent: AgentTask[Any], args: Args, kwargs: Kwargs
) -> Generator[Any, Any, Any]:
    """``AgentTask.__await__()``: the calling code waits until the user has answered the task."""
    state = None
    with contained("task.awaited"):
        session = livekit_api.activity_session()
        state = registry.traced(session) if session is not None else None
        if state is not None:
            _sessions[agent] = state
            state.trackers.tasks.awaited(agent, current_call())
    try:
        return (yield from wrapped(*args, **kwargs))
    finally:
        with contained("task.goes_on"):
            if state is not None:
                state.trackers.tasks.goes_on(agent)


def entered(agent: Agent) -> None:
    """An agent has become active, and its ``on_enter`` runs."""
    state = _sessions.get(agent)  # type: ignore[call-overload]
    if state is not None and state.recording:
        state.trackers.tasks.entered(agent)


def complete(wrapped: Callable[..., Any], agent: AgentTask[Any], args: Args, kwargs: Kwargs) -> Any:
    """``AgentTask.complete(result)``: the code that awaits the task resumes, for the turn that completed it."""
    with contained("task.completed"):
        state = _sessions.pop(agent, None)
        if state is not None and state.recording:
            state.trackers.tasks.completed(agent)
    return wrapped(*args, **kwargs)
