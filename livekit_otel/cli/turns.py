"""``livekit-otel turns``: lists the latencies of every turn, and the stages that its silence was spent in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import attributes as attr
from .._display import csv_cell
from ..errors import SessionNotFoundError
from ..report import SessionReport, build_reports
from ..report.render_json import turn_document
from ..report.same_call import call_of, once
from ..transport.credentials import shown
from .output import write, write_json
from .support import DeadAir, Latest, Session, Slow, Source, one_report, opened, rows_of, thresholds_of
from .turns_table import full_table, short_table

__all__ = ["COLUMNS", "Row", "register"]

_WHOLE = "e2e_latency"
_ALIASES = {"e2e": _WHOLE}
_SORTABLE = ("index", *attr.DERIVED_LATENCIES, *attr.SILENCE_STAGES)
#: latencies that an unanswered turn lacks because the answer never came: such turns sort as the worst
_NEVER = frozenset({_WHOLE, "answer_latency", "wait"})
_FACTS = ("session_id", "index", "started_at", "ended_at", "end_reason", "agent")
_COUNTS = ("interruptions", "false_interruptions", "backchannels")
_ANSWERED = ("answered", "why_not", "acknowledged")
#: The CSV header. Add new columns at its end only.
COLUMNS = (
    *_FACTS,
    *attr.REPORTED_METRICS,
    *(f"silence_{stage}" for stage in attr.SILENCE_STAGES),
    *_COUNTS,
    *attr.WHOLE_WAIT,
    *_ANSWERED,
    *(f"gap_{stage}" for stage in attr.SILENCE_STAGES),
    "false_cutoff",
    "flags",
    "failures",
)


class Format(str, Enum):
    """Output formats."""

    text = "text"
    json = "json"
    csv = "csv"


@dataclass(frozen=True)
class Row:
    """A turn, the start of its session (Unix time in seconds), and its dead air by stage (seconds)."""

    session_id: str
    started_at: float
    turn: dict[str, Any]
    gap_stages: Mapping[str, float]

    def value(self, name: str) -> float | None:
        """A latency, or the silence spent in a stage, in seconds."""
        found: float | None = self.turn["silence" if name in attr.SILENCE_STAGES else "latency"].get(name)
        return found

    @property
    def flags(self) -> str:
        """The names of its flags, separated by spaces."""
        return " ".join(flag["name"] for flag in self.turn["flags"])

    @property
    def failures(self) -> str:
        """Its failures by stage, model, type and status, without any content."""
        return "; ".join(
            " ".join(part for part in (one["stage"], one["name"], one["reason"], one["status"], one["saved"]) if part)
            for one in self.turn["failures"]
            if one["stage"] != attr.KIND_TOOL
        )


def _column(name: str) -> str:
    chosen = _ALIASES.get(name, name)
    if chosen not in _SORTABLE:
        raise typer.BadParameter(f"{name!r} is not one of e2e, {', '.join(_SORTABLE)}")
    return chosen


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("turns")(turns)


def turns(
    source: Source,
    session: Session = None,
    latest: Latest = False,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="NAME",
            callback=_column,
            help="index, e2e, wait, or a latency or silence stage (worst first; answers that never came are worst).",
        ),
    ] = "index",
    desc: Annotated[
        bool | None,
        typer.Option("--desc/--asc", help="Sort in descending or ascending order.", show_default=False),
    ] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only turns with a flag.")] = False,
    full: Annotated[bool, typer.Option("--full", help="text: all latencies and stages, however wide.")] = False,
    slow: Slow = None,
    dead_air: DeadAir = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.text,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to this file instead of standard output.", show_default=False),
    ] = None,
) -> None:
    """List turns with their waits in seconds, the main cause of each wait, and flags."""
    if full and format is not Format.text:
        raise typer.BadParameter("only with --format text", param_hint="--full")
    thresholds = thresholds_of(slow, dead_air)
    with opened(source) as spans:
        reports: Iterator[SessionReport] = build_reports(spans, thresholds=thresholds)
        if session is not None or latest:
            reports = iter([one_report(source, spans, session, latest=latest, thresholds=thresholds)])
        found = once(rows_of(reports, lambda one: (_rows(one), call_of(one)), spans))
    if not found:
        raise SessionNotFoundError(
            f"{shown(source)}: contains no session from livekit_otel or from LiveKit's own tracing"
        )
    rows = _sorted([row for some in found for row in some if row.turn["flags"] or not flagged], sort, desc)
    if format is Format.json:
        write_json([{"session_id": row.session_id, **row.turn} for row in rows], output)
    elif format is Format.csv:
        write(_csv(rows), output)
    else:
        write(full_table(rows) if full else short_table(rows), output)


def _rows(report: SessionReport) -> list[Row]:
    return [
        Row(report.session_id, report.started_at or 0.0, turn_document(turn), turn.derivation.gap_stages)
        for turn in report.turns
    ]


def _sorted(rows: list[Row], name: str, desc: bool | None) -> list[Row]:
    """Sort by a column, worst first: answers that never came, then the largest values; rows without a value last."""
    ordered = sorted(rows, key=lambda row: (row.started_at, row.session_id, row.turn["index"]))
    if name == "index":
        return ordered[::-1] if desc else ordered
    never = [row for row in ordered if name in _NEVER and row.turn["answered"] == "no"]
    if name == "wait":
        never.sort(key=lambda row: -(row.value(name) or 0.0))
    rest = [row for row in ordered if row not in never]
    having = [row for row in rest if row.value(name) is not None]
    having.sort(key=lambda row: row.value(name) or 0.0, reverse=desc is not False)
    without = [row for row in rest if row.value(name) is None]
    return [*having, *never, *without] if desc is False else [*never, *having, *without]


def _csv(rows: Iterable[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        turn = row.turn
        numbers = [row.value(name) for name in (*attr.REPORTED_METRICS, *attr.SILENCE_STAGES)]
        counts = [turn[name] for name in _COUNTS]
        facts = [row.session_id, *(turn[name] for name in _FACTS[1:])]
        whole = [row.value(name) for name in attr.WHOLE_WAIT]
        answered = [turn["answered"], turn["why_not"], "yes" if turn["acknowledged"] else "no"]
        cutoff = "yes" if turn["false_cutoff"] else "no"
        gaps = [row.gap_stages.get(stage) for stage in attr.SILENCE_STAGES]
        rest = [*answered, *gaps, cutoff, row.flags, row.failures]
        writer.writerow([csv_cell(value) for value in (*facts, *numbers, *counts, *whole, *rest)])
    return out.getvalue()
