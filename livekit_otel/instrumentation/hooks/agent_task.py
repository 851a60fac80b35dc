"""The wrappers around an agent task: who awaits it, where it is completed, and where the awaiting code continues."""

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

#: the sessions of the tasks that are awaited
_sessions: WeakKeyDictionary[AgentTask[Any], SessionState] = WeakKeyDictionary()


def await_task(
    wrapped: Callable[..., Any], agent: AgentTask[Any], args: Args, kwargs: Kwargs
) -> Generator[Any, Any, Any]:
    """``AgentTask.__await__()``: the code that runs here waits until the user has answered the task."""
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
    """An agent is in charge, and its ``on_enter`` runs."""
    state = _sessions.get(agent)  # type: ignore[call-overload]
    if state is not None and state.recording:
        state.trackers.tasks.entered(agent)


def complete(wrapped: Callable[..., Any], agent: AgentTask[Any], args: Args, kwargs: Kwargs) -> Any:
    """``AgentTask.complete(result)``: what awaits the task continues, for the turn that completed it."""
    with contained("task.completed"):
        state = _sessions.pop(agent, None)
        if state is not None and state.recording:
            state.trackers.tasks.completed(agent)
    return wrapped(*args, **kwargs)
