"""A session's usage events: as differences, and those without one as one entry for many.

LiveKit emits the whole usage with every metric, and VAD's metrics come once a second for as long as a call lasts.
"""

from __future__ import annotations

from typing import Any

from .format import MAX_IDLE, Change, Fields, Idle, Usage
from .model_dump import dump

__all__ = ["UsageEvents"]

_MODEL = ("type", "provider", "model")
_CREATED = "created_at"


class UsageEvents:
    """The usage events of one session, in their order."""

    def __init__(self) -> None:
        self._usage: list[Fields] = []
        self._idle: Idle | None = None

    def entry(self, event: Any) -> Usage | Idle | None:
        """The entry of an event; None where the entry given last stands for it, too."""
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
        """Something else is recorded next: nothing is added to the last entry any more."""
        self._idle = None

    def written(self, idle: Idle) -> None:
        """An entry is being written: nothing is added to it any more."""
        if self._idle is idle:
            self._idle = None

    def _changes(self, models: list[Any]) -> list[Change]:
        """What is different from the last event."""
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
            # another model at this place is written whole: LiveKit sorts by kind, so a new one can shift the others
            if before is not None and all(before.get(name) == now.get(name) for name in _MODEL):
                changed = {name: value for name, value in changed.items() if before.get(name) != value}
            changes.append(Change(number, changed))
        self._usage = usage
        return changes


def _same_but_for_time(one: Fields, other: Fields) -> bool:
    return one.keys() == other.keys() and all(value == other[name] for name, value in one.items() if name != _CREATED)
