"""``livekit-otel sessions``: which sessions a source holds."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from ..errors import SessionNotFoundError
from ..readers import ListedSession, between, listed_sessions
from ..report import SessionReport, build_reports
from ..report.head import name_of_reason
from ..report.values import clock
from ..report.view import one_line
from ..transport.credentials import shown
from .output import to_json, write
from .support import DeadAir, Slow, Source, opened, rows_of, thresholds_of

__all__ = ["register"]

_RIGHT = (2, 3)


class Format(str, Enum):
    """Output formats."""

    text = "text"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sessions")(sessions)


def sessions(
    source: Source,
    since: Annotated[
        str | None, typer.Option("--since", help="Only sessions that had not ended by then: 2h, 3d, or a time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Only sessions that had begun before: 2h, 3d, or a time.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.text,
    slow: Slow = None,
    dead_air: DeadAir = None,
) -> None:
    """List the sessions of a trace: id, start, length, turns, close reason, whether all of it is there, flags."""
    source, first, last = between(source, since, until)
    thresholds = thresholds_of(slow, dead_air)
    with opened(source) as spans:
        # a server counts the flags that its traces have; by other thresholds only reports can
        listed = None if thresholds else listed_sessions(source, spans)
        reports = build_reports(spans, thresholds=thresholds)
        every = list(rows_of(reports, _row, spans) if listed is None else map(_listed_row, listed))
    if not every:
        raise SessionNotFoundError(
            f"{shown(source)}: holds no session, neither of livekit_otel nor of LiveKit's own tracing"
        )
    rows = [row for row in every if _within(row, first, last)]
    if not rows:
        raise SessionNotFoundError(f"{shown(source)}: holds no session of that time, of {len(every)} that it holds")
    rows.sort(key=lambda row: (row["started_at"] or 0.0, row["session_id"]))
    write(to_json(rows) if format is Format.json else _table(rows))


def _within(row: dict[str, Any], first: float | None, last: float | None) -> bool:
    """Whether a session ran at some moment of a time, whose end is not part of it; unknown times are in it."""
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
        "close_reason": name_of_reason(session.close_reason) if session.close_reason else None,
        "complete": session.complete,
        "flagged": dict(session.flagged),
        # only a report has them
        "warnings": None,
    }


def _row(report: SessionReport) -> dict[str, Any]:
    return {
        "session_id": report.session_id,
        "conversation_id": report.conversation_id,
        "started_at": report.started_at,
        "duration": report.duration,
        "turns": len(report.turns),
        "close_reason": report.close_reason,
        "complete": report.complete,
        "flagged": dict(report.flagged),
        "warnings": len(report.warnings),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    flagged = any(row["flagged"] for row in rows)
    cells = [("SESSION", "START", "DURATION", "TURNS", "CLOSED", "COMPLETE", *(("FLAGS",) if flagged else ()))]
    for row in rows:
        duration = "" if row["duration"] is None else f"{row['duration']:.1f} s"
        complete = "yes" if row["complete"] else "no"
        reason = one_line(row["close_reason"]) or "-"
        turns = "-" if row["turns"] is None else str(row["turns"])
        facts = (one_line(row["session_id"]), clock(row["started_at"]), duration, turns, reason, complete)
        flags = ", ".join(f"{name} {count}" for name, count in row["flagged"].items())
        cells.append((*facts, *((flags,) if flagged else ())))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(_line(line, widths) + "\n" for line in cells)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cell.rjust(width) if number in _RIGHT else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
