"""The sessions of livekit_otel in a ClickHouse table, without their reports.

Whether a session is complete follows from its counts (spans, lost entries) and its close. The journal, which reports
also use, is not read. To read one attribute from a Map column, the server reads all attributes of the row. Therefore
attributes are read from rows of session spans only, and from all rows of those traces whose sessions did not count
them: calls that broke off, still run, or lost spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from .. import attributes as attr
from ..spans import finite
from .base import ListedSession
from .clickhouse_search import AROUND, OURS, SIGNS, batches, list_parameters, names_in, picked
from .clickhouse_table import Int64, Table, ids_in
from .remote import Remote

__all__ = ["END", "START", "OwnSessions"]

START = "toUnixTimestamp64Nano(min(Timestamp)) AS start"
END = "max(toUnixTimestamp64Nano(Timestamp) + greatest(toInt64(Duration), 0)) AS end"
_KINDS = names_in((attr.KIND_SESSION, attr.KIND_SESSION_START, attr.KIND_SESSION_END, attr.KIND_SESSION_REPORT))
#: column of the result -> attribute of a session
_SHOWN = {
    "conversation": attr.BACKEND_SESSION_ID,
    "started": attr.SESSION_STARTED_AT,
    "turns": attr.SESSION_TURNS,
    "reason": attr.SESSION_CLOSE_REASON,
    "ended_by": attr.SESSION_ENDED_BY,
    "counted": attr.SESSION_SPAN_COUNT,
    "lost": attr.SESSION_LOST,
    "follows": attr.SESSION_REPORT_FOLLOWS,
    "final": attr.REPORT_FINAL,
    **{flag: attr.flagged(flag) for flag in attr.FLAG_NAMES},
}
_TURN = f"SpanName = '{attr.KIND_TURN}'"
_STAGE = names_in(attr.STAGE_KINDS)
#: The number of turns: those with a span, and those that broke off, of which only stages are there. A stage below the
#: session belongs to no turn; the parents of spans that are not stages are sessions.
_TURNS = (
    "length(arrayFilter(one -> one != '' AND NOT has(arrayConcat("
    f"groupUniqArrayIf(SpanId, {_STAGE} OR SpanName = '{attr.KIND_SESSION}'), groupUniqArrayIf(SpanId, {_TURN}), "
    f"groupUniqArrayIf(ParentSpanId, NOT {_STAGE})), one), groupUniqArrayIf(ParentSpanId, {_STAGE}))) "
    f"+ uniqExactIf(SpanId, {_TURN}) AS turns"
)


class _Trace(msgspec.Struct):
    trace: str
    spans: Int64
    end: Int64


class _Session(msgspec.Struct):
    """What the session's own spans say."""

    trace: str
    session: str
    start: Int64
    end: Int64
    ended: Int64 = 0
    conversation: str = ""
    started: str = ""
    turns: str = ""
    reason: str = ""
    ended_by: str = ""
    counted: str = ""
    lost: str = ""
    follows: str = ""
    final: str = ""
    dead_air: str = ""
    failed: str = ""
    false_cutoff: str = ""
    interrupted: str = ""
    never_answered: str = ""
    slow: str = ""


class _Counted(msgspec.Struct):
    """What is counted from all spans of a session."""

    trace: str
    session: str
    start: Int64
    end: Int64
    turns: Int64
    conversation: str
    dead_air: Int64
    failed: Int64
    false_cutoff: Int64
    interrupted: Int64
    never_answered: Int64
    slow: Int64


class OwnSessions:
    """The sessions of livekit_otel that an address asks for."""

    def __init__(self, remote: Remote, table: Table) -> None:
        self._remote, self._table = remote, table
        self._session = table.attribute(attr.SESSION_ID)
        self._conversation = table.attribute(attr.BACKEND_SESSION_ID)
        self._parameters = list_parameters(remote)
        matching = f"({self._session} = {{session:String}} OR {self._conversation} = {{session:String}})"
        self._matching = matching if remote.session else f"{self._session} != ''"

    def sessions(self) -> list[ListedSession]:
        """The sessions, in no order."""
        traces = self._traces()
        found = {(one.trace, one.session): one for one in self._sessions()} if traces else {}
        said: Counter[str] = Counter()
        for one in found.values():
            said[one.trace] += _number(one.counted) or 0
        several = Counter(one.trace for one in found.values())
        whole = {one.trace for one in traces.values() if said[one.trace] == one.spans}
        listed = []
        for counted in self._counted(trace_id for trace_id in traces if trace_id not in whole):
            own = found.pop((counted.trace, counted.session), None)
            complete = own is not None and 0 < said[counted.trace] <= traces[counted.trace].spans
            listed.append(_of_counts(counted, own, whole=complete))
        for one in found.values():
            # if a trace has several sessions, its end is not the end of each
            end = traces[one.trace].end if one.trace in traces and several[one.trace] == 1 else one.end
            listed.append(_listed(one, end / 1e9, _number(one.turns), whole=one.trace in whole))
        return listed

    def _traces(self) -> dict[str, _Trace]:
        """All traces with spans in the period: their ends, and numbers of spans that session.end counts."""
        count = f"uniqExactIf(SpanId, SpanName != '{attr.KIND_SESSION_REPORT}') AS spans"
        sql = f"SELECT TraceId AS trace, {count}, {END} FROM {{table}} WHERE {self._within()} GROUP BY trace"
        return {one.trace: one for one in self._table.rows(_Trace, sql, self._parameters)}

    def _sessions(self) -> Iterable[_Session]:
        shown = ", ".join(f"max({self._table.attribute(name)}) AS {alias}" for alias, name in _SHOWN.items())
        sql = (
            f"SELECT TraceId AS trace, {self._session} AS session, {START}, {END}, "
            f"countIf(SpanName = '{attr.KIND_SESSION_END}') AS ended, {shown} "
            f"FROM {{table}} WHERE {self._within()} AND {_KINDS} AND {self._matching} GROUP BY trace, session"
        )
        return self._table.rows(_Session, sql, self._parameters)

    def _counted(self, trace_ids: Iterable[str]) -> Iterable[_Counted]:
        flags = self._table.attribute(attr.FLAGS)
        counts = ", ".join(
            f"uniqExactIf(SpanId, {_TURN} AND position({flags}, '{name}') > 0) AS {name}" for name in attr.FLAG_NAMES
        )
        for ids in batches(trace_ids):
            sql = (
                f"SELECT TraceId AS trace, {self._session} AS session, {START}, {END}, {_TURNS}, "
                f"max({self._conversation}) AS conversation, {counts} FROM {{table}} WHERE {self._around()} "
                f"AND TraceId IN {ids_in(ids)} AND {self._matching} GROUP BY trace, session"
            )
            yield from self._table.rows(_Counted, sql, self._parameters)

    def _within(self) -> str:
        if self._remote.trace:
            return f"TraceId = {{trace:String}} AND {OURS}"
        return f"{self._around()} AND TraceId IN ({picked(self._remote, self._table, f'{SIGNS} AND {OURS}')})"

    def _around(self) -> str:
        return OURS if self._remote.trace else f"{AROUND} AND {OURS}"


def _of_counts(counted: _Counted, own: _Session | None, *, whole: bool) -> ListedSession:
    """A session whose spans were counted, with what its own spans say as far as they are there."""
    one = own or _Session(counted.trace, counted.session, counted.start, counted.end)
    one.start = counted.start
    one.conversation = one.conversation or counted.conversation
    for flag in attr.FLAG_NAMES:
        setattr(one, flag, str(getattr(counted, flag)))
    return _listed(one, counted.end / 1e9, counted.turns, whole=whole)


def _listed(one: _Session, ended_at: float, turns: int | None, *, whole: bool) -> ListedSession:
    closed = bool(one.ended) and bool(one.reason) and one.ended_by != attr.ENDED_FAILED_START
    reported = one.follows != "true" or one.final == "true"
    return ListedSession(
        trace_id=one.trace,
        session_id=one.session,
        conversation_id=one.conversation,
        started_at=finite(one.started) or one.start / 1e9,
        ended_at=ended_at,
        turns=turns,
        close_reason=one.reason,
        complete=closed and whole and reported and not _number(one.lost),
        flagged={flag: count for flag in attr.FLAG_NAMES if (count := _number(getattr(one, flag)))},
    )


def _number(text: str) -> int | None:
    found = finite(text)
    return None if found is None else int(found)
