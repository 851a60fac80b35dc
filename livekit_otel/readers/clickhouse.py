"""ClickHouse tables written by the collector's exporter: ``clickhouse://host:8123/database/table?since=2h``.

``clickhouses://`` uses TLS, by default on port 8443. The default database is ``otel``, the default table
``otel_traces``. User and password come from the URL (``clickhouse://user:password@host``), or from
``CLICKHOUSE_USER`` and ``CLICKHOUSE_PASSWORD``. Every request is a GET, which the server runs read-only, and changes
no setting. Nested events and links of the rows are not read, because records do not contain them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from .. import attributes as attr
from ..errors import SourceError
from ..spans import SpanRecord
from ..transport.auth import basic
from .backend import Backend
from .base import Context, Problem
from .clickhouse_rows import Row, Rows
from .clickhouse_table import WHAT, Table
from .remote import Remote, parse

__all__ = ["SIGNS", "connected", "picked", "read"]

#: Spans that sessions are found by. A crash can lose any of them, but hardly all.
_KINDS = (attr.KIND_SESSION, attr.KIND_SESSION_START, attr.KIND_TURN, attr.KIND_SESSION_END)
SIGNS = "SpanName IN (" + ", ".join(f"'{kind}'" for kind in _KINDS) + ")"
_WITHIN = "Timestamp >= fromUnixTimestamp64Nano({since:Int64}) AND Timestamp < fromUnixTimestamp64Nano({until:Int64})"
#: The fewest of these spans, because ClickHouse reads all attributes of each such row from a Map.
_FIRST_SIGNS = f"SpanName IN ('{attr.KIND_SESSION}', '{attr.KIND_SESSION_START}')"
_OURS = f"ScopeName = '{attr.SCOPE}'"
_NATIVE = f"ScopeName = '{attr.NATIVE_SCOPE}'"


class _Trace(msgspec.Struct):
    TraceId: str


def read(source: str, context: Context) -> Iterator[SpanRecord]:
    """Span records of the sessions that the URL asks for; see :mod:`.remote` for its parameters."""
    remote, backend, table = connected(source, context)
    return _Search(remote, backend, table, context).records()


def connected(source: str, context: Context, **defaults: int) -> tuple[Remote, Backend, Table]:
    """Parse an address into its server and table. ``defaults`` go to :func:`.remote.parse`.

    Raises:
        SourceError: the address is invalid.
    """
    remote = parse(source, host="localhost", port=8123, secure=False, secure_port=8443, **defaults)
    if len(remote.path) > 2:
        raise SourceError(f"{remote.shown}: too many parts; the path is /database or /database/table")
    database, table = (*remote.path, *("otel", "otel_traces")[len(remote.path) :])
    user = remote.user or os.environ.get("CLICKHOUSE_USER", "")
    password = remote.password or os.environ.get("CLICKHOUSE_PASSWORD", "")
    auth = basic(user or "default", password) if user or password else None
    keys = "the user and password in the address, or CLICKHOUSE_USER and CLICKHOUSE_PASSWORD"
    backend = Backend(remote.shown, remote.base, WHAT, context, keys=keys, auth=auth)
    return remote, backend, Table(backend, database, table)


def _found_traces(remote: Remote, table: Table, context: Context) -> list[str]:
    """IDs of the newest traces with matching sessions, selected on the server."""
    ours = f"({_OURS} OR {_NATIVE})" if context.all_scopes else f"{SIGNS} AND {_OURS}"
    # spans may have been renamed in a pipeline, so the last search accepts any span of the session
    searches = [_FIRST_SIGNS, SIGNS, "true"] if remote.session else [ours]
    parameters: dict[str, str | int] = {
        "since": remote.since_ns,
        "until": remote.until_ns,
        "limit": remote.limit + 1,
        "session": remote.session,
        "service": remote.service,
    }
    for condition in searches:
        sql = picked(remote, table, condition)
        if found := [one.TraceId for one in table.rows(_Trace, sql, parameters) if one.TraceId]:
            if len(found) > remote.limit:
                reason = f"only the newest {remote.limit} traces were read; for others raise limit= or set until="
                context.problem(Problem(remote.shown, None, reason))
            return found[: remote.limit]
    return []


def picked(remote: Remote, table: Table, condition: str) -> str:
    """SQL for the IDs of the newest traces that have a span of a matching session in the period.

    Its parameters are ``since``, ``until``, ``limit``, ``session`` and ``service``.
    """
    conditions = [_WITHIN, condition]
    if remote.service:
        conditions.append("ServiceName = {service:String}")
    if remote.session:
        conditions.append(_session(table))
    return (
        f"SELECT TraceId FROM {{table}} WHERE {' AND '.join(conditions)} "
        "GROUP BY TraceId ORDER BY max(Timestamp) DESC, TraceId LIMIT {limit:UInt64}"
    )


def _session(table: Table) -> str:
    names = (attr.SESSION_ID, attr.BACKEND_SESSION_ID)
    return "(" + " OR ".join(f"{table.attribute(name)} = {{session:String}}" for name in names) + ")"


class _Search:
    def __init__(self, remote: Remote, backend: Backend, table: Table, context: Context) -> None:
        self._remote, self._backend, self._table, self._context = remote, backend, table, context

    def records(self) -> Iterator[SpanRecord]:
        remote, backend, table = self._remote, self._backend, self._table
        table.is_json("SpanAttributes")
        rows = Rows(table, lambda reason: self._context.problem(Problem(remote.shown, None, reason)))
        traces = [remote.trace] if remote.trace else _found_traces(remote, table, self._context)
        bounds = table.bounds(traces)
        for trace_id in traces:
            for record in rows.records(self._rows(trace_id, bounds.get(trace_id))):
                # a trace can have several sessions; filtering by attributes on the server takes longer
                if remote.wants(record):
                    backend.spans += 1
                    backend.partial = True
                    yield record
            rows.report()
        if not backend.spans:
            raise self._nothing()

    def _rows(self, trace_id: str, bounds: tuple[int, int] | None) -> Iterator[Row]:
        start, end = bounds or (0, 0)
        conditions = ["TraceId = {trace:String}"]
        if bounds:
            # with bounds of whole seconds, the index of ClickHouse 26.9 skips rows of the last second
            conditions.append("Timestamp >= fromUnixTimestamp64Nano({start:Int64})")
            conditions.append("Timestamp < fromUnixTimestamp64Nano({end:Int64})")
        if not self._context.all_scopes:
            conditions.append(_OURS)
        sql = f"SELECT {Rows.columns(self._table)} FROM {{table}} WHERE {' AND '.join(conditions)}"
        asked: dict[str, str | int] = {"trace": trace_id, "start": start, "end": end}
        return self._table.rows(Row, sql, asked)

    def _nothing(self) -> SourceError:
        hint = "check database, table and service, and wait a moment after a call: the collector writes in batches"
        if kept := self._table.kept_for():
            hint += f"; the table keeps rows for {kept}"
        return self._remote.nothing(WHAT, hint)
