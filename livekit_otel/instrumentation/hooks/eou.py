"""Wrappers around the end of a user's turn: the decision, the hook that it runs, and the discarding of words."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...containment import contain, contained
from .. import livekit_api, livekit_realtime, registry
from .wrapping import Args, Kwargs

if TYPE_CHECKING:
    from livekit.agents.voice.agent_activity import AgentActivity
    from livekit.agents.voice.audio_recognition import AudioRecognition

    from ..end_of_turn import EndOfTurn


def on_end_of_turn(wrapped: Callable[..., bool], activity: AgentActivity, args: Args, kwargs: Kwargs) -> bool:
    """``AgentActivity.on_end_of_turn(info)``: returns whether the turn was committed."""
    before = livekit_api.hook_task(activity)
    ignored = _ignored(activity)
    committed = wrapped(*args, **kwargs)
    info = args[0] if args else kwargs["info"]
    _decided(activity, info, before, taken=bool(committed) and not ignored, cleared=bool(committed))
    return committed


@contain("eou.ignored")
def _ignored(activity: AgentActivity) -> bool:
    """Whether LiveKit is about to drop the words: the agent speaks and may not be interrupted."""
    speech = activity.current_speech
    return speech is not None and not speech.allow_interruptions and not speech.interrupted


@contain("eou.decided")
def _decided(
    activity: AgentActivity, info: EndOfTurn, before: asyncio.Task[object] | None, *, taken: bool, cleared: bool
) -> None:
    """``taken``: LiveKit answers the words. ``cleared``: LiveKit is done with them, answered or not."""
    state = registry.traced(activity.session)
    if state is None:
        return
    hook = livekit_api.hook_task(activity) is not before
    tuning = state.trackers.eou.check.decided(activity)
    if livekit_realtime.server_decides(activity) and not info.skip_reply:
        # the decision has no effect: the recognizer's words belong to the speech that the server answers
        state.trackers.utterance.recognized()
        return
    if not info.skip_reply and (not taken or not (hook or state.scope.closing)):
        state.trackers.eou.dropped(info, tuning)
        if cleared:
            state.trackers.utterance.discard()
        return
    mode = livekit_api.turn_detection(activity)
    state.trackers.eou.committed(
        info,
        has_vad=activity.vad is not None,
        cut=mode == "manual",
        hook=hook,
        tuning=tuning,
    )


def run_eou_detection(wrapped: Callable[..., Any], recognition: AudioRecognition, args: Args, kwargs: Kwargs) -> Any:
    """``AudioRecognition._run_eou_detection(chat_ctx, trigger=…)``: an end-of-turn check begins."""
    with contained("eou.check"):
        activity = livekit_api.activity_of(recognition)
        state = registry.traced(activity.session)
        if state is not None:
            state.trackers.eou.check.begins(activity, str(kwargs["trigger"]))
    return wrapped(*args, **kwargs)


def on_eot_prediction(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.on_eot_prediction(ev)``: a prediction of the end-of-turn detector."""
    with contained("eou.prediction"):
        state = registry.traced(activity.session)
        if state is not None:
            state.trackers.eou.check.predicted(args[0] if args else kwargs["ev"])
    return wrapped(*args, **kwargs)


async def user_turn_completed_task(
    wrapped: Callable[..., Awaitable[Any]], activity: AgentActivity, args: Args, kwargs: Kwargs
) -> Any:
    """``AgentActivity._user_turn_completed_task(old_task, info)``: runs the hook and requests a reply."""
    decision = state = None
    with contained("eou.hook"):
        state = registry.of(activity.session)
        if state is not None:
            decision = state.trackers.eou.of(kwargs.get("info", args[-1] if args else None))
            if decision is not None:
                decision.task = asyncio.current_task()
                state.trackers.turns.carry_out(decision.turn)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("eou.hook_done"):
            if state is not None and decision is not None:
                state.trackers.eou.hook_done(decision)


def record_exception(wrapped: Callable[..., Any], _: object, args: Args, kwargs: Kwargs) -> Any:
    """``record_exception(span, error, …)`` of LiveKit's own spans: the only sign that ``on_user_turn_completed``
    raised, which ends the turn without a reply."""
    with contained("eou.hook_failed"):
        state = registry.current()
        if state is not None:
            state.trackers.eou.hook_failed(args[1] if len(args) > 1 else kwargs["exception"])
    return wrapped(*args, **kwargs)


def on_preemptive_generation(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.on_preemptive_generation(info)``: a reply to words that are not committed yet."""
    utterance = None
    with contained("eou.preemptive"):
        state = registry.traced(activity.session)
        if state is not None:
            info = args[0] if args else kwargs["info"]
            utterance = state.trackers.utterance
            utterance.ahead(info.new_transcript)
    try:
        return wrapped(*args, **kwargs)
    finally:
        if utterance is not None:
            utterance.ahead(None)


def clear_user_turn(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.clear_user_turn()``: the user's words are discarded."""
    with contained("eou.clear"):
        state = registry.traced(activity.session)
        if state is not None:
            state.trackers.utterance.discard()
    return wrapped(*args, **kwargs)


def commit_user_turn(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.commit_user_turn(…)``: with a realtime model, the reply is requested inside this call.

    The words follow in a task that the call creates: the context of this task alone knows the turn of the reply.
    """
    state = None
    with contained("eou.commit"):
        state = registry.traced(activity.session)
        if state is not None:
            state.events.answering = True
    try:
        return contextvars.copy_context().run(wrapped, *args, **kwargs)
    finally:
        if state is not None:
            state.events.answering = False
