"""Finds the traces of calls in a ClickHouse table. The server selects them; only their IDs are returned.

A call has spans of livekit_otel, or only LiveKit's own (native) ones. Where a trace has both, livekit_otel's count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from .. import attributes as attr
from .base import Context, Problem
from .clickhouse_table import Int64, Table, ids_in, is_id
from .remote import Remote

__all__ = [
    "AROUND",
    "JOB",
    "NATIVE",
    "OURS",
    "SIGNS",
    "TOPS",
    "Found",
    "Search",
    "batches",
    "list_parameters",
    "names_in",
    "picked",
    "picked_native",
    "siblings",
]

T = TypeVar("T")

#: LiveKit's span of a job, which can have several sessions.
JOB = "job_entrypoint"
_BATCH = 100
_DAY = 86_400_000_000_000
#: The last time of a column with nanoseconds.
_LAST_NS = 9_223_372_036_000_000_000


def names_in(names: Iterable[str]) -> str:
    """SQL: a span has one of these names. They must be constants of this package."""
    return f"SpanName IN ({', '.join(repr(name) for name in sorted(names))})"


OURS = f"ScopeName = '{attr.SCOPE}'"
NATIVE = f"ScopeName = '{attr.NATIVE_SCOPE}'"
#: Spans that sessions are found by. A crash can lose any of them, but hardly all.
SIGNS = names_in((attr.KIND_SESSION, attr.KIND_SESSION_START, attr.KIND_TURN, attr.KIND_SESSION_END))
#: The fewest of these spans, because ClickHouse reads all attributes of each such row from a Map.
_FIRST_SIGNS = names_in((attr.KIND_SESSION, attr.KIND_SESSION_START))
_NATIVE_SIGNS = names_in(attr.NATIVE_EVIDENCE)
_HEADS = (attr.NATIVE_SESSION, JOB)
_WITHIN = "Timestamp >= fromUnixTimestamp64Nano({since:Int64}) AND Timestamp < fromUnixTimestamp64Nano({until:Int64})"
#: The period, extended by a day on both sides to have all spans of calls that overlap it.
AROUND = _WITHIN.replace("{since:", "{earliest:").replace("{until:", "{latest:")
#: How the traces of a call without a session span are recognised: its spans have no parent.
TOPS = f"countIf(ParentSpanId = '' AND NOT {names_in(_HEADS)}) * (countIf(SpanName = '{attr.NATIVE_SESSION}') = 0)"
_NEWEST = "GROUP BY TraceId ORDER BY max(Timestamp) DESC, TraceId LIMIT {limit:UInt64}"
#: Session IDs of native traces: the trace's ID, followed by that of the session span if the trace has several.
_NATIVE_ID = re.compile(r"([0-9a-f]{32})(-[0-9a-f]{16})?")


class Found(msgspec.Struct):
    """A trace. ``own``: number of found spans of livekit_otel. ``tops``: whether it may be a part of a call."""

    TraceId: str
    own: Int64 = 1
    tops: Int64 = 0


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in lists short enough to be sent in an address."""
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def period(remote: Remote) -> dict[str, str | int]:
    """The period as parameters, as far as the server's times reach."""
    since, until = (min(max(ns, _DAY), _LAST_NS - _DAY) for ns in (remote.since_ns, remote.until_ns))
    return {"since": since, "until": until, "earliest": since - _DAY, "latest": until + _DAY}


def list_parameters(remote: Remote) -> dict[str, str | int]:
    """The parameters of all queries of this module."""
    return {
        **period(remote),
        "limit": remote.limit + 1,
        "session": remote.session,
        "service": remote.service,
        "trace": remote.trace,
        "home": home_of(remote.session),
    }


def picked(remote: Remote, table: Table, condition: str) -> str:
    """SQL for the IDs of the newest traces that have a span of a matching session in the period."""
    conditions = [_WITHIN, condition, *_service(remote)]
    if remote.session:
        names = (attr.SESSION_ID, attr.BACKEND_SESSION_ID)
        conditions.append("(" + " OR ".join(f"{table.attribute(name)} = {{session:String}}" for name in names) + ")")
    return f"SELECT TraceId FROM {{table}} WHERE {' AND '.join(conditions)} {_NEWEST}"


def picked_native(remote: Remote, table: Table) -> str:
    """SQL for the IDs of the newest traces that have native spans in the period, and none of livekit_otel."""
    if remote.session:
        return _of_session(table, remote, _NATIVE_SIGNS, "TraceId")
    theirs = f"{NATIVE} AND {_NATIVE_SIGNS}"
    where = " AND ".join((_WITHIN, f"(({theirs}) OR ({OURS} AND {SIGNS}))", *_service(remote)))
    newest = _NEWEST.replace("ORDER", f"HAVING countIf({OURS}) = 0 ORDER")
    return f"SELECT TraceId FROM {{table}} WHERE {where} {newest}"


def home_of(session: str) -> str:
    """The trace's ID in the session ID of a native call; empty if it is another ID."""
    found = _NATIVE_ID.fullmatch(session.lower())
    return found[1] if found else ""


def _service(remote: Remote) -> list[str]:
    return ["ServiceName = {service:String}"] if remote.service else []


def _of_session(table: Table, remote: Remote, condition: str, columns: str) -> str:
    """SQL for the native traces of a session. The IDs of rooms are on few spans of some releases."""
    if home_of(remote.session):
        own = "TraceId = {home:String}"
    else:
        names = (attr.CONVERSATION_ID, attr.NATIVE_PYTHON["room_sid"])
        own = "(" + " OR ".join(f"{table.attribute(name)} = {{session:String}}" for name in names) + ")"
    where = " AND ".join((_WITHIN, NATIVE, condition, own, *_service(remote)))
    return f"SELECT {columns} FROM {{table}} WHERE {where} {_NEWEST}"


def siblings(remote: Remote, table: Table, trace_ids: Sequence[str]) -> list[str]:
    """IDs of other traces of the same rooms.

    If the session span was never recorded, each of its children is the root of its own trace.
    """
    room = table.attribute(attr.CONVERSATION_ID)
    about = f"{AROUND} AND {NATIVE} AND {names_in(attr.NATIVE_SPANS)} AND {room} != ''"
    found: dict[str, None] = {}
    for ids in map(ids_in, batches(trace_ids)):
        rooms = f"SELECT {room} FROM {{table}} WHERE {about} AND TraceId IN {ids}"
        sql = f"SELECT DISTINCT TraceId FROM {{table}} WHERE {about} AND TraceId NOT IN {ids} AND {room} IN ({rooms})"
        found.update((one.TraceId, None) for one in table.rows(Found, sql, period(remote)))
    return [one for one in found if one not in set(trace_ids)]


class Search:
    """Searches for the traces that an address asks for. ``skipped``: an ID in the table that is not a trace's."""

    def __init__(self, remote: Remote, table: Table, context: Context) -> None:
        self._remote, self._table, self._context = remote, table, context
        self._parameters = list_parameters(remote)
        self.skipped = ""

    def results(self) -> Iterator[list[Found]]:
        """The results of searches that are worth trying in this order, until one of them yields spans."""
        remote, native = self._remote, self._context.native is not None
        if remote.trace:
            yield [Found(remote.trace)]
            if native:
                yield [Found(remote.trace, own=0)]
        elif remote.session:
            # spans may have been renamed in a pipeline, so the last search accepts any span of the session
            for condition in (_FIRST_SIGNS, SIGNS, "true"):
                yield self._newest(picked(remote, self._table, condition))
            if native or self._context.all_scopes:
                for names in (_HEADS, attr.NATIVE_SPANS):
                    columns = f"TraceId, 0 AS own, {TOPS} AS tops"
                    found = self._newest(_of_session(self._table, remote, names_in(names), columns))
                    yield self._with_siblings(found)
        elif self._context.all_scopes:
            yield self._newest(picked(remote, self._table, f"({OURS} OR {NATIVE})"))
        elif native:
            where = " AND ".join(
                (_WITHIN, f"(({OURS} AND {SIGNS}) OR ({NATIVE} AND {_NATIVE_SIGNS}))", *_service(remote))
            )
            columns = f"TraceId, countIf({OURS}) AS own, {TOPS} AS tops"
            yield self._with_siblings(self._newest(f"SELECT {columns} FROM {{table}} WHERE {where} {_NEWEST}"))
        else:
            yield self._newest(picked(remote, self._table, f"{SIGNS} AND {OURS}"))

    def _newest(self, sql: str) -> list[Found]:
        rows = list(self._table.rows(Found, sql, self._parameters))
        found = [one for one in rows if is_id(one.TraceId)]
        self.skipped = next((one.TraceId for one in rows if one.TraceId and one not in found), self.skipped)
        limit = self._remote.limit
        if len(found) > limit:
            reason = f"only the newest {limit} traces were read; for others raise limit= or set until="
            self._context.problem(Problem(self._remote.shown, None, reason))
        return found[:limit]

    def _with_siblings(self, found: list[Found]) -> list[Found]:
        parts = [one.TraceId for one in found if not one.own and one.tops]
        others = siblings(self._remote, self._table, parts) if parts else []
        known = {one.TraceId for one in found}
        return found + [Found(one, own=0) for one in others if one not in known]
