"""The silences after the agent's first words in which the user was still waiting, and the stages behind them.

The agent owes speech from its first playout to the start of its last one. If that one is provisional, or missing, the
agent owes speech until the user speaks again, the session closes or the reply fails, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, text
from .around import Around, audible
from .gap_path import open_path, path_to
from .intervals import Interval, merged, without
from .model import Gap, Segment
from .spoken import provisional
from .stages import Stages, hook_ns
from .wait import Wait

__all__ = ["WholeWait", "whole_wait"]

#: nanoseconds; shorter silences are ignored
_SHORTEST = 1_000_000
#: nanoseconds; shorter parts of a silence are rounding errors of floating-point times
_EXACT = 1_000
#: number of silences per turn whose path is followed; the stages behind further ones are unknown
_MAX_PATHS = 100
_Path = Callable[[Interval], tuple[Segment, ...]]
_PLAYBACK, _OTHER = attr.SILENCE_STAGES[-2:]
#: end reasons that explain why there was no answer
_REASONS = (attr.END_FAILED, attr.END_INTERRUPTED, attr.END_SESSION_CLOSED, attr.END_NO_REPLY)


class WholeWait(msgspec.Struct, frozen=True, kw_only=True):
    """The wait of one turn beyond the first audio.

    Attributes:
        answer: the first playout that is not provisional.
        gaps: the silences, in order.
        answered: ``yes``, ``text``, ``no``; None if the user said nothing, or if the turn is still open.
        why_not: ``failed``, ``interrupted``, ``session_closed`` or ``no_reply`` for ``no``.
        acknowledged: whether a provisional playout began.
    """

    answer: SpanRecord | None = None
    gaps: tuple[Gap, ...] = ()
    answered: str | None = None
    why_not: str = ""
    acknowledged: bool = False


def whole_wait(stages: Stages, wait: Wait, turn: SpanRecord | None, *, has_user: bool, around: Around) -> WholeWait:
    """The wait of a turn; ``turn`` is its own span, if known."""
    first = wait.playback
    playbacks = [one for one in stages.playback if first is not None and one.start_ns >= first.start_ns]
    if len(playbacks) == 1 and not stages.tool:
        return WholeWait(answer=first, answered="yes" if has_user else None)
    reason = text(turn.attributes, attr.END_REASON) if turn is not None else ""
    ended_ns = turn.end_ns if turn is not None and reason else None
    # a turn that completed is over even if its tools still run: one of them asked the user, or works silently. In an
    # open turn, the answer may still follow speech that a tool runs beside.
    open_ns = playbacks[-1].end_ns if playbacks and not reason else None
    cut_ns = ended_ns
    if reason == attr.END_INTERRUPTED and playbacks and ended_ns is not None and around.until_ns is not None:
        # what was asked for after the user had begun to speak is part of the turn, and does not make it longer
        cut_ns = min(ended_ns, max(around.until_ns, playbacks[-1].end_ns))
    early = provisional(stages, playbacks, None if reason == attr.END_COMPLETED else cut_ns or open_ns)
    answer = next((one for one, is_early in zip(playbacks, early, strict=True) if not is_early), None)
    answered, why_not = _answered(answer, reason) if has_user else (None, "")
    until = playbacks[-1].start_ns if playbacks and (not early[-1] or not reason) else None
    if until is None and reason in _REASONS:
        # a turn without a reply ends at once, but its user waits until they speak again
        failed_ns = _failed_ns(stages, wait, ended_ns) if reason == attr.END_FAILED else None
        ends = (around.until_ns, failed_ns, ended_ns if reason == attr.END_SESSION_CLOSED else None)
        until = min((ns for ns in ends if ns is not None), default=None)
    since = first.start_ns if first is not None else wait.stopped_ns if has_user else None
    gaps: tuple[Gap, ...] = ()
    if since is not None and until is not None and until > since:
        open_end = partial(
            open_path, stages, unheard=wait if first is None else None, declined=reason == attr.END_NO_REPLY
        )
        gaps = tuple(_gaps(stages, playbacks, (since, until), around.heard, open_end))
    return WholeWait(
        answer=answer, gaps=gaps, answered=answered, why_not=why_not, acknowledged=any(early if reason else early[:-1])
    )


def _failed_ns(stages: Stages, wait: Wait, ended_ns: int | None) -> int | None:
    """When the reply failed. A reply made ahead, which the failure discarded, may have run until the turn's end."""
    if ended_ns is None or wait.eou is None or wait.released_ns is None or hook_ns(wait.eou) is None:
        return ended_ns
    counted = (*stages.llm, *stages.tts, *stages.tool, *stages.playback, *stages.nodes)
    return min(ended_ns, max([wait.released_ns, *(one.end_ns for one in counted)]))


def _answered(answer: SpanRecord | None, reason: str) -> tuple[str | None, str]:
    if answer is not None:
        return "yes", ""
    if reason == attr.END_COMPLETED:
        return "text", ""
    return ("no", reason) if reason else (None, "")


def _gaps(
    stages: Stages, playbacks: Sequence[SpanRecord], owed: Interval, noise: Sequence[Interval], open_end: _Path
) -> Iterator[Gap]:
    """Silences while speech was owed; if noise splits a silence, each part keeps its share of the path."""
    heard = merged(part for one in stages.playback for part in audible(one.start_ns, one.end_ns, one.attributes))
    voices = {one.start_ns: one for one in reversed(playbacks)}
    resumed = {start for start, _ in heard}
    for number, quiet in enumerate(without(owed, heard)):
        parts = [one for one in without(quiet, noise) if one[1] - one[0] >= _SHORTEST]
        if not parts:
            continue
        path: tuple[Segment, ...] = (Segment(_OTHER, *quiet),)
        if (voice := voices.get(quiet[1])) is not None and number < _MAX_PATHS:
            path = path_to(stages, quiet, voice)
        elif quiet[1] in resumed:
            # playback was only paused
            path = (Segment(_PLAYBACK, *quiet),)
        elif number < _MAX_PATHS:
            path = open_end(quiet)
        for start, end in parts:
            yield Gap(start_ns=start, end_ns=end, path=tuple(_part(path, start, end)))


def _part(path: Sequence[Segment], start: int, end: int) -> Iterator[Segment]:
    """The path between two times. LiveKit's times are exact to a microsecond, so a shorter segment is added to the
    stage before it."""
    last: Segment | None = None
    for one in path:
        begin, over = max(one.start_ns, start), min(one.end_ns, end)
        if begin >= over:
            continue
        if last is None:
            last = Segment(one.stage, begin, over)
        elif over - begin < _EXACT:
            last = Segment(last.stage, last.start_ns, over)
        elif last.end_ns - last.start_ns < _EXACT:
            last = Segment(one.stage, last.start_ns, over)
        else:
            yield last
            last = Segment(one.stage, begin, over)
    if last is not None:
        yield last
