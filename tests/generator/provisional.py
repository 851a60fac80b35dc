"""Which playouts of a turn announce an answer, and are none: by the definitions, from the log of a composed call."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import Log, Plan, Voice, Work

#: of sums of floats
EXACT = 1e-6


def made_by(log: Log, voice: Voice) -> Work | None:
    """The request that made a playout; None where code's own words are said."""
    before = [one for one in log.requests if one.label == voice.label and one.start <= voice.start]
    return before[-1] if before else None


def _origin(log: Log, voice: Voice) -> float | None:
    """When the request or the ``on_enter`` began that led to a playout."""
    enters = [one.start for one in log.enters if one.label == voice.label]
    made = made_by(log, voice)
    return enters[-1] if enters else made.start if made is not None else None


def provisional(plan: Plan, log: Log, voices: Sequence[Voice], number: int, tools: Sequence[Work], cut: float) -> bool:
    """A tool was called by the step that made it, or ran during it, and its outcome was said later or never."""
    voice, later = voices[number], voices[number + 1 :]
    made, over = made_by(log, voice), end_of(voice)
    # a turn that is cut off ends with its own last words
    last = min(end_of(voices[-1]), log.closed or 0.0)
    turn_end = last if voices[-1].cut_off else max(cut, last)
    for tool in tools:
        called = made is not None and voice.label[0] == "p" and tool.step == made.step
        beside = tool.start < over - EXACT and end_of(tool) > voice.start + EXACT
        if not called and not beside:
            continue
        if end_of(tool) > turn_end + EXACT:
            return True
        origins = [origin for one in later if (origin := _origin(log, one)) is not None]
        if any(origin >= end_of(tool) - EXACT for origin in origins):
            return True
        if not later and _announced(plan, tool) and end_of(tool) > over + EXACT:
            # the reply that the tool had asked for never came
            return True
    return False


def end_of(one: Voice | Work) -> float:
    return one.end if one.end is not None else float("inf")


def _announced(plan: Plan, tool: Work) -> bool:
    """Whether something is said of what a tool gave."""
    wanted = plan.says[tool.of].tool
    return wanted is not None and (wanted.result == "text" or (wanted.result == "agent" and wanted.enter is not None))
