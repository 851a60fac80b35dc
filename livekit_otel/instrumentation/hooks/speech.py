"""Wrappers around the user's speech, as VAD or the recognizer hears it, and around an agent's entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...containment import contain, contained
from .. import livekit_api, registry
from ..clock import to_ns
from . import agent_task
from .wrapping import Args, Kwargs

if TYPE_CHECKING:
    from livekit.agents.voice.agent_activity import AgentActivity


def on_start_of_speech(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.on_start_of_speech(ev, speech_start_time)``; ``ev`` is VAD's, or None for STT's own detection."""
    _speech_started(activity, args, kwargs)
    return wrapped(*args, **kwargs)


@contain("vad.started")
def _speech_started(activity: AgentActivity, args: Args, kwargs: Kwargs) -> None:
    state = registry.traced(activity.session)
    if state is None:
        return
    event = args[0] if args else kwargs.get("ev")
    started = kwargs.get("speech_start_time", args[1] if len(args) > 1 else None)
    start = state.scope.clock.at_ns(started) if started is not None else state.scope.now_ns()
    if event is not None:
        state.trackers.vad.started(start)
    else:
        state.trackers.vad.reported(start)


def on_end_of_speech(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.on_end_of_speech(ev)``: back-dated by the silence that VAD waited for."""
    _speech_ended(activity, args, kwargs)
    return wrapped(*args, **kwargs)


@contain("vad.ended")
def _speech_ended(activity: AgentActivity, args: Args, kwargs: Kwargs) -> None:
    state = registry.traced(activity.session)
    if state is None:
        return
    event = args[0] if args else kwargs.get("ev")
    now = state.scope.now_ns()
    if event is not None:
        state.trackers.vad.ended(now - to_ns(event.silence_duration + event.inference_duration))
    elif state.trackers.vad.speaking:
        # the recognizer ends the speech, and LiveKit flushes VAD, which will not say that it ended
        last = livekit_api.last_speaking_time(activity)
        state.trackers.vad.ended(min(state.scope.clock.at_ns(last), now) if last is not None else now)


async def start_activity(
    wrapped: Callable[..., Awaitable[Any]], activity: AgentActivity, args: Args, kwargs: Kwargs
) -> Any:
    """``AgentActivity.start(…)``: what ``on_enter`` says belongs to the exchange that led to this agent."""
    turns = turn = None
    with contained("agent.enter"):
        state = registry.traced(activity.session)
        if state is not None:
            turns, turn = state.trackers.turns, state.trackers.turns.cause()
            if turn is not None:
                turns.hold(turn, activity)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("agent.entered"):
            if turns is not None and turn is not None:
                tracker, owner, task = turns, turn, livekit_api.on_enter_task(activity)
                if task is not None and not task.done():
                    tracker.hold(owner, task)
                    task.add_done_callback(contain("agent.on_enter")(lambda done: tracker.release(owner, done)))
                tracker.release(owner, activity)
            agent_task.entered(activity.agent)
