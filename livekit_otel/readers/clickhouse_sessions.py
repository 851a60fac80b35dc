"""Lists the sessions of a ClickHouse table. The server aggregates, and only the attributes of the list are read.

Whether a session is complete follows from its counts (spans, lost entries) and its close. The journal, which reports
also use, is not read. To read one attribute from a Map column, the server reads all attributes of the row. Therefore
the queries read attributes from rows of session spans only, and count turns only if there is no session.end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from .. import attributes as attr
from .backend import Backend
from .base import Context, ListedSession, Problem
from .clickhouse import connected
from .clickhouse_search import SIGNS, picked
from .clickhouse_table import WHAT, Table
from .remote import Remote

__all__ = ["sessions"]

#: Default number of sessions in a list.
_LIMIT = 10_000
_DAY = 86_400_000_000_000
_KINDS = ", ".join(f"'{kind}'" for kind in (attr.KIND_SESSION, attr.KIND_SESSION_START, attr.KIND_SESSION_END))
_END = "max(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)) AS end"
#: column of the result -> attribute of a session
_SHOWN = {
    "conversation": attr.BACKEND_SESSION_ID,
    "started": attr.SESSION_STARTED_AT,
    "turns": attr.SESSION_TURNS,
    "reason": attr.SESSION_CLOSE_REASON,
    "ended_by": attr.SESSION_ENDED_BY,
    "counted": attr.SESSION_SPAN_COUNT,
    "lost": attr.SESSION_LOST,
    **{flag: attr.flagged(flag) for flag in attr.FLAG_NAMES},
}


class _Trace(msgspec.Struct):
    trace: str
    spans: int | str
    end: int | str


class _Session(msgspec.Struct):
    trace: str
    session: str
    start: int | str
    end: int | str
    ended: int | str
    conversation: str = ""
    started: str = ""
    turns: str = ""
    reason: str = ""
    ended_by: str = ""
    counted: str = ""
    lost: str = ""
    dead_air: str = ""
    failed: str = ""
    false_cutoff: str = ""
    interrupted: str = ""
    never_answered: str = ""
    slow: str = ""


class _Turns(msgspec.Struct):
    trace: str
    session: str
    turns: int | str


def sessions(source: str, context: Context) -> Iterator[ListedSession]:
    """The sessions that match the address, newest last.

    Raises:
        SourceError: there are none, or the server failed.
    """
    remote, backend, table = connected(source, context, limit=_LIMIT)
    return _List(remote, backend, table, context).sessions()


class _List:
    def __init__(self, remote: Remote, backend: Backend, table: Table, context: Context) -> None:
        self._remote, self._backend, self._table, self._context = remote, backend, table, context
        self._parameters: dict[str, str | int] = {
            "since": remote.since_ns,
            "until": remote.until_ns,
            "earliest": remote.since_ns - _DAY,
            "latest": remote.until_ns + _DAY,
            "session": remote.session,
            "service": remote.service,
            "trace": remote.trace,
            "limit": remote.limit + 1,
        }

    def sessions(self) -> Iterator[ListedSession]:
        found = self._sessions()
        if not found:
            raise self._remote.nothing(WHAT, "check database, table and service")
        traces = self._traces()
        turns = self._turns() if any(not int(one.ended) for one in found) else {}
        several = Counter(one.trace for one in found)
        counted: Counter[str] = Counter()
        for one in found:
            counted[one.trace] += _number(one.counted) or 0
        for one in sorted(found, key=lambda one: (int(one.start), one.session)):
            trace = traces.get(one.trace)
            whole = trace is not None and counted[one.trace] == int(trace.spans)
            # if a trace has several sessions, its end is not the end of each
            end = int(trace.end) if trace is not None and several[one.trace] == 1 else int(one.end)
            number = turns.get((one.trace, one.session), 0) if not int(one.ended) else _number(one.turns)
            yield _listed(one, end / 1e9, number, whole)

    def _sessions(self) -> list[_Session]:
        table = self._table
        shown = ", ".join(f"max({table.attribute(name)}) AS {alias}" for alias, name in _SHOWN.items())
        session = f"{table.attribute(attr.SESSION_ID)}"
        only = f"AND {session} = {{session:String}}" if self._remote.session else f"AND {session} != ''"
        sql = (
            f"SELECT TraceId AS trace, {session} AS session, toUnixTimestamp64Nano(min(Timestamp)) AS start, {_END}, "
            f"countIf(SpanName = '{attr.KIND_SESSION_END}') AS ended, {shown} "
            f"FROM {{table}} WHERE {self._within()} AND SpanName IN ({_KINDS}) {only} GROUP BY trace, session"
        )
        found = list(table.rows(_Session, sql, self._parameters))
        traces = list(dict.fromkeys(one.trace for one in sorted(found, key=lambda one: -int(one.end))))
        if len(traces) > self._remote.limit:
            reason = f"only the newest {self._remote.limit} traces are listed; for others raise limit= or set until="
            self._context.problem(Problem(self._remote.shown, None, reason))
            kept = set(traces[: self._remote.limit])
            found = [one for one in found if one.trace in kept]
        return found

    def _traces(self) -> dict[str, _Trace]:
        sql = (
            f"SELECT TraceId AS trace, uniqExact(SpanId) AS spans, {_END} "
            f"FROM {{table}} WHERE {self._within()} GROUP BY trace"
        )
        return {one.trace: one for one in self._table.rows(_Trace, sql, self._parameters)}

    def _turns(self) -> dict[tuple[str, str], int]:
        """Number of turn spans of sessions without a session.end, by trace and session."""
        session = self._table.attribute(attr.SESSION_ID)
        sql = (
            f"SELECT TraceId AS trace, {session} AS session, uniqExact(SpanId) AS turns "
            f"FROM {{table}} WHERE {self._within()} AND SpanName = '{attr.KIND_TURN}' AND TraceId NOT IN "
            f"(SELECT TraceId FROM {{table}} WHERE {self._range()} AND SpanName = '{attr.KIND_SESSION_END}') "
            "GROUP BY trace, session"
        )
        found = self._table.rows(_Turns, sql, self._parameters)
        return {(one.trace, one.session): int(one.turns) for one in found}

    def _range(self) -> str:
        """The period, extended by a day on both sides to count all spans of calls that overlap it."""
        since, until = (f"fromUnixTimestamp64Nano({{{name}:Int64}})" for name in ("earliest", "latest"))
        return f"Timestamp >= {since} AND Timestamp < {until} AND ScopeName = '{attr.SCOPE}'"

    def _within(self) -> str:
        if self._remote.trace:
            return f"TraceId = {{trace:String}} AND ScopeName = '{attr.SCOPE}'"
        return f"{self._range()} AND TraceId IN ({picked(self._remote, self._table, SIGNS)})"


def _listed(one: _Session, ended_at: float, turns: int | None, whole: bool) -> ListedSession:
    closed = bool(one.reason) and one.ended_by != attr.ENDED_FAILED_START
    started = _float(one.started)
    return ListedSession(
        session_id=one.session,
        conversation_id=one.conversation,
        started_at=started or int(one.start) / 1e9,
        ended_at=ended_at,
        turns=turns,
        close_reason=one.reason,
        complete=bool(int(one.ended)) and closed and whole and not _number(one.lost),
        flagged={flag: count for flag in attr.FLAG_NAMES if (count := _number(getattr(one, flag)))},
    )


def _float(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _number(text: str) -> int | None:
    found = _float(text)
    return None if found is None else int(found)
