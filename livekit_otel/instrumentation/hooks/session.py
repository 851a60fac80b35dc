"""Wrappers around AgentSession: its start, events, agents, replies and close."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from ... import attributes as attr
from ...containment import contain, contained
from ...provider import export_watch, process_exit, proxies, shutdown_watch, termination
from .. import closing, livekit_api, livekit_job, livekit_tracer, registry
from ..layers import Layers
from ..options import Options
from ..session import SessionState
from . import llm, native, tool, tts
from .wrapping import Args, Kwargs

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents import Agent, AgentSession

_options = Options()


def configure(options: Options) -> None:
    """Set the options of the sessions that start from now on."""
    global _options
    _options = options


async def start(wrapped: Callable[..., Awaitable[Any]], session: AgentSession[Any], args: Args, kwargs: Kwargs) -> Any:
    """``AgentSession.start(agent, …)``: opens the trace of the session."""
    state = entered = None
    with contained("session.open"):
        if not livekit_api.is_started(session):
            existing = registry.of(session)
            if existing is None or existing.closed:
                state = _open(session, args[0] if args else kwargs.get("agent"), kwargs.get("room"))
    if state is None:
        return await wrapped(*args, **kwargs)
    with contained("session.enter"):
        registry.enter(session)
        entered = state.scope.layers.enter_session(state.scope.span)
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        with contained("session.start_failed"):
            closing.finish_now(state, session, attr.ENDED_FAILED_START, error)
        raise
    finally:
        with contained("session.leave"):
            if entered is not None:
                entered.leave_start()
    with contained("session.started"):
        state.started(session)
    return result


def _open(session: AgentSession[Any], agent: Agent | None, room: rtc.Room | None = None) -> SessionState | None:
    provider = _options.tracer_provider
    if provider is None:
        provider = trace.get_tracer_provider()
    if not proxies.records(provider):
        return None
    processor = None
    if _options.prepare is not None:
        with contained("provider.prepare"):
            processor = _options.prepare(provider, _options.thresholds)
    process_exit.flush_at_exit(provider, _options.flush_timeout, closing.finish_open)
    termination.before_termination(_options.flush_timeout, process_exit.flush_now)
    export_watch.watch(provider)
    if _options.native_spans is False:
        livekit_tracer.warn_if_shared(provider, redacts=_options.redact is not None)
    joins = livekit_job.joins(livekit_api.job_context(), room)
    state = SessionState(session, agent, _options, Layers(provider, native.adopt_orphans), processor, joins=joins)
    state.events.listen("llm_metrics", lambda metrics: state.trackers.llm.metrics(metrics, llm.reporting.get()))
    state.events.listen("tts_metrics", lambda metrics: state.trackers.tts.metrics(metrics, tts.reporting.get()))
    registry.put(session, state)
    shutdown_watch.watch(provider, registry.running_on)
    # a session that is garbage-collected without a close still ends its trace
    weakref.finalize(session, _dropped, state)
    return state


@contain("session.dropped")
def _dropped(state: SessionState) -> None:
    closing.finish_now(state, None, attr.ENDED_COLLECTED)


def emit(wrapped: Callable[..., Any], session: AgentSession[Any], args: Args, kwargs: Kwargs) -> Any:
    """``AgentSession.emit(event, arg)``: passes on every event of the session."""
    with contained("session.event"):
        state = registry.traced(session)
        if state is not None:
            event = kwargs["arg"] if "arg" in kwargs else args[1]
            if getattr(event, "type", "") == "tool_execution_updated":
                tool.updated(state, event)
            state.on_event(event, session)
    return wrapped(*args, **kwargs)


@contain("session.lookup")
def _state_of(session: AgentSession[Any]) -> SessionState | None:
    return registry.of(session)


async def aclose_impl(
    wrapped: Callable[..., Awaitable[Any]], session: AgentSession[Any], args: Args, kwargs: Kwargs
) -> Any:
    """``AgentSession._aclose_impl(reason=…)``: the only way to close a session."""
    state = _state_of(session)
    if state is None:
        return await wrapped(*args, **kwargs)
    if state.closed:
        result = await wrapped(*args, **kwargs)
        with contained("session.finished"):
            await closing.finish(state, session)
        return result
    with contained("session.closing"):
        state.close_called(drain=bool(kwargs.get("drain", False)), running=livekit_api.is_started(session))
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        with contained("session.close_failed"):
            reason = error if isinstance(error, Exception) else None
            closing.finish_now(state, session, attr.ENDED_FAILED_CLOSE, reason)
        raise
    if not livekit_api.is_started(session) and (state.close_reason is not None or state.scope.closing):
        with contained("session.finish"):
            await closing.finish(state, session)
    return result


def generate_reply(wrapped: Callable[..., Any], session: AgentSession[Any], args: Args, kwargs: Kwargs) -> Any:
    """``AgentSession.generate_reply(user_input=…)``: typed input of the user begins a turn."""
    state = _state_of(session)
    with contained("session.generate_reply"):
        user_input = kwargs.get("user_input")
        if state is not None and state.recording and user_input:
            text = user_input if isinstance(user_input, str) else (user_input.raw_text_content or "")
            state.trackers.turns.next_typed(text)
    try:
        return wrapped(*args, **kwargs)
    finally:
        with contained("session.generate_reply.end"):
            if state is not None:
                state.trackers.turns.next_typed(None)


def update_agent(wrapped: Callable[..., Any], session: AgentSession[Any], args: Args, kwargs: Kwargs) -> Any:
    """``AgentSession.update_agent(agent)``: the next agent works for this session, and for the turn that led to it."""
    token = None
    with contained("session.update_agent"):
        token = registry.enter(session)
    try:
        return wrapped(*args, **kwargs)
    finally:
        with contained("session.update_agent.end"):
            if token is not None:
                registry.leave(token)
            _hold_until_entered(session)


def _hold_until_entered(session: AgentSession[Any]) -> None:
    state = registry.of(session)
    task = livekit_api.handoff_task(session)
    turn = state.trackers.turns.cause() if state is not None and state.recording else None
    if state is None or turn is None or task is None or task.done():
        return
    tracker = state.trackers.turns
    tracker.hold(turn, task)
    task.add_done_callback(contain("session.handoff")(lambda done: tracker.release(turn, done)))
