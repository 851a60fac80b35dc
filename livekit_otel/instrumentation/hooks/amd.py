"""Wrappers around answering machine detection, and around LiveKit's authorization of speech playout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from ... import attributes as attr
from ...containment import contain, contained
from .. import registry
from .wrapping import Args, Kwargs

if TYPE_CHECKING:
    from livekit.agents import AMD, AgentSession, SpeechHandle
    from livekit.agents.voice.agent_activity import AgentActivity
    from livekit.agents.voice.amd.classifier import AMDPredictionEvent, _AMDClassifier

    from ..session import SessionState

#: set in the tasks of a detection: their requests to a model or a recognizer are not part of the conversation
_detecting: ContextVar[bool] = ContextVar("livekit_otel_amd", default=False)


def detecting() -> bool:
    """Whether the current task belongs to a detection."""
    return _detecting.get()


async def run(wrapped: Callable[..., Awaitable[Any]], detector: AMD, args: Args, kwargs: Kwargs) -> Any:
    """``AMD._run(session)``: the tasks that it creates work for this session, wherever it was called."""
    token, reset = None, _detecting.set(True)
    with contained("amd.run"):
        session: AgentSession[Any] = args[0] if args else kwargs["session"]
        token = registry.enter(session)
        state = registry.traced(session)
        if state is not None:
            detector.on("amd_prediction", contain("amd.verdict")(partial(_verdict, state)))
    try:
        return await wrapped(*args, **kwargs)
    finally:
        _detecting.reset(reset)
        if token is not None:
            with contained("amd.run.end"):
                registry.leave(token)


def _verdict(state: SessionState, verdict: AMDPredictionEvent) -> None:
    """Record the verdict, but not its reason, which may quote people, nor its transcript."""
    state.scope.span.set(
        {
            attr.AMD_CATEGORY: str(verdict.category.value),
            attr.AMD_DELAY: float(verdict.delay),
            attr.AMD_SPEECH_DURATION: float(verdict.speech_duration),
        }
    )


async def classify(
    wrapped: Callable[..., Awaitable[Any]], classifier: _AMDClassifier, args: Args, kwargs: Kwargs
) -> Any:
    """``_AMDClassifier._classify_user_speech()``: its requests belong to no speech, whichever task led to them."""
    _detecting.set(True)
    return await wrapped(*args, **kwargs)


def pause_authorization(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._pause_authorization()``: no speech is played until the detection is done."""
    _gate(activity, closed=True)
    return wrapped(*args, **kwargs)


def resume_authorization(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity._resume_authorization()``: speech may be played again."""
    _gate(activity, closed=False)
    return wrapped(*args, **kwargs)


@contain("amd.gate")
def _gate(activity: AgentActivity, *, closed: bool) -> None:
    state = registry.traced(activity.session)
    if state is not None:
        state.trackers.holds.detection(running=closed)


def clear_authorization(wrapped: Callable[..., Any], handle: SpeechHandle, args: Args, kwargs: Kwargs) -> Any:
    """``SpeechHandle._clear_authorization()``: LiveKit authorizes the speech for playout, or it was interrupted."""
    with contained("playback.released"):
        state = registry.current()
        if state is not None:
            state.trackers.holds.released(handle)
    return wrapped(*args, **kwargs)
