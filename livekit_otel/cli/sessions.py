"""``livekit-otel sessions``: which sessions a source holds."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from ..errors import SessionNotFoundError
from ..report import SessionReport, build_reports
from ..report.values import clock
from ..report.view import one_line
from ..transport.credentials import shown
from .output import to_json, write
from .support import Source, opened, rows_of

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
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.text,
) -> None:
    """List the sessions of a trace: id, start, length, turns, close reason, and whether all of it is there."""
    with opened(source) as spans:
        rows = list(rows_of(build_reports(spans), _row, spans))
    if not rows:
        raise SessionNotFoundError(
            f"{shown(source)}: holds no session, neither of livekit_otel nor of LiveKit's own tracing"
        )
    rows.sort(key=lambda row: (row["started_at"] or 0.0, row["session_id"]))
    write(to_json(rows) if format is Format.json else _table(rows))


def _row(report: SessionReport) -> dict[str, Any]:
    return {
        "session_id": report.session_id,
        "conversation_id": report.conversation_id,
        "started_at": report.started_at,
        "duration": report.duration,
        "turns": len(report.turns),
        "close_reason": report.close_reason,
        "complete": report.complete,
        "warnings": len(report.warnings),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [("SESSION", "START", "DURATION", "TURNS", "CLOSED", "COMPLETE")]
    for row in rows:
        duration = "" if row["duration"] is None else f"{row['duration']:.1f} s"
        complete = "yes" if row["complete"] else "no"
        reason = one_line(row["close_reason"]) or "-"
        cells.append(
            (one_line(row["session_id"]), clock(row["started_at"]), duration, str(row["turns"]), reason, complete)
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(_line(line, widths) + "\n" for line in cells)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cell.rjust(width) if number in _RIGHT else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
