"""The sessions in a ClickHouse table that only LiveKit traced, without their reports.

A session span gives a session its start and end. Of a trace without one (the call runs, its process died, or the
provider came late) they are those of the first and last span. The server does not count turns: that takes all spans.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from .. import attributes as attr
from .base import ListedSession
from .clickhouse_own import END, START
from .clickhouse_search import (
    AROUND,
    JOB,
    NATIVE,
    OURS,
    TOPS,
    batches,
    list_parameters,
    names_in,
    picked_native,
    siblings,
)
from .clickhouse_table import Int64, Table, ids_in
from .remote import Remote

__all__ = ["NativeSessions"]

_CLOSE = "session_close"
_NAMES = names_in((attr.NATIVE_SESSION, _CLOSE, "session_start", JOB))
_OWN = names_in(attr.NATIVE_SPANS - {JOB})
#: column of the result -> attribute
_SHOWN = {
    "conversation": attr.CONVERSATION_ID,
    "room": attr.NATIVE_PYTHON["room_sid"],
    "reason": attr.NATIVE_PYTHON["close_reason"],
}


class _Head(msgspec.Struct):
    """A span that says something of a whole session."""

    trace: str
    span: str
    parent: str
    name: str
    start: Int64
    end: Int64
    conversation: str
    room: str
    reason: str


class _Rootless(msgspec.Struct):
    """A trace without a session span."""

    trace: str
    start: Int64
    end: Int64
    evidence: Int64
    tops: Int64
    conversation: str
    room: str
    reason: str


class NativeSessions:
    """The native sessions that an address asks for."""

    def __init__(self, remote: Remote, table: Table) -> None:
        self._remote, self._table = remote, table
        self._parameters = list_parameters(remote)

    def sessions(self) -> list[ListedSession]:
        """The sessions, in no order."""
        found: defaultdict[str, dict[str, _Head]] = defaultdict(dict)
        for one in self._heads():
            found[one.trace][one.span] = one
        listed: list[ListedSession] = []
        rooms: set[str] = set()
        for trace_id, spans in found.items():
            heads = sorted(spans.values(), key=lambda one: (one.start, one.span))
            if any(one.name == attr.NATIVE_SESSION for one in heads):
                listed += _rooted(trace_id, heads)
                rooms.update(one.conversation for one in heads)
        return listed + list(self._without_root(rooms))

    def _heads(self) -> Iterable[_Head]:
        shown = ", ".join(f"{self._table.attribute(name)} AS {alias}" for alias, name in _SHOWN.items())
        sql = (
            "SELECT TraceId AS trace, SpanId AS span, ParentSpanId AS parent, SpanName AS name, "
            "toUnixTimestamp64Nano(Timestamp) AS start, start + greatest(toInt64(Duration), 0) AS end, "
            f"{shown} FROM {{table}} WHERE {self._within()} AND {_NAMES}"
        )
        return self._table.rows(_Head, sql, self._parameters)

    def _without_root(self, rooms: set[str]) -> Iterator[ListedSession]:
        """Sessions without a session span. ``rooms``: those of the others, whose traces theirs are parts of."""
        roots = f"SELECT TraceId FROM {{table}} WHERE {self._within()} AND SpanName = '{attr.NATIVE_SESSION}'"
        where = f"{self._within()} AND TraceId NOT IN ({roots})"
        found = {one.trace: one for one in self._rootless(where)}
        parts = [one.trace for one in found.values() if one.tops and not self._remote.trace]
        for ids in batches(siblings(self._remote, self._table, parts)):
            where = f"{AROUND} AND {NATIVE} AND TraceId IN {ids_in(ids)}"
            found.update((one.trace, one) for one in self._rootless(where))
        calls: defaultdict[str, list[_Rootless]] = defaultdict(list)
        for one in found.values():
            calls[one.conversation or one.trace].append(one)
        for room, traces in calls.items():
            if room not in rooms and any(one.evidence for one in traces):
                yield _joined(traces)

    def _rootless(self, where: str) -> Iterable[_Rootless]:
        shown = ", ".join(f"max({self._table.attribute(name)}) AS {alias}" for alias, name in _SHOWN.items())
        sql = (
            f"SELECT TraceId AS trace, {START}, {END}, countIf({names_in(attr.NATIVE_EVIDENCE)}) AS evidence, "
            f"{TOPS} AS tops, {shown} FROM {{table}} WHERE {where} AND {_OWN} GROUP BY trace"
        )
        return self._table.rows(_Rootless, sql, self._parameters)

    def _within(self) -> str:
        """Native spans of the traces that were asked for, and that have no span of livekit_otel at any time."""
        if self._remote.trace:
            return f"TraceId = {{trace:String}} AND {NATIVE}"
        ids = picked_native(self._remote, self._table)
        theirs = f"SELECT TraceId FROM {{table}} WHERE {AROUND} AND {OURS} AND TraceId IN ({ids})"
        return f"{AROUND} AND {NATIVE} AND TraceId IN ({ids}) AND TraceId NOT IN ({theirs})"


def _rooted(trace_id: str, heads: list[_Head]) -> Iterator[ListedSession]:
    """The sessions of a trace, one for each session span. ``heads``: by start."""
    roots = [one for one in heads if one.name == attr.NATIVE_SESSION]
    starts = [one.start for one in roots]
    own: defaultdict[str, list[_Head]] = defaultdict(list)
    for one in heads:
        parent = next((root for root in roots if root.span in (one.span, one.parent)), None)
        own[(parent or roots[max(bisect_right(starts, one.start) - 1, 0)]).span].append(one)
    for root in roots:
        said = [one for one in own[root.span] if one.name != JOB]
        anywhere = [*said, *(one for one in heads if one.name == JOB)]
        yield ListedSession(
            trace_id=trace_id,
            session_id=trace_id if len(roots) == 1 else f"{trace_id}-{root.span}",
            conversation_id=_first(one.conversation for one in said) or _first(one.room for one in anywhere),
            started_at=root.start / 1e9,
            ended_at=root.end / 1e9,
            turns=None,
            close_reason=_first(one.reason for one in said if one.name == _CLOSE),
            complete=False,
            flagged=None,
        )


def _joined(traces: list[_Rootless]) -> ListedSession:
    traces.sort(key=lambda one: one.start)
    return ListedSession(
        trace_id=traces[0].trace,
        session_id=traces[0].trace,
        conversation_id=_first(one.conversation for one in traces) or _first(one.room for one in traces),
        started_at=traces[0].start / 1e9,
        ended_at=max(one.end for one in traces) / 1e9,
        turns=None,
        close_reason=_first(one.reason for one in traces),
        complete=False,
        flagged=None,
    )


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")
