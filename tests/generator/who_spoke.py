"""Which of the user's speeches were committed together, by the log of a composed call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .plan import Log, Plan, Sound, Work


@dataclass
class Words:
    """Speeches of the user that were committed together, by their numbers; ``at`` is when their hook began."""

    at: float
    said: tuple[int, ...]
    sounds: Sequence[Sound]

    @property
    def begun(self) -> float:
        return self.sounds[0].start


def committed(
    plan: Plan, log: Log, history: Iterable[tuple[int, ...]], found: Iterable[tuple[int, ...]]
) -> list[Words]:
    """What the user said and LiveKit committed, in order: arguments as of ``truth.turns``."""
    written = [said for said in history if said]
    # a server's commit is one where its words follow
    groups = [(at, said) for at, said in log.commits if said and (plan.mode != "server" or said in written)]
    groups += [(at, said) for at, said in _dropped(log, found) if not _known(groups) & set(said)]
    known = _known(groups)
    groups += [(log.closed or 0.0, said) for said in written if not known & set(said)]
    if plan.mode == "server":
        # what the server hears is speech of the user only where its words follow
        log.sounds = [one for one in log.sounds if any(one.of in said for _, said in groups)]
    heard = [Words(at, said, [one for one in log.sounds if one.of in said]) for at, said in groups]
    return sorted((one for one in heard if one.sounds), key=lambda one: one.begun)


def _known(groups: Sequence[tuple[float, tuple[int, ...]]]) -> set[int]:
    return {one for _, said in groups for one in said}


def _dropped(log: Log, found: Iterable[tuple[int, ...]]) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Words that were committed while an agent handed over: LiveKit drops them, no hook and no history has them."""
    for said in found:
        end = max((one.end for one in log.sounds if one.of in said), default=None)
        if end is not None and any(tool.start < end + 1.5 and end < enter.start for tool, enter in _handovers(log)):
            yield end, said


def _handovers(log: Log) -> Iterator[tuple[Work, Work]]:
    for enter in log.enters:
        yield from ((tool, enter) for tool in log.tools if tool.of == enter.of)
