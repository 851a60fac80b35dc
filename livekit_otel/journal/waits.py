"""How long what was recorded may wait for a span that carries it: a process that is killed loses no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .format import Change

__all__ = ["IDLE_SECONDS", "SAID_SECONDS", "USAGE_SECONDS", "of_event", "of_usage"]

#: what people said or did: words, messages, tools, states, and every event of a kind that is not known
SAID_SECONDS = 0.3
#: usage, which changes nothing that anybody said or did
USAGE_SECONDS = 1.0
#: what happens while nothing does; that the user has begun to speak, whose words follow
IDLE_SECONDS = 10.0

#: usage of these grows with the time that they listen, whether anybody speaks or not
_LISTENING = frozenset({"stt_usage", "interruption_usage"})


def of_event(kind: str | None, event: Any) -> float:
    """Seconds that an event may wait."""
    if kind == "user_state_changed" and getattr(event, "new_state", None) == "speaking":
        return IDLE_SECONDS
    return SAID_SECONDS


def of_usage(changes: Sequence[Change], models: Sequence[Any]) -> float:
    """Seconds that a usage event may wait. Most come when a span ends, which takes them along."""
    listening = all(getattr(models[change.number], "type", None) in _LISTENING for change in changes)
    return IDLE_SECONDS if listening else USAGE_SECONDS
