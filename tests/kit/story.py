"""What a call's report says happened, in the order of its turns: a table that can be written before the call."""

from __future__ import annotations

from typing import Any

from livekit_otel import build_reports

from .run import ScenarioFunction
from .trace import Trace, play
from .turn_checker import check_reports, check_turns

#: the user's words, the agent's, why the turn ended, seconds from the user's silence to the agent's voice
Line = tuple[str, str, str | None, float | None]


def story(trace: Trace) -> list[Line]:
    """One line for each turn of the call, waits rounded to hundredths."""
    (report,) = build_reports(trace.records)
    lines: list[Line] = []
    for turn in report.turns:
        wait = turn.latency.e2e_latency
        heard = " ".join(turn.agent_text.split())
        lines.append((turn.user_text, heard, turn.end_reason, None if wait is None else round(wait, 2)))
    return lines


def story_of(script: ScenarioFunction, *, native_spans: bool = False) -> list[Line]:
    """The story of a call that is played for this, whose turns are whole."""
    trace = play(script, native_spans=native_spans)
    check_turns(trace.pipeline)
    check_reports(trace.pipeline, [outcome.report for outcome in trace.outcomes])
    return story(trace)


def script_name(value: Any) -> str | None:
    """A script's name, for the names of tests; None for all else."""
    name: str | None = getattr(value, "__name__", None)
    return name
