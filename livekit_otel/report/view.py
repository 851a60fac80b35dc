"""The view model of the text renderers: facts, lines of the conversation and figures, without layout.

All strings are single lines without control characters, safe for a terminal (:func:`one_line`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .. import attributes as attr
from ..dialects import REPORT
from ..turns import Gap
from .around_call import of_the_room, offset, start_up
from .conversation import Entry, conversation
from .failures import Failure, reason_of
from .flagged import sums
from .model import PIPELINE, SessionReport
from .notes import notes_of
from .one_line import LONG, one_line
from .turns import Turn
from .values import clock
from .verdict import Place, Sentence, Verdict
from .words import STAGES, seconds

__all__ = ["ENOUGH", "Line", "facts", "failure_line", "latencies", "lines", "offset", "places", "sentence"]

#: minimum number of turns for percentiles
ENOUGH = 10
_PLACES = 8
#: maximum length of a sentence of the verdict, in characters
_REASON = 2_000
Label = Literal["user", "agent", "tool", "wait", "gap", "", "failed", "retry"]


@dataclass(frozen=True)
class Line:
    """A line of the conversation. A line without a time continues the previous line.

    Attributes:
        label: the speaker, or the kind of the line.
        at: Unix seconds.
        text: the text after the label.
        turn: the turn whose first silence the line shows.
        quiet: whether the line is less important.
    """

    label: Label
    at: float | None
    text: str = ""
    turn: Turn | None = None
    quiet: bool = False


def facts(report: SessionReport) -> dict[str, str]:
    """The facts of the header: the identity of the session, and whether it is complete."""
    length = "" if report.duration is None else f", {_length(report.duration)}"
    found = {
        "started": f"{clock(report.started_at)}{length}",
        "room": " ".join(part for part in (report.room, f"({report.room_id})" if report.room_id else "") if part),
        "job": report.job_id,
        **of_the_room(report),
        "agent": report.agent_name,
        "startup": start_up(report),
        "turns": str(len(report.turns)),
        "closed": report.close_reason or ("reason unknown" if report.ended_for_unknown_reason else "not closed"),
        "outcome": ": ".join(part for part in (report.outcome, report.outcome_reason) if part),
        "flags": sums(report),
        "complete": "yes" if report.complete else "no (see the warnings)",
        **_source(report),
        "content": "redacted" if report.redacted else "redacted in part" if report.redacted_in_part else "",
    }
    return {name: one_line(value) for name, value in found.items() if value}


def _source(report: SessionReport) -> dict[str, str]:
    if report.provenance == REPORT:
        return {"source": "LiveKit's own report, no trace"}
    return {"traced by": "" if report.provenance == PIPELINE else f"LiveKit alone ({report.provenance})"}


def _length(value: float) -> str:
    minutes, rest = divmod(value, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes} min {rest:.0f} s"
    return f"{minutes} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def sentence(one: Sentence, started_at: float | None, *, full: bool = False) -> str:
    """A sentence of the verdict with its places. It can be longer than other texts, for reasons of failures."""
    where, limit = places(one, started_at), None if full else _REASON
    return one_line(one.text, limit) + (f" [{where}]" if where else "")


def places(one: Sentence, started_at: float | None) -> str:
    """The places of a sentence: turns with their times, and the times of failures outside of turns."""
    # a turn is listed once, even if it has two places
    unique = list(dict.fromkeys((place.turn, place.failure) for place in one.places))
    first = {(place.turn, place.failure): place for place in reversed(one.places)}
    named = [_place(first[key], started_at) for key in unique[:_PLACES]]
    more = [f"and {len(unique) - _PLACES} more"] if len(unique) > _PLACES else []
    return ", ".join([*named, *more])


def _place(place: Place, started_at: float | None) -> str:
    at = offset(place.at, started_at).strip()
    if place.turn is None:
        return f"at {at}" if at else "outside of turns"
    return f"turn {place.turn}{f' at {at}' if at else ''}"


def lines(report: SessionReport, found: Verdict, limit: int | None = LONG) -> Iterator[Line]:
    """The lines of the conversation. ``limit``: maximum characters of a text; None for all."""
    for part in conversation(report, found.failures):
        for entry in part.entries:
            yield from _lines(entry, limit)


def _lines(entry: Entry, limit: int | None) -> Iterator[Line]:
    if entry.kind in ("user", "agent"):
        yield from _words(entry, limit)
    elif entry.kind == "wait":
        yield Line("wait", None, turn=entry.turn)
        for note in notes_of(entry.turn) if entry.turn is not None else ():
            yield Line("", None, f"note: {note}", quiet=True)
    elif entry.kind == "gap" and entry.gap is not None:
        yield Line("gap", entry.at, _gap(entry.turn, entry.gap))
    elif entry.kind == "tool" and entry.tool is not None:
        tool = entry.tool
        took = "" if tool.seconds is None else f"  {seconds(tool.seconds)}"
        yield Line("tool", entry.at, f"{one_line(tool.name)}({one_line(tool.arguments, limit)}){took}")
        if tool.raised:
            yield Line("", None, f"-> raised {one_line(tool.raised, limit)}")
        given = "failed: " if tool.failed and not tool.raised else "the model was given: " if tool.raised else ""
        if tool.returned:
            yield Line("", None, f"-> returned {one_line(tool.returned, limit)}", quiet=True)
        if given or tool.given:
            yield Line("", None, f"-> {given}{one_line(tool.given, limit) or '(nothing)'}", quiet=not tool.failed)
    elif entry.kind == "failure" and entry.failure is not None:
        yield Line("retry" if entry.failure.saved else "failed", entry.at, failure_line(entry.failure, limit))
    elif entry.kind == "handoff":
        yield Line("", entry.at, f"handoff from {one_line(entry.note)} to {one_line(entry.text)}")
    elif entry.kind == "interruption":
        yield Line("", entry.at, f"{one_line(entry.note).replace('_', ' ')}: the user spoke while the agent did")
    elif entry.kind == "unheard":
        yield Line("", entry.at, f"{entry.note}: {one_line(entry.text, limit)}", quiet=True)


def _words(entry: Entry, limit: int | None) -> Iterator[Line]:
    words = one_line(entry.text, limit) or ("(redacted)" if entry.withheld else "(no words)")
    label: Label = "user" if entry.kind == "user" else "agent"
    after = "" if entry.heard is None else f" after {seconds(entry.heard)}"
    words += f"  [{entry.note}]" if entry.note else ""
    yield Line(label, entry.at, words + (f"  [interrupted{after}]" if entry.interrupted else ""))
    if entry.unheard:
        yield Line("", None, f"not heard any more: {one_line(entry.unheard, limit)}", quiet=True)


def failure_line(one: Failure, limit: int | None = LONG) -> str:
    """A failure in one line: what failed, why, and how it ended."""
    what = one_line(" ".join(part for part in (STAGES.get(one.stage, one.stage), one.name) if part))
    outcome = ""
    if one.is_retry:
        outcome = "; tried again, and it worked"
    elif one.saved:
        outcome = f"; {one_line(one.by) or 'another request'} answered instead"
    tries = f" after {one.attempts} attempts" if one.attempts > 1 and not one.is_retry else ""
    return f"{what}{tries}: {one_line(reason_of(one), limit)}{outcome}"


def _gap(turn: Turn | None, gap: Gap) -> str:
    where = ", ".join(f"{stage} {value:.2f}" for stage, value in gap.stages.items() if round(value, 2))
    unanswered = turn is not None and turn.answered == "no"
    why = f", not answered ({turn.why_not.replace('_', ' ')})" if unanswered and turn is not None else ""
    return f"{gap.seconds:.2f} s of silence{why}: {where}"


def latencies(report: SessionReport) -> list[tuple[str, ...]]:
    """Heading and rows, in seconds, with the whole latency first; empty if no turn has a latency.

    Latencies with fewer than ``ENOUGH`` turns only have their maximum, because percentiles would mean little.
    """
    found = report.latency
    if not found:
        return []
    *parts, whole = attr.SUMMARY_LATENCIES
    # if nobody waited after the first words, these equal e2e_latency
    hidden = () if report.gap_stages else attr.WHOLE_WAIT
    named = [name for name in (whole, *parts) if name in found and name not in hidden]
    points = [one for one in attr.SUMMARY_POINTS if one == "max" or any(found[name].count >= ENOUGH for name in named)]
    rows: list[tuple[str, ...]] = [("seconds", "turns", *points)]
    for name in named:
        few = found[name].count < ENOUGH
        cells = ("-" if few and one != "max" else f"{getattr(found[name], one):.3f}" for one in points)
        rows.append((name, str(found[name].count), *cells))
    return rows
