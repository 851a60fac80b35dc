"""The wrapper around one response of a realtime model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...containment import contained
from .. import livekit_api, registry
from .wrapping import Args, Kwargs, run

if TYPE_CHECKING:
    from livekit.agents.voice.agent_activity import AgentActivity


def input_speech_started(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._on_input_speech_started(ev)``: the server hears the user, whatever a VAD beside it hears."""
    with contained("realtime.speech_started"):
        state = registry.traced(activity.session)
        if state is not None:
            state.trackers.vad.reported(state.scope.now_ns())
    return wrapped(*args, **kwargs)


def input_speech_stopped(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._on_input_speech_stopped(ev)``."""
    with contained("realtime.speech_stopped"):
        state = registry.traced(activity.session)
        if state is not None:
            state.trackers.vad.reported_end(state.scope.now_ns())
    return wrapped(*args, **kwargs)


async def generation_task(
    wrapped: Callable[..., Awaitable[Any]], activity: AgentActivity, args: Args, kwargs: Kwargs
) -> Any:
    """``AgentActivity._realtime_generation_task(speech_handle=…, generation_ev=…)``: one response."""
    tracker = response = None
    with contained("realtime.begin"):
        state = registry.traced(activity.session)
        if state is not None:
            tracker = state.trackers.realtime
            model = livekit_api.realtime_llm(activity)
            response = tracker.begin(model, kwargs["speech_handle"], kwargs["generation_ev"])

    def finish(_result: object, error: BaseException | None) -> None:
        if tracker is not None and response is not None:
            tracker.done(response, error)

    return await run(wrapped, args, kwargs, "realtime.end", finish)
