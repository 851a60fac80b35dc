"""Wrappers around a realtime model's server events and responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...containment import contain, contained
from .. import livekit_realtime, registry
from .wrapping import Args, Kwargs, run

if TYPE_CHECKING:
    from livekit.agents.voice.agent_activity import AgentActivity


def input_speech_started(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._on_input_speech_started(ev)``: the server detects speech, independently of a VAD."""
    with contained("realtime.speech_started"):
        state = registry.traced(activity.session)
        if state is not None:
            server = state.trackers.vad.server
            server.announces = server.announces or livekit_realtime.announces_items(activity)
            server.started(state.scope.now_ns())
    return wrapped(*args, **kwargs)


def input_speech_stopped(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._on_input_speech_stopped(ev)``: the server detects the end of the speech."""
    with contained("realtime.speech_stopped"):
        state = registry.traced(activity.session)
        if state is not None and livekit_realtime.hears_the_end(activity):
            state.trackers.vad.server.stopped(state.scope.now_ns())
    return wrapped(*args, **kwargs)


def remote_item_added(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._on_remote_item_added(ev)``: an item of the server's conversation; audio has no words yet."""
    with contained("realtime.item"):
        state = registry.traced(activity.session)
        if state is not None:
            item = (args[0] if args else kwargs["ev"]).item
            heard = item.type == "message" and item.role == "user" and not item.raw_text_content
            state.trackers.utterance.server_item(item.id if heard else None)
    return wrapped(*args, **kwargs)


def generation_created(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._on_generation_created(ev)``: the server created a response, whether or not it was asked to."""
    with contained("realtime.created"):
        state = registry.traced(activity.session)
        if state is not None:
            generation = args[0] if args else kwargs["ev"]
            tracker = state.trackers.realtime
            tracker.announced(getattr(generation, "response_id", None))
            livekit_realtime.on_server_event(activity, contain("realtime.server_event")(tracker.server_event))
    return wrapped(*args, **kwargs)


async def generation_task(
    wrapped: Callable[..., Awaitable[Any]], activity: AgentActivity, args: Args, kwargs: Kwargs
) -> Any:
    """``AgentActivity._realtime_generation_task(speech_handle=…, generation_ev=…)``: one response."""
    tracker = response = handle = None
    with contained("realtime.begin"):
        state = registry.traced(activity.session)
        if state is not None:
            tracker, handle = state.trackers.realtime, kwargs["speech_handle"]
            model, generation = livekit_realtime.realtime_llm(activity), kwargs["generation_ev"]
            broke_off = partial(livekit_realtime.broke_off, activity, generation)
            response = tracker.begin(model, handle, generation, broke_off)

    def finish(_result: object, error: BaseException | None) -> None:
        if tracker is not None and response is not None:
            tracker.done(response, error, interrupted=handle is not None and handle.interrupted)

    return await run(wrapped, args, kwargs, "realtime.end", finish)
