"""Recognizes reports of the same call among reports of different sources: its trace, and LiveKit's own report of it.

Pure: it compares what reports say. Of several reports of one call, the one from the pipeline's spans says most, then
the one from LiveKit's own spans, then LiveKit's own report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from ..dialects import REPORT
from .model import PIPELINE, SessionReport

__all__ = ["Call", "call_of", "newest", "once"]

_T = TypeVar("_T")

#: part of the shorter of two sessions in which both must run; sessions that follow one another in a job have none
_TOGETHER = 0.5
_Key = tuple[str, str | int]


class Call(msgspec.Struct, frozen=True, gc=False):
    """By what a report of the same call is recognized.

    Attributes:
        rank: 0 for the pipeline's spans, 1 for LiveKit's own, 2 for LiveKit's report.
        started_at, ended_at: Unix seconds; None if unknown.
        job_id, room_id: empty if unknown.
        items: hashes of the ids of the chat history's items.
    """

    rank: int
    started_at: float | None
    ended_at: float | None
    job_id: str
    room_id: str
    items: tuple[int, ...]


def call_of(report: SessionReport) -> Call:
    """The marks of a report's call."""
    ids = {hash(one["id"]) for one in report.history if isinstance(one.get("id"), str)}
    rank = _rank(report)
    return Call(rank, report.started_at, report.ended_at, report.job_id, report.room_id, tuple(ids))


def once(values: Iterable[tuple[_T, Call]]) -> list[_T]:
    """The values whose call no other value, of a better source, describes, in their order."""
    pairs = list(values)
    calls = [call for _, call in pairs]
    if len({one.rank for one in calls}) < 2:
        return [value for value, _ in pairs]
    by_key: defaultdict[_Key, list[int]] = defaultdict(list)
    for at, one in enumerate(calls):
        for key in _keys(one):
            by_key[key].append(at)
    return [value for value, call in pairs if not (call.rank and _has_better(call, calls, by_key))]


def newest(reports: Iterable[SessionReport]) -> SessionReport | None:
    """The report of the session that started last, from its best source; None if there is no report."""
    best: dict[int, SessionReport] = {}
    for report in reports:
        rank = _rank(report)
        if rank not in best or _start(report) > _start(best[rank]):
            best[rank] = report
    return max(once((one, call_of(one)) for one in best.values()), key=_start, default=None)


def _start(report: SessionReport) -> tuple[float, str]:
    return report.started_at or 0.0, report.session_id


def _rank(report: SessionReport) -> int:
    return 0 if report.provenance == PIPELINE else 2 if report.provenance == REPORT else 1


def _keys(call: Call) -> Iterator[_Key]:
    yield from (("item", one) for one in call.items)
    # a job or a room can have several sessions, so these are candidates only
    if call.job_id:
        yield "job", call.job_id
    if call.room_id:
        yield "room", call.room_id


def _has_better(call: Call, calls: Sequence[Call], by_key: defaultdict[_Key, list[int]]) -> bool:
    candidates = {at for key in _keys(call) for at in by_key[key]}
    return any(calls[at].rank < call.rank and _is_same(call, calls[at]) for at in candidates)


def _is_same(one: Call, other: Call) -> bool:
    if not _ran_together(one, other) or (one.room_id and other.room_id and one.room_id != other.room_id):
        return False
    if one.items and other.items:
        # two sessions of one room at the same time have different items
        return not set(one.items).isdisjoint(other.items)
    return True


def _ran_together(one: Call, other: Call) -> bool:
    if one.started_at is None or other.started_at is None:
        return True
    ends = [one.started_at if one.ended_at is None else one.ended_at]
    ends.append(other.started_at if other.ended_at is None else other.ended_at)
    together = min(ends) - max(one.started_at, other.started_at)
    return together >= _TOGETHER * min(ends[0] - one.started_at, ends[1] - other.started_at)
