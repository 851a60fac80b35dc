"""``livekit-otel sessions``: lists the sessions of a source."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any

import typer

from .._display import mistake
from ..errors import LiveKitOtelError, SessionNotFoundError
from ..readers import ListedSession, between, listed_sessions
from ..report import SessionReport, build_reports
from ..report.failures import failures
from ..report.head import name_of_reason
from ..report.one_line import one_line
from ..report.same_call import call_of, once
from ..report.values import clock
from ..report.words import seconds
from ..transport.credentials import shown
from .output import write, write_json
from .support import DeadAir, Slow, Source, opened, thresholds_of
from .table import Column, short_ids, table

__all__ = ["register"]

#: short labels for how a call ended
_ENDS = {
    "CR_ERROR": "error",
    "CR_JOB_SHUTDOWN": "shutdown",
    "CR_PARTICIPANT_DISCONNECTED": "left",
    "CR_USER_INITIATED": "closed",
    "CR_COMPLETED": "done",
    None: "broke off",
}


class Format(str, Enum):
    """Output formats."""

    text = "text"
    json = "json"


class Sort(str, Enum):
    """Sort keys. ``start`` sorts by start time; the others put the worst sessions first."""

    start = "start"
    wait = "wait"
    failures = "failures"
    flags = "flags"
    turns = "turns"
    length = "length"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sessions")(sessions)


def sessions(
    source: Source,
    since: Annotated[
        str | None, typer.Option("--since", help="Only sessions that ended after this: 2h or 3d ago, or a time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Only sessions that started before this: 2h or 3d ago, or a time.")
    ] = None,
    sort: Annotated[
        Sort, typer.Option("--sort", help="Sort by start time, or put the worst sessions first.")
    ] = Sort.start,
    latest: Annotated[bool, typer.Option("--latest", help="Only the newest session.")] = False,
    format: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.text,
    slow: Slow = None,
    dead_air: DeadAir = None,
) -> None:
    """List the sessions of a trace: id, start, length, turns, worst wait, failures, end and agent."""
    source, first, last = between(source, since, until)
    thresholds = thresholds_of(slow, dead_air)
    with opened(source) as spans:
        # a server counts the flags stored in its traces; other thresholds, waits and failures require reports
        listed = None if thresholds or sort in (Sort.wait, Sort.failures) else listed_sessions(source, spans)
        if listed is None:
            every = once((_row(one), call_of(one)) for one in build_reports(spans, thresholds=thresholds))
        else:
            every = [_listed_row(one) for one in listed]
    if not every:
        raise SessionNotFoundError(
            f"{shown(source)}: contains no session from livekit_otel or from LiveKit's own tracing"
        )
    rows = [row for row in every if _within(row, first, last)]
    if not rows:
        raise SessionNotFoundError(f"{shown(source)}: no session is in that period; the source contains {len(every)}")
    rows.sort(key=lambda row: (row["started_at"] or 0.0, row["session_id"]))
    if latest:
        rows = rows[-1:]
    if sort is not Sort.start:
        rows.sort(key=lambda row: -_weight(row, sort))
    if format is Format.json:
        write_json(rows)
    else:
        write(_table(rows))


def _within(row: dict[str, Any], first: float | None, last: float | None) -> bool:
    """Whether a session overlaps a period that excludes its end. Unknown times count as inside."""
    started, duration = row["started_at"], row["duration"]
    if started is None:
        return True
    return (last is None or started < last) and (first is None or started + (duration or 0.0) >= first)


def _listed_row(session: ListedSession) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "conversation_id": session.conversation_id,
        "started_at": session.started_at,
        "duration": max(0.0, session.ended_at - session.started_at),
        "turns": session.turns,
        "agent": "",
        "worst_wait": None,
        "failures": None,
        "close_reason": name_of_reason(session.close_reason) if session.close_reason else None,
        "complete": session.complete,
        "flagged": None if session.flagged is None else dict(session.flagged),
        # only a report has these, and the three values above
        "warnings": None,
        "error": None,
    }


def _row(report: SessionReport) -> dict[str, Any]:
    """The values of a session; if they cannot be computed, only its id and the error."""
    try:
        waits = [turn.latency.wait for turn in report.turns if turn.latency.wait is not None]
        return {
            **_identity(report),
            "turns": len(report.turns),
            "agent": report.agent_name or next((turn.agent for turn in report.turns if turn.agent), ""),
            "worst_wait": max(waits, default=None),
            "failures": sum(not one.saved for one in failures(report)),
            "close_reason": report.close_reason,
            "complete": report.complete,
            "flagged": dict(report.flagged),
            "warnings": len(report.warnings),
            "error": None,
        }
    except LiveKitOtelError:
        raise
    except Exception as error:
        return {**_identity(report), "turns": None, "complete": False, "error": mistake(error)}


def _identity(report: SessionReport) -> dict[str, Any]:
    return {
        "session_id": report.session_id,
        "conversation_id": report.conversation_id,
        "started_at": report.started_at,
        "duration": report.duration,
    }


def _weight(row: dict[str, Any], sort: Sort) -> float:
    """How bad a session is. A session whose values cannot be computed is the worst."""
    if row["error"] is not None:
        return float("inf")
    values = {
        Sort.wait: row["worst_wait"],
        Sort.failures: row["failures"],
        Sort.flags: sum((row["flagged"] or {}).values()),
        Sort.turns: row["turns"],
        Sort.length: row["duration"],
    }
    return float(values[sort] or 0.0)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    ids = short_ids({row["session_id"] for row in rows})
    columns = [
        Column("SESSION", [ids[row["session_id"]] for row in rows]),
        Column("START (UTC)", [clock(row["started_at"])[:16] for row in rows]),
        Column("LENGTH", ["" if row["duration"] is None else seconds(row["duration"]) for row in rows], right=True),
        Column("TURNS", [_plain(row["turns"]) for row in rows], right=True),
        Column("WAIT", [_seconds(row.get("worst_wait")) for row in rows], right=True),
        Column("FAILED", [_plain(row.get("failures")) for row in rows], right=True),
        Column("END", [_end(row) for row in rows]),
        Column("AGENT", [one_line(row.get("agent")) for row in rows], shrinks=True),
    ]
    text = table(columns)
    if any(not row["complete"] and row["error"] is None for row in rows):
        text += "! something is missing from the trace (report says what)\n"
    for row in rows:
        if row["error"] is not None:
            text += f"{ids[row['session_id']]}: {row['error']}\n"
    return text


def _end(row: dict[str, Any]) -> str:
    if row["error"] is not None:
        return "unreadable"
    return _ENDS.get(row["close_reason"], "closed") + ("" if row["complete"] else "!")


def _plain(value: int | None) -> str:
    return "-" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
