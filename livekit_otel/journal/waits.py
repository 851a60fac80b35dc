"""How long records may wait for a span that carries them, which limits the loss if the process is killed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .format import Change

__all__ = ["IDLE_SECONDS", "SAID_SECONDS", "USAGE_SECONDS", "of_event", "of_usage"]

#: what people said or did: words, messages, tools, states, and all events of unknown kinds
SAID_SECONDS = 0.3
#: usage, which does not affect the conversation
USAGE_SECONDS = 1.0
#: events of idle times, and the start of the user's speech, since the words follow
IDLE_SECONDS = 10.0

#: usage that grows with the listening time, even without speech
_LISTENING = frozenset({"stt_usage", "interruption_usage"})


def of_event(kind: str | None, event: Any) -> float:
    """Return the seconds that an event may wait."""
    if kind == "user_state_changed" and getattr(event, "new_state", None) == "speaking":
        return IDLE_SECONDS
    return SAID_SECONDS


def of_usage(changes: Sequence[Change], models: Sequence[Any]) -> float:
    """Return the seconds that a usage event may wait. Most usage comes when a span ends, which carries it."""
    listening = all(getattr(models[change.number], "type", None) in _LISTENING for change in changes)
    return IDLE_SECONDS if listening else USAGE_SECONDS
