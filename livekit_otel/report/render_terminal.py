"""Renders a report for a terminal: the sections of the plain text, with colours and tables that fit the window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .. import attributes as attr
from .bars import SHADES, Scale, parts
from .flagged import flagged_turns
from .model import SessionReport
from .one_line import LONG, one_line
from .turns import Turn
from .usage import usage
from .verdict import Verdict, verdict
from .view import Line, facts, latencies, lines, offset, sentence

__all__ = ["COLOURS", "show"]

#: one colour per stage, distinguishable on dark and light backgrounds
COLOURS = dict(
    zip(
        attr.SILENCE_STAGES,
        ("cyan", "yellow", "magenta", "bright_blue", "blue", "red", "green", "bright_magenta", "bright_black"),
        strict=True,
    )
)
_LABELS = {
    "user": Text("user", "bold cyan"),
    "agent": Text("agent", "bold green"),
    "tool": Text("tool", "bold red"),
    "wait": Text("wait", "bright_black"),
    "gap": Text("gap", "bright_black"),
    "failed": Text("failed", "bold red"),
    "retry": Text("retry", "yellow"),
}
#: between columns, and before each section
_GAP, _INDENT = 2, 2
_LEVELS = {"bad": ("!", "bold red"), "warn": ("*", "yellow"), "info": ("-", "")}
_BLOCK = "█"


def show(report: SessionReport, console: Console, *, full: bool = False) -> None:
    """Print the report. Unless ``full`` is set, long texts are cut, and show how much was cut."""
    found, limit = verdict(report), None if full else LONG
    sections: list[tuple[str, RenderableType | None]] = [
        ("Verdict", _verdict(report, found, full)),
        ("Conversation", _conversation(report, found, console, limit)),
        ("Flags", _lines(_flags(report), "yellow")),
        ("Latency", _latency(report)),
        ("Silence", _silence(report.silence)),
        ("Dead air", _silence(report.gap_stages)),
        ("Usage", _usage(report)),
        ("Warnings", _lines([one_line(warning, 1_000) for warning in report.warnings], "yellow")),
    ]
    console.print(Text.assemble(("Session ", "bold"), (one_line(report.session_id), "bold")))
    console.print(Padding(_facts(report), (0, 0, 0, _INDENT)))
    for title, body in sections:
        if body is not None:
            console.print()
            console.print(Text(title, "bold"))
            console.print(Padding(body, (0, 0, 0, _INDENT)))


def _facts(report: SessionReport) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bright_black")
    grid.add_column(overflow="fold")
    for name, value in facts(report).items():
        wrong = name == "complete" and not report.complete
        grid.add_row(name, Text(value, "bold red" if wrong else ""))
    return grid


def _verdict(report: SessionReport, found: Verdict, full: bool) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column(overflow="fold")
    for one in found.sentences:
        mark, style = _LEVELS[one.level]
        grid.add_row(Text(mark, style), Text(sentence(one, report.started_at, full=full), style))
    return grid


def _conversation(report: SessionReport, found: Verdict, console: Console, limit: int | None) -> RenderableType | None:
    scale = Scale(report.turns, max(16, min(48, console.width - 80)))
    # without colours, characters distinguish the stages
    plain = console.no_color or console.color_system is None
    shades = SHADES if plain else dict.fromkeys(SHADES, _BLOCK)
    rows = [(offset(one.at, report.started_at), one) for one in lines(report, found, limit)]
    first = max([6, *(len(at) for at, _ in rows)])
    label = max([5, *(len(one.label) for _, one in rows)])
    # with fixed widths that include the gaps, the table need neither measure nor pad each of its cells: there can be
    # many thousands
    grid = Table.grid(padding=0)
    grid.add_column(style="bright_black", no_wrap=True, width=first + _GAP)
    grid.add_column(no_wrap=True, width=label + _GAP)
    grid.add_column(overflow="fold", width=max(1, console.width - _INDENT - first - label - 2 * _GAP))
    for at, line in rows:
        body = _wait(line.turn, scale, shades) if line.turn is not None else _said(line)
        grid.add_row(at, _LABELS.get(line.label, Text()), body)
    if not grid.rows:
        return None
    if not scale.limit:
        return grid
    legend = Text("  ").join(
        Text.assemble((shades[stage], COLOURS[stage]), f" {stage}") for stage, _ in parts(report.silence)
    )
    legend.append(f"   (a column is {scale.seconds:.2g} s)", "bright_black")
    return Group(grid, Text(), legend)


def _said(line: Line) -> Text:
    if line.quiet:
        return Text(line.text, "bright_black")
    return Text(line.text, "italic" if not line.label and line.at is not None else "")


def _wait(turn: Turn, scale: Scale, shades: Mapping[str, str]) -> Text:
    text = Text()
    for stage, columns in scale.cells(turn):
        text.append(shades[stage] * columns, COLOURS[stage])
    if scale.cut(turn):
        text.append(">", "bold")
    text.append(f" {turn.latency.e2e_latency or 0.0:.2f} s ", "bold")
    for stage, seconds in parts(turn.silence):
        text.append(f" {stage} {seconds}", COLOURS[stage])
    return text


def _table(head: Sequence[str], left: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black")
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number < left else "right", overflow="fold")
    return table


def _latency(report: SessionReport) -> Table | None:
    rows = latencies(report)
    if not rows:
        return None
    table = _table(rows[0], 1)
    for row in rows[1:]:
        table.add_row(*row, style="bold" if row[0] == attr.SUMMARY_LATENCIES[-1] else "")
    return table


def _silence(stages: Mapping[str, float]) -> RenderableType | None:
    whole = sum(stages.values())
    if not whole:
        return None
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column(justify="right")
    for stage, seconds in parts(stages):
        grid.add_row(Text(stage, COLOURS[stage]), f"{seconds} s", f"{stages[stage] / whole:.0%}")
    grid.add_row("all", f"{whole:.2f} s", "100%", style="bold")
    return grid


def _usage(report: SessionReport) -> Table | None:
    rows = usage(report)
    if not rows:
        return None
    wasted = any(row[3] for row in rows)
    table = _table(("kind", "model", "used", *(["of it discarded"] if wasted else [])), 4)
    for kind, model, figures, discarded in rows:
        cells = [Text(kind), Text(model), Text(figures), *([Text(discarded, "yellow")] if wasted else [])]
        table.add_row(*cells)
    return table


def _flags(report: SessionReport) -> list[str]:
    return [f"{offset(at, report.started_at)}  turn {index}  {text}" for at, index, text in flagged_turns(report)]


def _lines(lines: Sequence[str], style: str) -> RenderableType | None:
    def texts() -> Iterator[Text]:
        for line in lines:
            yield Text(line, style)

    return Group(*texts()) if lines else None
