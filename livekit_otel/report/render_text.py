"""A report as plain text: what was said and when, where the silence went, latencies, usage, and what is missing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .. import attributes as attr
from .bars import LETTERS, SHADES, Scale, parts
from .model import SessionReport
from .rows import Entry, conversation, errors, facts, interruptions, latencies, offset, one_line, usage

__all__ = ["LABELS", "align", "to_text"]

#: what stands before each line of the conversation
LABELS = {"user": "user", "agent": "agent", "tool": "tool", "result": "    ->", "other": "", "wait": "wait"}
_INDENT = " " * 15
_BAR = 32


def to_text(report: SessionReport, *, width: int = 100, ascii: bool = False) -> str:
    """Lines without colours.

    Args:
        report: what to show.
        width: longer lines are wrapped.
        ascii: draw with letters, for outputs that cannot show blocks.
    """
    sections = [
        [f"Session {one_line(report.session_id)}", *(f"  {name:<9} {value}" for name, value in facts(report).items())],
        ["Conversation", *_conversation(report, LETTERS if ascii else SHADES, width)],
        ["Latency", *align(latencies(report), left=1)],
        ["Silence", *_silence(report)],
        ["Usage", *_usage(report)],
        ["Interruptions", *(f"  {line}" for line in interruptions(report))],
        ["Errors", *(f"  {offset(at, report.started_at)}  {text}" for at, text in errors(report))],
        ["Warnings", *(f"  - {one_line(warning, 1_000)}" for warning in report.warnings)],
    ]
    shown = [section for number, section in enumerate(sections) if number == 0 or len(section) > 1]
    return "\n\n".join("\n".join(section) for section in shown) + "\n"


def _conversation(report: SessionReport, shades: Mapping[str, str], width: int) -> Iterator[str]:
    scale = Scale(report.turns, min(_BAR, max(8, width - 60)))
    for entry in conversation(report):
        head = f"  {offset(entry.at, report.started_at)}  {LABELS[entry.kind]:<5}"
        if entry.kind == "wait":
            yield from _wait(head, entry, scale, shades, width)
        elif entry.kind == "other":
            yield from _wrapped(head.rstrip() + "  ", entry.text, width)
        else:
            yield from _wrapped(f"{head}  " if entry.kind != "result" else f"{head} ", entry.text, width)
    if scale.limit:
        used = [stage for stage in attr.SILENCE_STAGES if report.silence.get(stage)]
        legend = "  ".join(f"{shades[stage]} {stage}" for stage in used)
        yield f"{_INDENT}  ({legend}; a column is {scale.seconds:.2f} s)"


def _wait(head: str, entry: Entry, scale: Scale, shades: Mapping[str, str], width: int) -> Iterator[str]:
    turn = entry.turn
    if turn is None:
        return
    bar = "".join(shades[stage] * columns for stage, columns in scale.cells(turn))
    figures = ", ".join(f"{stage} {seconds}" for stage, seconds in parts(turn.silence))
    whole = f"{turn.latency.e2e_latency or 0.0:.2f} s"
    yield from _wrapped(f"{head}  ", f"{bar}{'>' if scale.cut(turn) else ''} {whole}: {figures}", width)
    for note in turn.notes:
        yield from _wrapped(f"{_INDENT}  ", f"note: {note}", width)


def _wrapped(head: str, text: str, width: int) -> Iterable[str]:
    if len(head) + len(text) <= width:
        return [(head + text).rstrip()]
    lines = textwrap.wrap(
        text, max(20, width - len(head)), break_on_hyphens=False, drop_whitespace=True, replace_whitespace=False
    )
    return [(head if number == 0 else " " * len(head)) + line for number, line in enumerate(lines)]


def _silence(report: SessionReport) -> Iterator[str]:
    """Sums over the call, with the share of each stage."""
    whole = sum(report.silence.values())
    if whole:
        rows = [(s, f"{value:.2f} s", f"{value / whole:.0%}") for s, value in report.silence.items() if value]
        yield from align([*rows, ("all", f"{whole:.2f} s", "100%")], left=1)


def _usage(report: SessionReport) -> Iterator[str]:
    rows = usage(report)
    kinds, models = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for kind, model, figures, discarded in rows:
        head = f"  {kind:<{kinds}}  {model:<{models}}  "
        yield from _wrapped(head, figures, 100)
        if discarded:
            yield from _wrapped(" " * len(head), f"discarded by preemptive generation: {discarded}", 100)


def align(rows: Sequence[Sequence[str]], left: int, indent: str = "  ") -> list[str]:
    """Columns as wide as they must be; the first ``left`` to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        indent
        + "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
