"""ClickHouse tables written by the collector's exporter: ``clickhouse://host:8123/database/table?since=2h``.

``clickhouses://`` uses TLS, by default on port 8443. The default database is ``otel``, the default table
``otel_traces``. User and password come from the URL (``clickhouse://user:password@host``), or from
``CLICKHOUSE_USER`` and ``CLICKHOUSE_PASSWORD``. Every request is a GET, which the server runs read-only, and changes
no setting. Nested events and links of the rows are not read, because records do not contain them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence

from ..errors import SourceError
from ..spans import SpanRecord
from ..transport.auth import basic
from .backend import Backend
from .base import Context, Problem
from .clickhouse_rows import Row, Rows
from .clickhouse_search import NATIVE, OURS, Found, Search, batches
from .clickhouse_table import WHAT, Table, ids_in
from .remote import Remote, parse

__all__ = ["connected", "read"]

#: Seconds: a call whose remaining spans are this much younger than the oldest that the table keeps may have lost some.
_MARGIN = 3_600


def read(source: str, context: Context) -> Iterator[SpanRecord]:
    """Span records of the sessions that the URL asks for; see :mod:`.remote` for its parameters."""
    remote, backend, table = connected(source, context)
    return _Records(remote, backend, table, context).records()


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


class _Records:
    def __init__(self, remote: Remote, backend: Backend, table: Table, context: Context) -> None:
        self._remote, self._backend, self._table, self._context = remote, backend, table, context
        self._oldest_ns = time.time_ns()

    def records(self) -> Iterator[SpanRecord]:
        remote, backend = self._remote, self._backend
        self._table.is_json("SpanAttributes")
        rows = Rows(self._table, lambda reason: self._context.problem(Problem(remote.shown, None, reason)))
        search = Search(remote, self._table, self._context)
        for found in search.results():
            for traces in batches(found):
                for record in self._of_traces(traces, rows):
                    backend.spans += 1
                    backend.partial = True
                    self._oldest_ns = min(self._oldest_ns, record.start_ns)
                    yield record
            if backend.spans:
                self._check_age()
                return
        raise self._nothing(search.skipped)

    def _of_traces(self, traces: Sequence[Found], rows: Rows) -> Iterator[SpanRecord]:
        bounds = self._table.bounds([one.TraceId for one in traces])
        own = [one.TraceId for one in traces if one.own]
        for record in rows.records(self._rows(own, bounds, OURS)):
            # a trace can have several sessions; filtering by attributes on the server takes longer
            if self._remote.wants(record):
                yield record
        # a trace can have spans of livekit_otel outside of the period of the search; then these are its report
        others = [one.TraceId for one in traces if not one.own]
        # few spans of some releases of LiveKit carry an ID of their session
        yield from rows.records(self._rows(others, bounds, f"({OURS} OR {NATIVE})"))

    def _rows(self, traces: Sequence[str], bounds: Mapping[str, tuple[int, int]], scopes: str) -> Iterator[Row]:
        if not traces:
            return
        conditions = [f"TraceId IN {ids_in(traces)}"]
        known = [bounds[one] for one in traces if one in bounds]
        if len(known) == len(traces):
            # with bounds of whole seconds, the index of ClickHouse 26.9 skips rows of the last second
            conditions.append("Timestamp >= fromUnixTimestamp64Nano({start:Int64})")
            conditions.append("Timestamp < fromUnixTimestamp64Nano({end:Int64})")
        if not self._context.all_scopes:
            conditions.append(scopes)
        sql = f"SELECT {Rows.columns(self._table)} FROM {{table}} WHERE {' AND '.join(conditions)}"
        first, last = min((one for one, _ in known), default=0), max((one for _, one in known), default=0)
        yield from self._table.rows(Row, sql, {"start": first, "end": last})

    def _check_age(self) -> None:
        """Report that rows may be missing because the table deletes them."""
        words, seconds = self._table.kept_for
        if seconds and self._oldest_ns < time.time_ns() - (seconds - _MARGIN) * 1_000_000_000:
            reason = f"the table deletes rows after {words}: spans of calls as old as these may be gone"
            self._context.problem(Problem(self._remote.shown, None, reason, "info"))

    def _nothing(self, skipped: str) -> SourceError:
        hint = "check database, table and service, and wait a moment after a call: the collector writes in batches"
        if skipped:
            hint = f"spans are there, but {skipped!r} is not a trace ID of OpenTelemetry"
        elif kept := self._table.kept_for[0]:
            hint += f"; the table keeps rows for {kept}"
        return self._remote.nothing(WHAT, hint)
