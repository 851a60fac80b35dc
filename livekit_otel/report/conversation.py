"""The conversation of a call: speech, tools, waits and failures, in order.

All renderers show these entries. Words have the time at which they became audible, tools and silences the time of
their start, failures and interruptions the time at which they happened.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, flag, number, text
from ..turns import Gap
from ..turns.around import is_playout
from .failures import Failure
from .made import made_by
from .model import SessionReport
from .said import message_text
from .tool_calls import ToolCall, tool_calls
from .turns import Turn

__all__ = ["Entry", "Kind", "Part", "conversation"]

Kind = Literal["user", "agent", "tool", "wait", "gap", "handoff", "failure", "interruption", "unheard"]
Item = Mapping[str, Any]
#: number of characters by which spoken words are matched with the generated text
_BEGINNING = 20
_UNSAID = "not heard (not in the conversation)"
_PERHAPS = "perhaps heard (the trace breaks off)"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the conversation.

    Attributes:
        kind: kind of the event. ``unheard``: words that a model generated, and that probably nobody heard.
        at: Unix time in seconds; None if unknown.
        text: words, or the agent that took over. Content, of any length and with any character.
        turn: for a ``wait``, the turn whose first silence it is.
        gap: for a ``gap``, the later silence.
        tool: for a ``tool``, the call.
        failure: for a ``failure``, the failure.
        interrupted: whether the agent was interrupted in these words.
        heard: for interrupted words, how many seconds of them were heard; None if unknown.
        unheard: for interrupted words, the rest that was not heard, as far as the trace has it.
        note: for an ``interruption`` its verdict; for ``unheard`` words whether and why they were not heard; for words
            in which the trace broke off ``unfinished``.
        withheld: whether there were words that were not recorded.
    """

    kind: Kind
    at: float | None
    text: str = ""
    turn: Turn | None = None
    gap: Gap | None = None
    tool: ToolCall | None = None
    failure: Failure | None = None
    interrupted: bool = False
    heard: float | None = None
    unheard: str = ""
    note: str = ""
    withheld: bool = False


class Part(msgspec.Struct, frozen=True):
    """The entries of one turn, or between two turns, by time."""

    turn: Turn | None
    entries: tuple[Entry, ...]


def conversation(report: SessionReport, failures: Sequence[Failure]) -> Iterator[Part]:
    """The turns in order, with the events between them.

    Args:
        report: the call.
        failures: the failures of the call. Each gets one entry, except failed tools, whose own entry shows it.
    """
    turns = sorted(report.turns, key=lambda turn: turn.start_ns)
    starts = [turn.start_ns / 1e9 for turn in turns]
    groups = _groups(report.history, starts)
    calls = tool_calls(report)
    own: dict[int | None, list[Entry]] = {}
    for one in failures:
        if one.stage != attr.KIND_TOOL:
            own.setdefault(one.turn, []).append(Entry(kind="failure", at=one.at, failure=one))
    outside = sorted(own.get(None, ()), key=lambda one: one.at or 0.0)
    first = [entry for item in groups[0] if (entry := _item(item, calls, report.redacted)) is not None]
    if first:
        yield Part(None, tuple(first))
    shown = 0
    for turn, start, items in zip(turns, starts, groups[1:], strict=True):
        while shown < len(outside) and (outside[shown].at or 0.0) <= start:
            yield Part(None, (outside[shown],))
            shown += 1
        entries = list(_turn(turn, items, calls, report))
        yield Part(turn, tuple(_by_time([*entries, *own.get(turn.index, ())])))
    yield from (Part(None, (one,)) for one in outside[shown:])


def _groups(history: Iterable[Item], starts: Sequence[float]) -> list[list[Item]]:
    """The items before the first turn, and the items of each turn."""
    groups: list[list[Item]] = [[] for _ in range(len(starts) + 1)]
    at = 0.0
    for item in history:
        # keep the order of the history: an item without a time, or with an earlier one, stays after its predecessor
        at = max(at, number(item, "created_at") or 0.0)
        groups[bisect_right(starts, at)].append(item)
    return groups


def _by_time(entries: Iterable[Entry]) -> Iterator[Entry]:
    at, keyed = 0.0, []
    for place, entry in enumerate(entries):
        at = entry.at if entry.at is not None else at
        keyed.append((at, place, entry))
    yield from (entry for _, _, entry in sorted(keyed, key=lambda one: one[:2]))


def _turn(turn: Turn, items: Sequence[Item], calls: dict[str, ToolCall], report: SessionReport) -> Iterator[Entry]:
    said = [entry for item in items if (entry := _item(item, calls, report.redacted)) is not None]
    if not any(entry.kind in ("user", "agent") for entry in said) and (turn.span is None or not report.history):
        said = [*_words(turn), *said]
    elif turn.unfinished and not any(entry.kind == "agent" for entry in said):
        said += [entry for entry in _words(turn) if entry.kind == "agent"]
    stopped = turn.latency.stopped_speaking_at
    made = made_by(turn)
    yield from _at_their_times(turn, said, made)
    if turn.silence:
        yield Entry(kind="wait", at=turn.start_ns / 1e9 if stopped is None else stopped, turn=turn)
    for gap in turn.gaps:
        yield Entry(kind="gap", at=gap.start_ns / 1e9, gap=gap, turn=turn)
    for span in turn.stages:
        if span.kind == attr.KIND_INTERRUPTION:
            verdict = text(span.attributes, attr.INTERRUPTION_VERDICT) or attr.VERDICT_UNKNOWN
            yield Entry(kind="interruption", at=span.start_ns / 1e9, note=verdict)
        elif span.kind == attr.KIND_TOOL and (call := calls.pop(span.span_id, None)) is not None:
            # no history item has it: the call broke off, or the item was removed
            yield Entry(kind="tool", at=call.at, tool=call)
    heard = " ".join(word for entry in said if entry.kind == "agent" for word in entry.text.split())
    cut = (_start(entry.text) for entry in said if entry.kind == "agent" and entry.interrupted)
    begun = tuple(start for start in cut if start)
    for one in made:
        # all words, or the first words that were heard; an answer that was cut off at once may have fewer
        first = " ".join(one.text[:_BEGINNING].split())
        if one.why or (first not in heard and not one.text.startswith(begun)):
            # without the end of the turn it is unknown how much of this was heard
            why = one.why or (_PERHAPS if turn.span is None else _UNSAID)
            yield Entry(kind="unheard", at=one.at, text=one.text, note=why)


def _item(item: Item, calls: dict[str, ToolCall], redacted: bool) -> Entry | None:
    kind, at = item.get("type"), number(item, "created_at")
    if kind == "message" and item.get("role") in ("user", "assistant"):
        words = message_text(item)
        who: Kind = "user" if item["role"] == "user" else "agent"
        cut = bool(item.get("interrupted"))
        return Entry(kind=who, at=at, text=words, interrupted=cut, withheld=redacted and not words)
    if kind == "function_call":
        call = calls.pop(str(item.get("call_id")), None)
        if call is not None:
            calls.pop(call.span_id, None)
            return Entry(kind="tool", at=call.at, tool=call)
    if kind == "agent_handoff" and item.get("old_agent_id"):
        names = (str(item.get("old_agent_id") or ""), str(item.get("new_agent_id") or ""))
        return Entry(kind="handoff", at=at, text=names[1], note=names[0])
    return None


def _words(turn: Turn) -> Iterator[Entry]:
    """The words of a turn that no history item contains."""
    if turn.user_text:
        yield Entry(kind="user", at=turn.start_ns / 1e9, text=turn.user_text)
    if turn.agent_text:
        answered = turn.derivation.answered_ns
        at = (turn.end_ns if answered is None else answered) / 1e9
        yield Entry(kind="agent", at=at, text=turn.agent_text, note="unfinished" if turn.unfinished else "")


def _at_their_times(turn: Turn, said: Iterable[Entry], made: Sequence[Any]) -> Iterator[Entry]:
    """Move the user's first words to the start of their speech, and the agent's words to the start of their playout."""
    playouts = [one for one in turn.stages if one.kind == attr.KIND_PLAYBACK and is_playout(one.attributes)]
    asked = False
    for entry in said:
        if entry.kind == "user" and not asked:
            asked = True
            started = turn.latency.started_speaking_at
            yield _moved(entry, turn.start_ns / 1e9 if started is None else started)
        elif entry.kind == "agent":
            playout = _next(playouts, entry)
            moved = entry if playout is None else _moved(entry, playout.start_ns / 1e9)
            cut = entry.interrupted or (playout is not None and flag(playout.attributes, attr.PLAYBACK_INTERRUPTED))
            if cut:
                heard = None if playout is None else number(playout.attributes, attr.PLAYBACK_POSITION)
                moved = msgspec.structs.replace(moved, interrupted=True, heard=heard, unheard=_rest(entry.text, made))
            yield moved
        else:
            yield entry


def _moved(entry: Entry, at: float) -> Entry:
    return msgspec.structs.replace(entry, at=at)


def _next(playouts: list[SpanRecord], entry: Entry) -> SpanRecord | None:
    """The playout of a message: the next one that had not ended when the message was created."""
    while playouts:
        one = playouts.pop(0)
        if entry.at is None or one.end_ns / 1e9 >= entry.at:
            return one
    return None


def _start(heard: str) -> str:
    """Heard words without the marks of a text that was cut."""
    return heard.rstrip(" …—-")


def _rest(heard: str, made: Iterable[Any]) -> str:
    """The generated words after the words that were heard."""
    start = _start(heard)
    whole = next((one.text for one in made if start and one.text.startswith(start) and len(one.text) > len(start)), "")
    return whole[len(start) :].strip()
