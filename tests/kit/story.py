"""What a call's report says happened, in the order of its turns: a table that can be written before the call."""

from __future__ import annotations

from livekit_otel import build_reports

from .trace import Trace

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
