"""The wrappers around AgentSession and AgentActivity that are no stage of their own."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import trace

from . import closing, delivery, layers, livekit_api, livekit_tracer, providers, registry, shutdown
from .guard import contain, contained
from .options import Options
from .session import SessionState
from .values import now_ns, to_ns

_options = Options()


def configure(options: Options) -> None:
    """Options of the sessions that start from now on."""
    global _options
    _options = options


async def start(wrapped: Callable[..., Awaitable[Any]], session: Any, args: Any, kwargs: Any) -> Any:
    """``AgentSession.start(agent, …)``: opens the trace of the session."""
    state = entered = None
    with contained("session.open"):
        if not livekit_api.is_started(session):
            existing = registry.of(session)
            if existing is None or existing.closed:
                state = _open(session, args[0] if args else kwargs.get("agent"))
    if state is None:
        return await wrapped(*args, **kwargs)
    with contained("session.enter"):
        registry.enter(session)
        entered = state.layers.enter_session(state.stage)
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        with contained("session.start_failed"):
            closing.finish_now(state, session, error)
        raise
    finally:
        with contained("session.leave"):
            if entered is not None:
                entered.leave_start()
    with contained("session.started"):
        state.started(session)
    return result


def _open(session: Any, agent: Any) -> SessionState | None:
    provider = _options.tracer_provider
    if provider is None:
        provider = trace.get_tracer_provider()
    if not providers.records(provider):
        return None
    processor = None
    if _options.prepare is not None:
        with contained("provider.prepare"):
            processor = _options.prepare(provider)
    shutdown.flush_at_exit(provider, _options.flush_timeout)
    delivery.watch(provider)
    if _options.native_spans is False:
        livekit_tracer.warn_if_shared(provider)
    state = SessionState(session, agent, _options, provider, processor)
    registry.put(session, state)
    # a session that is dropped without a close still gets its end
    weakref.finalize(session, _dropped, state)
    return state


def set_provider(wrapped: Callable[..., Any], tracer: Any, args: Any, kwargs: Any) -> Any:
    """``set_provider(tracer_provider)`` of LiveKit's own tracer: its spans go somewhere else from now on."""
    result = wrapped(*args, **kwargs)
    with contained("native.set_provider"):
        provider = args[0] if args else kwargs["tracer_provider"]
        livekit_tracer.given(provider)
        running = [state.layers.provider for state in registry.all_states() if not state.closed]
        layers.native_provider_given(provider, running)
    return result


@contain("session.dropped")
def _dropped(state: SessionState) -> None:
    closing.finish_now(state, None)


def emit(wrapped: Callable[..., Any], session: Any, args: Any, kwargs: Any) -> Any:
    """``AgentSession.emit(event, arg)``: everything that happens passes here."""
    with contained("session.event"):
        state = registry.of(session)
        if state is not None and state.recording:
            state.on_event(kwargs["arg"] if "arg" in kwargs else args[1], session)
    return wrapped(*args, **kwargs)


@contain("session.lookup")
def _state_of(session: Any) -> SessionState | None:
    return registry.of(session)


async def aclose_impl(wrapped: Callable[..., Awaitable[Any]], session: Any, args: Any, kwargs: Any) -> Any:
    """``AgentSession._aclose_impl(reason=…)``: the one way in which a session closes."""
    state = _state_of(session)
    if state is None:
        return await wrapped(*args, **kwargs)
    if state.closed:
        result = await wrapped(*args, **kwargs)
        with contained("session.finished"):
            await closing.finish(state, session)
        return result
    with contained("session.closing"):
        state.closing = livekit_api.is_started(session)
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        with contained("session.close_failed"):
            closing.finish_now(state, session, error if isinstance(error, Exception) else None)
        raise
    if not livekit_api.is_started(session) and (state.close_reason is not None or state.closing):
        with contained("session.finish"):
            await closing.finish(state, session)
    return result


def generate_reply(wrapped: Callable[..., Any], session: Any, args: Any, kwargs: Any) -> Any:
    """``AgentSession.generate_reply(user_input=…)``: a typed input of the user begins an exchange."""
    state = _state_of(session)
    with contained("session.generate_reply"):
        user_input = kwargs.get("user_input")
        if state is not None and state.recording and user_input:
            text = user_input if isinstance(user_input, str) else (user_input.raw_text_content or "")
            state.turns.next_user_input(text)
    try:
        return wrapped(*args, **kwargs)
    finally:
        with contained("session.generate_reply.end"):
            if state is not None:
                state.turns.next_user_input(None)


def update_agent(wrapped: Callable[..., Any], session: Any, args: Any, kwargs: Any) -> Any:
    """``AgentSession.update_agent(agent)``: the tasks of the next agent work for this session."""
    token = None
    with contained("session.update_agent"):
        token = registry.enter(session)
    try:
        return wrapped(*args, **kwargs)
    finally:
        with contained("session.update_agent.end"):
            if token is not None:
                registry.leave(token)


def on_start_of_speech(wrapped: Callable[..., Any], activity: Any, args: Any, kwargs: Any) -> Any:
    """``AgentActivity.on_start_of_speech(ev, speech_start_time)``; ``ev`` is VAD's, or None for STT's own detection."""
    _speech_started(activity, args, kwargs)
    return wrapped(*args, **kwargs)


@contain("vad.started")
def _speech_started(activity: Any, args: Any, kwargs: Any) -> None:
    state = registry.of(activity.session)
    event = args[0] if args else kwargs.get("ev")
    if state is not None and state.recording and event is not None:
        started = kwargs.get("speech_start_time", args[1] if len(args) > 1 else None)
        state.vad.started(to_ns(started) if started is not None else now_ns())


def on_end_of_speech(wrapped: Callable[..., Any], activity: Any, args: Any, kwargs: Any) -> Any:
    """``AgentActivity.on_end_of_speech(ev)``: back-dated by the silence that VAD waited for."""
    _speech_ended(activity, args, kwargs)
    return wrapped(*args, **kwargs)


@contain("vad.ended")
def _speech_ended(activity: Any, args: Any, kwargs: Any) -> None:
    state = registry.of(activity.session)
    event = args[0] if args else kwargs.get("ev")
    if state is not None and state.recording and event is not None:
        state.vad.ended(now_ns() - to_ns(event.silence_duration + event.inference_duration))
