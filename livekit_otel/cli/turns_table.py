"""Turns as tables: a short one that fits into 80 columns, and one with all latencies and stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .. import attributes as attr
from ..report.one_line import one_line
from ..report.render_text import align
from ..report.view import offset
from .table import WIDTH, Column, short_ids, table, widths

__all__ = ["full_table", "short_table"]

_WHOLE = "e2e_latency"
_DIGITS = 3
#: short labels for long end reasons
_ENDS = {attr.END_SESSION_CLOSED: "closed", attr.END_NO_REPLY: "no reply"}
#: letters for flags, used when their names do not fit
_LETTERS = {
    attr.FLAG_SLOW: "S",
    attr.FLAG_DEAD_AIR: "D",
    attr.FLAG_NEVER_ANSWERED: "N",
    attr.FLAG_FAILED: "F",
    attr.FLAG_FALSE_CUTOFF: "C",
    attr.FLAG_INTERRUPTED: "I",
}
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


class Row(Protocol):
    """The values of a turn that the tables read."""

    @property
    def session_id(self) -> str: ...
    @property
    def started_at(self) -> float: ...
    @property
    def turn(self) -> dict[str, Any]: ...
    @property
    def gap_stages(self) -> Mapping[str, float]: ...
    @property
    def flags(self) -> str: ...
    def value(self, name: str) -> float | None: ...


def short_table(rows: Sequence[Row]) -> str:
    """One line per turn: its whole wait, the part before the first words, and the stage that took most of it."""
    if not rows:
        return "no turns\n"
    ids = short_ids({row.session_id for row in rows})
    names = [", ".join(flag["name"].replace("_", " ") for flag in row.turn["flags"]) for row in rows]
    letters = ["".join(_LETTERS[flag["name"]] for flag in row.turn["flags"]) for row in rows]
    columns = _columns(rows, ids, names)
    wide = sum(widths(columns)) + 2 * (len(columns) - 1) > WIDTH
    text = table(_columns(rows, ids, letters) if wide else columns)
    if wide:
        used = [name for name in _LETTERS if any(name in row.flags.split() for row in rows)]
        text += "flags: " + ", ".join(f"{_LETTERS[name]} {name.replace('_', ' ')}" for name in used) + "\n"
    return text


def _columns(rows: Sequence[Row], ids: Mapping[str, str], flags: Sequence[str]) -> list[Column]:
    gaps = _says_more(rows, "dead_air")
    found = [Column("SESSION", [ids[row.session_id] for row in rows])] if len(ids) > 1 else []
    found += [
        Column("TURN", [str(row.turn["index"]) for row in rows], right=True),
        Column("AT", [offset(row.turn["started_at"], row.started_at).strip() for row in rows], right=True),
        Column("END", [_end(row.turn) for row in rows]),
        Column("WAIT", [_figure(row.value("wait")) for row in rows], right=True),
    ]
    # LiveKit's own report says no more of a wait than the time to the first words
    unknown = any(row.value("wait") is None and row.value(_WHOLE) is not None for row in rows)
    if gaps or unknown:
        found.append(Column("E2E", [_figure(row.value(_WHOLE)) for row in rows], right=True))
    if gaps:
        found.append(Column("DEAD", [_figure(row.value("dead_air")) for row in rows], right=True))
    found.append(Column("MOSTLY", [_mostly(row) for row in rows]))
    if any(flags):
        found.append(Column("FLAGS", flags))
    return found


def _end(turn: Mapping[str, Any]) -> str:
    reason = turn["end_reason"]
    return _ENDS.get(reason) or one_line(reason) or "-"


def _mostly(row: Row) -> str:
    """The stage that took most of the whole wait, and its seconds."""
    sums = {stage: (row.value(stage) or 0.0) + row.gap_stages.get(stage, 0.0) for stage in attr.SILENCE_STAGES}
    stage = max(sums, key=lambda name: sums[name])
    return f"{'transcr' if stage == 'transcription' else stage} {sums[stage]:.2f}" if sums[stage] > 0 else "-"


def full_table(rows: Sequence[Row]) -> str:
    """All latencies and stages. Columns that no turn has a value for are left out."""
    if not rows:
        return "no turns\n"
    stages = [one for one in attr.SILENCE_STAGES if any(round(row.value(one) or 0.0, _DIGITS) for row in rows)]
    latencies = [one for one in _HEADS if any(row.value(one) is not None for row in rows)]
    ids = short_ids({row.session_id for row in rows})
    facts = ["SESSION", "TURN", "AT", "END"] if len(ids) > 1 else ["TURN", "AT", "END"]
    waits = [_WHOLE, *(name for name in ("answer_latency", "dead_air") if _says_more(rows, name))]
    heads = [*(_WAIT_HEADS[name] for name in waits), *(_STAGE_HEADS[stage] for stage in stages)]
    lines = [[*facts, *heads, *(_HEADS[name] for name in latencies)]]
    for row in rows:
        turn = row.turn
        own = [ids[row.session_id]] if len(ids) > 1 else []
        at = offset(turn["started_at"], row.started_at).strip()
        own += [str(turn["index"]), at, one_line(turn["end_reason"]) or "-"]
        lines.append([*own, *(_figure(row.value(name), _DIGITS) for name in (*waits, *stages, *latencies))])
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
    """The line above the headings: each title starts at the first column of its group."""
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head = ""
    for title, column in groups:
        head = head.ljust(sum(wide[:column]) + 2 * column) + title + "  "
    return head.rstrip()


def _says_more(rows: Sequence[Row], name: str) -> bool:
    """Whether a user waited again after the agent's first words, so that the column adds information."""
    if name == "dead_air":
        return any(row.value(name) for row in rows)
    return any((row.value(name) or 0.0) > (row.value(_WHOLE) or 0.0) for row in rows)


def _figure(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
