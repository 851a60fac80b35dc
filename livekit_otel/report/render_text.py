"""Renders a report as plain text: conversation, silences by stage, latencies, usage, and warnings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .bars import LETTERS, SHADES, Scale, parts
from .flagged import flagged_turns
from .model import SessionReport
from .one_line import LONG, one_line
from .turns import Turn
from .usage import usage
from .verdict import Verdict, verdict
from .view import facts, latencies, lines, offset, sentence

__all__ = ["align", "to_text"]

_INDENT = " " * 18
_BAR = 24


def to_text(report: SessionReport, *, width: int = 100, ascii: bool = False, full: bool = False) -> str:
    """Render the report as lines without colours.

    Args:
        report: the report.
        width: columns; longer lines are wrapped.
        ascii: draw bars with letters, for outputs that cannot encode block characters.
        full: do not cut long texts. Otherwise cut texts show how much was cut.
    """
    found, limit = verdict(report), None if full else LONG
    sections = [
        [f"Session {one_line(report.session_id)}", *(f"  {name:<9} {value}" for name, value in facts(report).items())],
        ["Verdict", *_verdict(report, found, width, full)],
        ["Conversation", *_conversation(report, found, LETTERS if ascii else SHADES, width, limit)],
        ["Flags", *_flags(report, width)],
        ["Latency", *align(latencies(report), left=1)],
        ["Silence", *_silence(report.silence)],
        ["Dead air", *_silence(report.gap_stages)],
        ["Usage", *_usage(report, width)],
        ["Warnings", *(f"  - {one_line(warning, 1_000)}" for warning in report.warnings)],
    ]
    shown = [section for number, section in enumerate(sections) if number == 0 or len(section) > 1]
    return "\n\n".join("\n".join(section) for section in shown) + "\n"


def _verdict(report: SessionReport, found: Verdict, width: int, full: bool) -> Iterator[str]:
    marks = {"bad": "  ! ", "warn": "  * ", "info": "  - "}
    for one in found.sentences:
        yield from _wrapped(marks[one.level], sentence(one, report.started_at, full=full), width)


def _conversation(
    report: SessionReport, found: Verdict, shades: Mapping[str, str], width: int, limit: int | None
) -> Iterator[str]:
    scale = Scale(report.turns, min(_BAR, max(8, width - 60)))
    for line in lines(report, found, limit):
        head = f"  {offset(line.at, report.started_at)}  "
        if not line.label and line.at is not None:
            yield from _wrapped(head, line.text, width)
        elif line.turn is not None:
            yield from _wait(f"{head}{line.label:<6}  ", line.turn, scale, shades, width)
        else:
            yield from _wrapped(f"{head}{line.label:<6}  ", line.text, width)
    if scale.limit:
        legend = "  ".join(f"{shades[stage]} {stage}" for stage, _ in parts(report.silence))
        yield f"{_INDENT}({legend}; a column is {scale.seconds:.2g} s)"


def _flags(report: SessionReport, width: int) -> Iterator[str]:
    for at, index, text in flagged_turns(report):
        yield from _wrapped(f"  {offset(at, report.started_at)}  turn {index}  ", text, width)


def _wait(head: str, turn: Turn, scale: Scale, shades: Mapping[str, str], width: int) -> Iterator[str]:
    bar = "".join(shades[stage] * columns for stage, columns in scale.cells(turn))
    figures = ", ".join(f"{stage} {seconds}" for stage, seconds in parts(turn.silence))
    whole = f"{turn.latency.e2e_latency or 0.0:.2f} s"
    yield from _wrapped(head, f"{bar}{'>' if scale.cut(turn) else ''} {whole}: {figures}", width)


def _wrapped(head: str, text: str, width: int) -> Iterable[str]:
    if len(head) + len(text) <= width:
        return [(head + text).rstrip()]
    lines = textwrap.wrap(text, max(20, width - len(head)), break_on_hyphens=False)
    return [(head if number == 0 else " " * len(head)) + line for number, line in enumerate(lines)]


def _silence(stages: Mapping[str, float]) -> Iterator[str]:
    """Sums over the call, with the share of each stage."""
    whole = sum(stages.values())
    if whole:
        rows = [(stage, f"{value} s", f"{stages[stage] / whole:.0%}") for stage, value in parts(stages)]
        yield from align([*rows, ("all", f"{whole:.2f} s", "100%")], left=1)


def _usage(report: SessionReport, width: int) -> Iterator[str]:
    rows = usage(report)
    kinds, models = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for kind, model, figures, discarded in rows:
        head = f"  {kind:<{kinds}}  {model:<{models}}  "
        yield from _wrapped(head, figures, width)
        if discarded:
            yield from _wrapped(" " * len(head), f"discarded by preemptive generation: {discarded}", width)


def align(rows: Sequence[Sequence[str]], left: int, indent: str = "  ") -> list[str]:
    """Lines of aligned columns: the first ``left`` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        indent
        + "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
