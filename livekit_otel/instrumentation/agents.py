"""The agent behind a stage: after a handoff, a turn has stages of several agents."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from .. import attributes as attr
from ..journal import Attributes
from . import livekit_api
from .values import clip

if TYPE_CHECKING:
    from livekit.agents import Agent, AgentSession

__all__ = ["AgentsAtWork", "agent_id"]

_MAX_SPEECHES = 64
#: kinds of stages that run in a task of their agent's
_WORK = frozenset({attr.KIND_LLM, attr.KIND_TTS, attr.KIND_REALTIME, attr.KIND_TOOL, attr.KIND_NODE})
#: kinds of stages that make a speech
_SPEECH = frozenset({attr.KIND_LLM, attr.KIND_TTS, attr.KIND_REALTIME})


def agent_id(agent: Agent | None) -> str | None:
    """Return an agent's ID, or None if it has none."""
    name = getattr(agent, "id", None)
    return name if isinstance(name, str) else None


class AgentsAtWork:
    """Which agent of one session does the work of the current task, and which one made a speech."""

    def __init__(self, session: AgentSession[Any]) -> None:
        self._session = weakref.ref(session)
        self._of_speech: OrderedDict[str, str] = OrderedDict()

    def of_stage(self, kind: str, attributes: Attributes) -> str | None:
        """Return the agent of a stage that begins; None if that of the turn did the work, as far as is known."""
        speech = attributes.get(attr.SPEECH_ID)
        if kind == attr.KIND_PLAYBACK:
            return self._of_speech.get(str(speech))
        if kind not in _WORK:
            return None
        name = agent_id(livekit_api.agent_at_work(self._session()))
        if name is None:
            return None
        if speech is not None and kind in _SPEECH:
            self._of_speech[str(speech)] = name
            while len(self._of_speech) > _MAX_SPEECHES:
                self._of_speech.popitem(last=False)
        return clip(name)
