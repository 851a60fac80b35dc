"""A session's usage events, written as differences; consecutive events without a difference share one entry.

LiveKit emits the whole usage with every metric, and VAD metrics come once per second throughout a call.
"""

from __future__ import annotations

from typing import Any

from .format import MAX_IDLE, Change, Fields, Idle, Usage
from .model_dump import dump

__all__ = ["UsageEvents"]

_MODEL = ("type", "provider", "model")
_CREATED = "created_at"


class UsageEvents:
    """The usage events of one session, in order."""

    def __init__(self) -> None:
        self._usage: list[Fields] = []
        self._idle: Idle | None = None

    def entry(self, event: Any) -> Usage | Idle | None:
        """Return the entry for an event; None if the previous entry also represents it."""
        changes = self._changes(event.usage.model_usage)
        form = dump(event, without="usage")
        if changes:
            self.other()
            return Usage(form, changes)
        idle = self._idle
        if idle is not None and len(idle.times) < MAX_IDLE and _same_but_for_time(form, idle.event):
            idle.times.append(form[_CREATED])
            return None
        self._idle = Idle(form, [])
        return self._idle

    def other(self) -> None:
        """Another kind of entry is recorded next: nothing more is added to the last entry."""
        self._idle = None

    def written(self, idle: Idle) -> None:
        """An entry is being written: nothing more is added to it."""
        if self._idle is idle:
            self._idle = None

    def _changes(self, models: list[Any]) -> list[Change]:
        """Return the changes since the last event."""
        usage: list[Fields] = []
        changes: list[Change] = []
        for number, one in enumerate(models):
            before = self._usage[number] if number < len(self._usage) else None
            if before is not None and before == one.__dict__:
                usage.append(before)
                continue
            now = dict(one.__dict__)
            usage.append(now)
            changed = dump(one)
            # a different model at this position is written in full: LiveKit sorts by type, and new models shift others
            if before is not None and all(before.get(name) == now.get(name) for name in _MODEL):
                changed = {name: value for name, value in changed.items() if before.get(name) != value}
            changes.append(Change(number, changed))
        self._usage = usage
        return changes


def _same_but_for_time(one: Fields, other: Fields) -> bool:
    return one.keys() == other.keys() and all(value == other[name] for name, value in one.items() if name != _CREATED)
