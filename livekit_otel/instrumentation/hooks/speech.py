"""Wrappers around the user's speech, as VAD or the recognizer detects it, and around the start of an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...containment import contain, contained
from .. import livekit_api, registry
from ..clock import to_ns
from . import agent_task, own_nodes
from .wrapping import Args, Kwargs

if TYPE_CHECKING:
    from livekit.agents.voice.agent_activity import AgentActivity
    from livekit.agents.voice.audio_recognition import AudioRecognition


def on_start_of_speech(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.on_start_of_speech(ev, speech_start_time)``; ``ev`` is None if the STT detected the speech."""
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
    state.trackers.stt.alone.begins(start, alone=event is None and activity.vad is None)


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
    else:
        vad = state.trackers.vad
        if not vad.recognizing:
            # VAD's stream ends with its agent
            vad.heard_until(livekit_api.last_speaking_time(livekit_api.recognition_of(activity)))
        vad.flushed(now)
        state.trackers.stt.silent(now)


def process_stt_event(wrapped: Callable[..., Any], recognition: AudioRecognition, args: Args, kwargs: Kwargs) -> Any:
    """``AudioRecognition._process_stt_event(ev)``: overwrites LiveKit's time at which the user was last heard."""
    vad = alone = before = None
    with contained("vad.last_heard"):
        activity = livekit_api.activity_of(recognition)
        state = registry.traced(activity.session)
        if state is not None:
            before = livekit_api.last_speaking_time(recognition)
            if state.trackers.vad.speaking:
                vad = state.trackers.vad
                vad.recognizes(before)
            elif activity.vad is None:
                alone, clock = state.trackers.stt.alone, state.scope.clock
    try:
        return wrapped(*args, **kwargs)
    finally:
        with contained("vad.last_heard"):
            if vad is not None:
                vad.overwritten(livekit_api.last_speaking_time(recognition))
            elif alone is not None and (last := livekit_api.last_speaking_time(recognition)) not in (None, before):
                alone.heard_until(clock.at_ns(last))


async def start_activity(
    wrapped: Callable[..., Awaitable[Any]], activity: AgentActivity, args: Args, kwargs: Kwargs
) -> Any:
    """``AgentActivity.start(…)``: speech from ``on_enter`` belongs to the turn that led to this agent."""
    turns = turn = None
    with contained("agent.enter"):
        state = registry.traced(activity.session)
        if state is not None:
            with contained("node.watch"):
                own_nodes.watch(activity.agent, state)
            turns, turn = state.trackers.turns, state.trackers.turns.cause()
            state.trackers.utterance.server_words.session_replaced()
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
