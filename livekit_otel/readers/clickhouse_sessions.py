"""Lists the sessions of a ClickHouse table: the server aggregates, and only the columns of the list are read."""

from __future__ import annotations

from collections.abc import Iterator

from .base import Context, ListedSession, Problem
from .clickhouse import connected
from .clickhouse_native import NativeSessions
from .clickhouse_own import OwnSessions
from .clickhouse_table import WHAT

__all__ = ["sessions"]

#: Default number of traces in a list.
_LIMIT = 10_000


def sessions(source: str, context: Context) -> Iterator[ListedSession]:
    """The sessions that match the address, newest last: those of livekit_otel, and those that only LiveKit traced.

    Raises:
        SourceError: there are none, or the server failed.
    """
    remote, _, table = connected(source, context, limit=_LIMIT)
    found = OwnSessions(remote, table).sessions()
    if not found or not (remote.trace or remote.session):
        found += NativeSessions(remote, table).sessions()
    if not found:
        raise remote.nothing(WHAT, "check database, table and service")
    found.sort(key=lambda one: (one.started_at, one.session_id))
    traces = list(dict.fromkeys(one.trace_id for one in reversed(found)))
    if len(traces) > remote.limit:
        reason = f"only the newest {remote.limit} traces are listed; for others raise limit= or set until="
        context.problem(Problem(remote.shown, None, reason))
    kept = set(traces[: remote.limit])
    return (one for one in found if one.trace_id in kept)
