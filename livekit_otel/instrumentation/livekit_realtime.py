"""Reads LiveKit's realtime models and their plugins, with a neutral value if a name is gone."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from livekit.agents import AgentSession, SpeechHandle
    from livekit.agents.llm import GenerationCreatedEvent, RealtimeModel, RealtimeModelError
    from livekit.agents.voice.agent_activity import AgentActivity

#: the model sessions whose server events are already subscribed to
_heard: weakref.WeakSet[Any] = weakref.WeakSet()


@cache
def realtime_model() -> type:
    from livekit.agents.llm import RealtimeModel

    return RealtimeModel


def realtime_llm(activity: AgentActivity) -> RealtimeModel:
    """Return the realtime model of an activity that uses one."""
    model: Any = activity.llm
    return cast("RealtimeModel", model)


def is_realtime(session: AgentSession[Any]) -> bool:
    """Whether the session or the active agent uses a speech-to-speech model."""
    agent_llm = getattr(getattr(session, "_agent", None), "llm", None)
    realtime = realtime_model()
    return isinstance(session.llm, realtime) or isinstance(agent_llm, realtime)


def _capability(session: AgentSession[Any] | None, name: str) -> bool:
    """Whether the active agent's realtime model has a capability; False if it has no such model."""
    if session is None or not is_realtime(session):
        return False
    model = getattr(getattr(session, "_agent", None), "llm", None)
    if not isinstance(model, realtime_model()):
        model = session.llm
    return bool(getattr(getattr(model, "capabilities", None), name, False))


def transcribes_itself(session: AgentSession[Any] | None) -> bool:
    """Whether the user's words come from a realtime model's server, not from a recognizer of the session."""
    return _capability(session, "user_transcription")


def replies_to_tools(session: AgentSession[Any] | None) -> bool:
    """Whether a realtime model replies to tool results by itself."""
    return _capability(session, "auto_tool_reply_generation")


@cache
def realtime_error() -> type[RealtimeModelError]:
    from livekit.agents.llm import RealtimeModelError

    return RealtimeModelError


def disconnects(error: RealtimeModelError) -> bool:
    """Whether the current responses are lost with this error: the connection is gone, or the model gives up."""
    from livekit.agents import APIConnectionError, APIError

    cause = error.error
    return not error.recoverable or isinstance(cause, APIConnectionError) or not isinstance(cause, APIError)


def on_server_event(activity: AgentActivity, callback: Callable[[Mapping[str, Any]], None]) -> None:
    """Call ``callback`` with each server event of OpenAI's protocol, subscribing once per model session."""
    model_session = activity.realtime_llm_session
    if model_session is not None and model_session not in _heard:
        _heard.add(model_session)
        model_session.on("openai_server_event_received", callback)


def server_decides(activity: AgentActivity) -> bool:
    """Whether the model's server ends the user's turns and answers them, whatever the session detects."""
    return bool(getattr(activity, "_rt_turn_detection_enabled", False))


def announces_items(activity: AgentActivity) -> bool:
    """Whether a plugin mirrors its server's conversation and so reports its items (OpenAI's and similar ones)."""
    return hasattr(activity.realtime_llm_session, "_remote_chat_ctx")


def hears_the_end(activity: AgentActivity) -> bool:
    """Whether "the user stopped" is the server's detection; Gemini's plugin instead emits it when an answer is over."""
    return not hasattr(activity.realtime_llm_session, "_in_user_activity")


def broke_off(activity: AgentActivity, generation: GenerationCreatedEvent) -> bool | None:
    """Whether a server never completed a response, if the plugin records completion (Gemini's does); else None."""
    kept: Any = getattr(activity.realtime_llm_session, "_current_generation", None)
    if getattr(kept, "message_ch", None) is not generation.message_stream or not hasattr(kept, "_completed_timestamp"):
        return None
    return kept._completed_timestamp is None


def failure_of(handle: SpeechHandle) -> BaseException | None:
    """Return the reason why a model refused a speech that is done."""
    return handle.exception() if handle.done() else None
