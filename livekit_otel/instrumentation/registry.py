"""Finds the state of a session, by the session or from the current task."""

from __future__ import annotations

import contextvars
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from ..provider import proxies
from . import livekit_api

if TYPE_CHECKING:
    from livekit.agents import AgentSession

    from .session import SessionState

_states: weakref.WeakKeyDictionary[Any, SessionState] = weakref.WeakKeyDictionary()
#: tasks that start() and update_agent() create inherit the value
_session: contextvars.ContextVar[weakref.ref[Any] | None] = contextvars.ContextVar("livekit_otel_session", default=None)


def put(session: AgentSession[Any], state: SessionState) -> None:
    _states[session] = state


def of(session: AgentSession[Any]) -> SessionState | None:
    """Return the state of a traced session, open or closed."""
    return _states.get(session)


def traced(session: AgentSession[Any]) -> SessionState | None:
    """Return the state of a session whose spans are recorded, open or closed."""
    state = _states.get(session)
    return state if state is not None and state.recording else None


def all_states() -> list[SessionState]:
    return list(_states.values())


def running_on(provider: trace.TracerProvider) -> int:
    """Return how many sessions are currently traced to this provider."""
    return sum(
        state.recording and not state.closed and proxies.same(state.scope.layers.provider, provider)
        for state in all_states()
    )


def forget_all() -> None:
    """Forget all sessions: those that are running continue untraced, even if instrumentation is activated again."""
    _states.clear()


def enter(session: AgentSession[Any]) -> contextvars.Token[weakref.ref[Any] | None]:
    """Make tasks created from here on work for this session, unless LiveKit's context names another."""
    return _session.set(weakref.ref(session))


def leave(token: contextvars.Token[weakref.ref[Any] | None]) -> None:
    _session.reset(token)


def current() -> SessionState | None:
    """Return the state of the session that the current task works for."""
    session = livekit_api.activity_session()
    if session is None:
        reference = _session.get()
        session = reference() if reference is not None else None
    if session is None:
        return None
    state = traced(session)
    return state if state is not None and not state.closed else None
