"""The verdict on a call: its problems in sentences. Text, JSON and HTML page show the same sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from .. import attributes as attr
from ..dialects import REPORT
from ..turns.flags import largest
from ..turns.model import by_stage
from .ended import why_closed
from .failures import ENTRYPOINT, Failure, failures, reason_of
from .model import SessionReport
from .turns import Turn
from .usage import usage
from .words import STAGES, UNANSWERED, WAITED_FOR, count, seconds, spoken_list

__all__ = ["Level", "Place", "Sentence", "Verdict", "verdict"]

Level = Literal["bad", "warn", "info"]


class Place(msgspec.Struct, frozen=True):
    """A place in the call: a turn by its index, or a failure outside of turns by its number. ``at``: Unix seconds."""

    turn: int | None = None
    failure: int | None = None
    at: float | None = None


class Sentence(msgspec.Struct, frozen=True):
    """One sentence. ``kind``: its subject. ``text`` can contain content and messages of servers."""

    kind: str
    level: Level
    text: str
    places: tuple[Place, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """The sentences, most important first, and the failures that they and their places refer to."""

    sentences: tuple[Sentence, ...]
    failures: tuple[Failure, ...]


def verdict(report: SessionReport) -> Verdict:
    """The verdict on a call."""
    found = tuple(failures(report))
    sentences = [
        _end(report, found),
        *_failures(found),
        *_unanswered(report),
        *_waits(report),
        *_dead_air(report),
        *_cutoffs(report),
        *_interruptions(report),
        *(Sentence("lost", "bad", f"Incomplete: {one.message}.") for one in report.findings if one.loss),
        *_usage(report),
    ]
    return Verdict(tuple(sentences), found)


def _end(report: SessionReport, found: Sequence[Failure]) -> Sentence:
    length = "" if report.duration is None else f" after {seconds(report.duration)}"
    turns = count(len(report.turns), "turn")
    if report.ended_for_unknown_reason:
        who = "LiveKit's report does" if report.provenance == REPORT else "its spans do"
        return Sentence("end", "info", f"The call ended{length} and {turns}; {who} not say why.")
    if report.close_reason is None:
        return Sentence("end", "bad", f"The trace breaks off{length} and {turns}: how the call ended is unknown.")
    why = why_closed(report)
    failed = report.close_reason == "CR_ERROR"
    fatal = [one for one in found if not one.saved and one.stage != attr.KIND_TOOL] if failed else []
    by = f": {_what(fatal[-1])} failed" if fatal else ""
    text = f"{why[0].upper()}{why[1:]}{length} and {turns}{by} ({report.close_reason})."
    bad = failed or any(one.stage == ENTRYPOINT for one in found)
    return Sentence("end", "bad" if bad else "info", text, tuple(_places(fatal[-1:], found)))


def _what(one: Failure) -> str:
    return f"the {STAGES.get(one.stage, one.stage.replace('_', ' '))}{f' {one.name}' if one.name else ''}"


def _places(some: Iterable[Failure], all_: Sequence[Failure]) -> Iterator[Place]:
    for one in some:
        # compare by identity, because two failures can be equal
        number = next(n for n, other in enumerate(all_) if other is one)
        yield Place(turn=one.turn, at=one.at) if one.turn is not None else Place(failure=number, at=one.at)


def _failures(found: Sequence[Failure]) -> Iterator[Sentence]:
    """A sentence for each kind of failure. Repeated failures are counted, and the sentence has all their places."""
    numbers = {id(one): number for number, one in enumerate(found)}
    groups: dict[tuple[Any, ...], list[Failure]] = {}
    for one in found:
        key = (one.stage, one.name, reason_of(one), one.told, one.saved, one.by, one.attempts)
        groups.setdefault(key, []).append(one)
    ranked = sorted(groups.values(), key=lambda some: (bool(some[0].saved), some[0].stage == attr.KIND_TOOL))
    for some in ranked:
        places = tuple(
            Place(turn=one.turn, failure=None if one.turn is not None else numbers[id(one)], at=one.at) for one in some
        )
        level: Level = "warn" if some[0].saved else "bad"
        kind = "retry" if some[0].is_retry else "tool" if some[0].stage == attr.KIND_TOOL else "failure"
        yield Sentence(kind, level, _failure(some[0], len(some)), places)


def _failure(one: Failure, times: int) -> str:
    what = _what(one)
    what = what[0].upper() + what[1:]
    often = "" if times == 1 else f" {times:,} times"
    tries = f"{'' if times == 1 else ', each'} after {one.attempts} attempts" if one.attempts > 1 else ""
    if one.is_retry:
        again = f"{one.attempts} attempts" if one.attempts > 1 else "another attempt"
        return f"{what} worked only after {again}{often} ({reason_of(one)})."
    if one.stage == attr.KIND_TOOL:
        told = "" if not one.told or one.told in reason_of(one) else f"; the model was given: {one.told}"
        return f"{what} failed{often} ({reason_of(one)}){told}."
    saved = f"; {one.by or 'another request'} answered instead" if one.saved else ""
    return f"{what} failed{often}{tries} ({reason_of(one)}){saved}."


def _unanswered(report: SessionReport) -> Iterator[Sentence]:
    groups: dict[str, list[Turn]] = {}
    for turn in report.turns:
        if turn.answered == "no":
            groups.setdefault(turn.why_not, []).append(turn)
    for why, turns in groups.items():
        waits = [turn.latency.wait for turn in turns if turn.latency.wait is not None]
        longest = f"; the user waited {'up to ' if len(turns) > 1 else ''}{seconds(max(waits))}" if waits else ""
        text = f"{count(len(turns), 'answer')} never came because {UNANSWERED.get(why, 'of ' + why)}{longest}."
        level: Level = "warn" if why in (attr.END_NO_REPLY, attr.END_INTERRUPTED) else "bad"
        yield Sentence("never_answered", level, text, tuple(_of(turn) for turn in turns))


def _of(turn: Turn) -> Place:
    return Place(turn=turn.index, at=turn.start_ns / 1e9)


def _having(report: SessionReport, flag: str) -> list[Turn]:
    return [turn for turn in report.turns if any(one.name == flag for one in turn.flags)]


def _waits(report: SessionReport) -> Iterator[Sentence]:
    limit = report.thresholds[attr.FLAG_SLOW]
    waits = [turn for turn in report.turns if turn.latency.e2e_latency is not None]
    if not waits:
        return
    worst = max(waits, key=lambda turn: round(turn.latency.e2e_latency or 0.0, 3))
    longest = f"{seconds(worst.latency.e2e_latency or 0.0)}{_mostly(worst.silence)}"
    slow = [turn for turn in waits if any(one.name == attr.FLAG_SLOW for one in turn.flags)]
    if not slow:
        yield Sentence("wait", "info", f"No wait reached {limit:g} s; the longest was {longest}.", (_of(worst),))
        return
    share = f"{len(slow):,} of {count(len(waits), 'wait')}"
    text = f"{share} for the agent's first words took {limit:g} s or longer; the longest was {longest}."
    yield Sentence("wait", "warn", text, tuple(map(_of, slow)))


def _mostly(stages: Any) -> str:
    stage = largest(stages)
    return "" if stage is None else f", most of it for {WAITED_FOR[stage]} ({seconds(stages[stage])})"


def _dead_air(report: SessionReport) -> Iterator[Sentence]:
    limit = report.thresholds[attr.FLAG_DEAD_AIR]
    turns = _having(report, attr.FLAG_DEAD_AIR)
    if turns:
        sums = by_stage(segment for turn in turns for gap in turn.gaps for segment in gap.path)
        whole = sum(turn.latency.dead_air or 0.0 for turn in turns)
        text = (
            f"{count(len(turns), 'turn')} had {limit:g} s or more of dead air, {seconds(whole)} in all{_mostly(sums)}."
        )
        yield Sentence("dead_air", "warn", text, tuple(map(_of, turns)))


def _cutoffs(report: SessionReport) -> Iterator[Sentence]:
    turns = [turn for turn in report.turns if turn.false_cutoff]
    if turns:
        who = "the user, who had only paused"
        text = f"The agent cut {who}, off {_often(len(turns))}."
        yield Sentence("false_cutoff", "warn", text, tuple(map(_of, turns)))


def _interruptions(report: SessionReport) -> Iterator[Sentence]:
    turns = [turn for turn in report.turns if turn.interruptions]
    if turns:
        rate = report.interruption_rate
        share = f", in {rate:.0%} of the turns in which it spoke" if rate else ""
        text = f"The agent was interrupted {_often(report.interruptions)}{share}."
        yield Sentence("interrupted", "warn", text, tuple(map(_of, turns)))
    others = ((report.false_interruptions, "false interruption"), (report.backchannels, "backchannel"))
    parts = [count(number, noun) for number, noun in others if number]
    if parts:
        some = tuple(_of(turn) for turn in report.turns if turn.false_interruptions or turn.backchannels)
        yield Sentence("overlap", "info", f"There {'were' if len(parts) > 1 else 'was'} {spoken_list(parts)}.", some)


def _often(times: int) -> str:
    return "once" if times == 1 else f"{times:,} times"


def _usage(report: SessionReport) -> Iterator[Sentence]:
    rows = [f"{kind} {name} {figures}".replace("  ", " ") for kind, name, figures, _ in usage(report)]
    if rows:
        yield Sentence("usage", "info", f"Used: {'; '.join(rows)}.")
