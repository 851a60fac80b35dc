"""``livekit-otel turns``: every turn's latencies, and where its silence went."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import attributes as attr
from .._display import csv_cell
from ..errors import AmbiguousSessionError, SessionNotFoundError
from ..report import SessionReport, build_report, build_reports
from ..report.render_json import turn_document
from ..report.render_text import align
from ..report.view import offset, one_line
from ..spans import SpanRecord
from ..transport.credentials import shown
from .output import to_json, write
from .support import DeadAir, Slow, Source, opened, rows_of, thresholds_of

__all__ = ["COLUMNS", "register"]

_WHOLE = "e2e_latency"
_DIGITS = 3
_ALIASES = {"e2e": _WHOLE}
_SORTABLE = ("index", *attr.DERIVED_LATENCIES, *attr.SILENCE_STAGES)
_FACTS = ("session_id", "index", "started_at", "ended_at", "end_reason", "agent")
_COUNTS = ("interruptions", "false_interruptions", "backchannels")
_ANSWERED = ("answered", "why_not", "acknowledged")
#: The csv's header: new columns are added at its end only.
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
)
#: heads of the text table
_STAGE_HEADS = {stage: stage.upper() for stage in attr.SILENCE_STAGES} | {attr.SILENCE_STAGES[0]: "TRANSCR"}
_WAIT_HEADS = {_WHOLE: "E2E", "answer_latency": "ANSWER", "dead_air": "DEAD"}
_HEADS = {
    "transcription_delay": "TRANSCR",
    "end_of_turn_delay": "EOT",
    "llm_node_ttft": "TTFT",
    "llm_node_ttfs": "TTFS",
    "tts_node_ttfb": "TTFB",
    "playback_latency": "PLAY",
}


class Format(str, Enum):
    """Output formats."""

    text = "text"
    json = "json"
    csv = "csv"


@dataclass(frozen=True)
class Row:
    """A turn, when its session began (unix seconds), and its dead air by stage (seconds)."""

    session_id: str
    started_at: float
    turn: dict[str, Any]
    gap_stages: Mapping[str, float]

    def value(self, name: str) -> float | None:
        """A latency, or the silence of a stage."""
        found: float | None = self.turn["silence" if name in attr.SILENCE_STAGES else "latency"].get(name)
        return found

    @property
    def flags(self) -> str:
        """The names of its flags."""
        return " ".join(flag["name"] for flag in self.turn["flags"])


def _column(name: str) -> str:
    chosen = _ALIASES.get(name, name)
    if chosen not in _SORTABLE:
        raise typer.BadParameter(f"{name!r} is none of e2e, {', '.join(_SORTABLE)}")
    return chosen


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("turns")(turns)


def turns(
    source: Source,
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", help="Only this session: its id, or the beginning of it.", show_default=False),
    ] = None,
    sort: Annotated[
        str,
        typer.Option("--sort", metavar="NAME", callback=_column, help="index, e2e, or any latency or silence stage."),
    ] = "index",
    desc: Annotated[bool, typer.Option("--desc", help="The largest first.")] = False,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only turns that have a flag.")] = False,
    slow: Slow = None,
    dead_air: DeadAir = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.text,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file instead.", show_default=False)
    ] = None,
) -> None:
    """List turns with their latencies and where the silence before each answer went, in seconds."""
    rows: list[Row] = []
    sessions = 0
    with opened(source) as spans:
        for found in rows_of(_reports(source, spans, session, thresholds_of(slow, dead_air)), _rows, spans):
            sessions += 1
            rows += found
    if not sessions:
        raise SessionNotFoundError(
            f"{shown(source)}: holds no session, neither of livekit_otel nor of LiveKit's own tracing"
        )
    rows = _sorted([row for row in rows if row.turn["flags"] or not flagged], sort, desc)
    if format is Format.json:
        write(to_json([{"session_id": row.session_id, **row.turn} for row in rows]), output)
    else:
        write(_csv(rows) if format is Format.csv else _table(rows), output)


def _rows(report: SessionReport) -> list[Row]:
    return [
        Row(report.session_id, report.started_at or 0.0, turn_document(turn), turn.derivation.gap_stages)
        for turn in report.turns
    ]


def _reports(
    source: str, spans: Iterable[SpanRecord], session: str | None, thresholds: Mapping[str, float]
) -> Iterator[SessionReport]:
    if session is None:
        yield from build_reports(spans, thresholds=thresholds)
        return
    try:
        yield build_report(spans, session, thresholds=thresholds)
    except (AmbiguousSessionError, SessionNotFoundError) as error:
        raise type(error)(f"{shown(source)}: {error}") from None


def _sorted(rows: list[Row], name: str, desc: bool) -> list[Row]:
    """By the chosen column; turns that have no such value come last, either way."""
    ordered = sorted(rows, key=lambda row: (row.started_at, row.session_id, row.turn["index"]))
    if name == "index":
        return ordered[::-1] if desc else ordered
    having = [row for row in ordered if row.value(name) is not None]
    having.sort(key=lambda row: row.value(name) or 0.0, reverse=desc)
    return having + [row for row in ordered if row.value(name) is None]


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
        rest = [*answered, *(row.gap_stages.get(stage) for stage in attr.SILENCE_STAGES), cutoff, row.flags]
        writer.writerow([csv_cell(value) for value in (*facts, *numbers, *counts, *whole, *rest)])
    return out.getvalue()


def _table(rows: list[Row]) -> str:
    """What any turn has; the columns of a session and of stages that nobody waited for are left out."""
    if not rows:
        return "no turns\n"
    stages = [one for one in attr.SILENCE_STAGES if any(round(row.value(one) or 0.0, _DIGITS) for row in rows)]
    latencies = [one for one in _HEADS if any(row.value(one) is not None for row in rows)]
    ids = _short({row.session_id for row in rows})
    facts = ["SESSION", "TURN", "AT", "END"] if len(ids) > 1 else ["TURN", "AT", "END"]
    waits = [_WHOLE, *(name for name in ("answer_latency", "dead_air") if _says_more(rows, name))]
    heads = [*(_WAIT_HEADS[name] for name in waits), *(_STAGE_HEADS[stage] for stage in stages)]
    lines = [[*facts, *heads, *(_HEADS[name] for name in latencies)]]
    for row in rows:
        turn = row.turn
        own = [ids[row.session_id]] if len(ids) > 1 else []
        at = offset(turn["started_at"], row.started_at).strip()
        own += [str(turn["index"]), at, one_line(turn["end_reason"]) or "-"]
        lines.append([*own, *(_figure(row.value(name)) for name in (*waits, *stages, *latencies))])
    text = align(lines, left=len(facts), indent="")
    if any(row.flags for row in rows):
        width = max(map(len, text))
        flags = ["FLAGS", *(row.flags for row in rows)]
        text = [f"{line:<{width}}  {flag}".rstrip() for line, flag in zip(text, flags, strict=True)]
    first = len(facts) + len(waits)
    groups = [("silence before it, by stage", first)] if stages else []
    groups += [("latencies", first + len(stages))] if latencies else []
    return "\n".join([_group_heads(groups, lines), *text]) + "\n"


def _group_heads(groups: Sequence[tuple[str, int]], lines: Sequence[Sequence[str]]) -> str:
    """The line above the heads: a title where its first column begins."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head = ""
    for title, column in groups:
        head = head.ljust(sum(widths[:column]) + 2 * column) + title + "  "
    return head.rstrip()


def _says_more(rows: list[Row], name: str) -> bool:
    """Whether some user waited on after the agent's first words."""
    if name == "dead_air":
        return any(row.value(name) for row in rows)
    return any((row.value(name) or 0.0) > (row.value(_WHOLE) or 0.0) for row in rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.{_DIGITS}f}"


def _short(ids: set[str]) -> dict[str, str]:
    """The beginnings of ids that still tell them apart."""
    shared = max((_shared(*pair) for pair in pairwise(sorted(ids))), default=0)
    length = 8 + 4 * max(0, -(-(shared - 7) // 4))
    return {one: one_line(one[:length]) for one in ids}


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
