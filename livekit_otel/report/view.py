"""The view model of the text renderers: facts, the conversation with its waits, and figures, before they are laid out.

All strings are one line that a terminal shows and does not obey, whatever a caller or a tool said (:func:`one_line`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .. import attributes as attr
from .._display import visible
from ..turns import Gap, ModelUsage
from .flagged import sums
from .model import SessionReport
from .said import message_text
from .turns import Turn
from .values import clock

__all__ = ["Entry", "conversation", "errors", "facts", "interruptions", "latencies", "offset", "one_line", "usage"]

LONG = 300
Kind = Literal["user", "agent", "tool", "result", "other", "wait", "gap"]


@dataclass(frozen=True)
class Entry:
    """One thing that happened. ``at`` is unix seconds.

    A ``wait`` has the turn whose first silence it is; a ``gap`` is a later one, and says where it went.
    """

    kind: Kind
    at: float | None
    text: str = ""
    turn: Turn | None = None


def one_line(value: Any, limit: int = LONG) -> str:
    """Any text on one line, cut at ``limit`` characters."""
    try:
        text = " ".join(visible(value or "").split())
    except RecursionError:
        text = ""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def offset(at: float | None, started_at: float | None) -> str:
    """Minutes and seconds since the call began."""
    if at is None or started_at is None:
        return " " * 6
    seconds = max(0.0, at - started_at)
    return f"{int(seconds // 60):>3}:{int(seconds % 60):02}"


def facts(report: SessionReport) -> dict[str, str]:
    """The header: what the session is, and whether all of it is there."""
    length = "" if report.duration is None else f", {_length(report.duration)}"
    found = {
        "started": f"{clock(report.started_at)}{length}",
        "room": " ".join(part for part in (report.room, f"({report.room_id})" if report.room_id else "") if part),
        "job": report.job_id,
        "agent": report.agent_name,
        "turns": str(len(report.turns)),
        "closed": report.close_reason or "not closed",
        "outcome": ": ".join(part for part in (report.outcome, report.outcome_reason) if part),
        "flags": sums(report),
        "complete": "yes" if report.complete else "no (see the warnings)",
        "content": "redacted" if report.redacted else "redacted in part" if report.redacted_in_part else "",
    }
    return {name: one_line(value) for name, value in found.items() if value}


def _length(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes} min {rest:.0f} s"
    return f"{minutes} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def conversation(report: SessionReport) -> Iterator[Entry]:
    """What was said and done, each wait for an answer before that answer; the words of a turn that broke off, too."""
    turns = sorted(report.turns, key=lambda turn: turn.start_ns)
    starts = [turn.start_ns / 1e9 for turn in turns]
    groups: list[list[Mapping[str, Any]]] = [[] for _ in range(len(turns) + 1)]
    at = 0.0
    for item in report.history:
        created = item.get("created_at")
        # the history's order counts: an item without a time, or back in time, stays behind the one before it
        at = max(at, created) if isinstance(created, int | float) else at
        groups[bisect_right(starts, at)].append(item)
    yield from (entry for item in groups[0] if (entry := _entry(item, report.redacted)))
    for turn, items in zip(turns, groups[1:], strict=True):
        entries = [entry for item in items if (entry := _entry(item, report.redacted))]
        if not entries and (turn.span is None or not report.history):
            entries = list(_words(turn))
        if turn.silence:
            entries.insert(_answer(entries), Entry("wait", None, turn=turn))
        for gap in turn.gaps:
            at = gap.start_ns / 1e9
            before = [n for n, entry in enumerate(entries) if entry.at is not None and entry.at <= at]
            entries.insert(before[-1] + 1 if before else len(entries), Entry("gap", at, _gap(turn, gap)))
        yield from entries


def _gap(turn: Turn, gap: Gap) -> str:
    where = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in gap.stages.items() if round(seconds, 2))
    why = "" if turn.answered != "no" else f", not answered ({turn.why_not.replace('_', ' ')})"
    return f"{gap.seconds:.2f} s of silence{why}: {where}"


def _answer(entries: Sequence[Entry]) -> int:
    """The place of a turn's answer: behind the user's words that came before the agent's."""
    voice = next((n for n, entry in enumerate(entries) if entry.kind == "agent"), len(entries))
    asked = [n for n, entry in enumerate(entries[:voice]) if entry.kind == "user"]
    return asked[-1] + 1 if asked else voice


def _words(turn: Turn) -> Iterator[Entry]:
    if turn.user_text:
        yield Entry("user", turn.start_ns / 1e9, one_line(turn.user_text))
    if turn.agent_text:
        answered = turn.derivation.answered_ns
        yield Entry("agent", (turn.end_ns if answered is None else answered) / 1e9, one_line(turn.agent_text))


def _entry(item: Mapping[str, Any], redacted: bool) -> Entry | None:
    kind, created = item.get("type"), item.get("created_at")
    at = created if isinstance(created, int | float) else None
    if kind == "message":
        if item.get("role") not in ("user", "assistant"):
            return None
        text = message_text(item)
        said = one_line(text) if text else "(redacted)" if redacted else "(no words)"
        mark = "  [interrupted]" if item.get("interrupted") else ""
        return Entry("user" if item["role"] == "user" else "agent", at, said + mark)
    if kind == "function_call":
        return Entry("tool", at, f"{one_line(item.get('name'))}({one_line(item.get('arguments'))})")
    if kind == "function_call_output":
        return Entry("result", at, ("failed: " if item.get("is_error") else "") + one_line(item.get("output")))
    if kind == "agent_handoff" and item.get("old_agent_id"):
        return Entry("other", at, f"handoff to {one_line(item.get('new_agent_id'))}")
    return None


def latencies(report: SessionReport) -> list[tuple[str, ...]]:
    """Head and rows of percentiles, in seconds; empty when no turn has a latency. The whole comes first."""
    found = report.latency
    if not found:
        return []
    rows: list[tuple[str, ...]] = [("seconds", "turns", *attr.SUMMARY_POINTS)]
    *parts, whole = attr.SUMMARY_LATENCIES
    # where nobody waited after the first words, these say what e2e_latency says
    hidden = () if report.gap_stages else attr.WHOLE_WAIT
    for name in (whole, *parts):
        if name in found and name not in hidden:
            points = (f"{getattr(found[name], point):.3f}" for point in attr.SUMMARY_POINTS)
            rows.append((name, str(found[name].count), *points))
    return rows


def usage(report: SessionReport) -> list[tuple[str, str, str, str]]:
    """Kind, model, figures, and the part of them that discarded preemptive generations had."""
    # a call that broke off early may have nothing but its stage spans
    known = _objects(report.head.get("usage")) or report.usage or [one.to_dict() for one in report.derivation.usage]
    thrown: dict[tuple[str, str, str], ModelUsage] = {}
    for own in report.discarded:
        thrown.setdefault((own.type, own.provider, own.model), own)
        thrown.setdefault(("", own.provider, own.model), own)
    rows = []
    for one in known:
        kind, provider, model = (one_line(one.get(name)) for name in ("type", "provider", "model"))
        wasted = thrown.get((kind, provider, model))
        name = one_line("/".join(part for part in (provider, model) if part))
        figures = _figures(wasted.to_dict().items()) if wasted is not None else ""
        rows.append((one_line(kind.removesuffix("_usage")), name, _figures(one.items()), figures))
    return rows


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _figures(values: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(
        f"{one_line(name).replace('_', ' ')} {_figure(value)}"
        for name, value in values
        if isinstance(value, int | float) and not isinstance(value, bool) and value
    )


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def interruptions(report: SessionReport) -> list[str]:
    """How often the agent was stopped, and by what; empty when never."""
    rate = report.interruption_rate
    share = f" (in {rate:.0%} of the turns in which the agent spoke)" if rate else ""
    counts = (
        ("interruption", report.interruptions, share),
        ("false interruption", report.false_interruptions, ""),
        ("backchannel", report.backchannels, ""),
        ("false cutoff", report.false_cutoffs, " (the user had only paused)"),
    )
    return [f"{count} {name}{'s' if count > 1 else ''}{more}" for name, count, more in counts if count]


def errors(report: SessionReport) -> Iterator[tuple[float | None, str]]:
    """When, and what failed."""
    for event in report.events:
        if event.get("type") == "error":
            error, at = event.get("error"), event.get("created_at")
            values = error if isinstance(error, dict) else {}
            what = " ".join(one_line(values[name]) for name in ("type", "label") if values.get(name))
            text = one_line(values.get("error"))
            when = at if isinstance(at, int | float) else None
            yield when, f"{what or 'error'}{': ' + text if text else ''}"
