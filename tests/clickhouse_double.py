"""ClickHouse as far as its HTTP interface answers the reader, with answers that the real engine gave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .json_server import Asked, Reply

FIXTURES = Path(__file__).parent / "fixtures" / "backends"


class ClickHouse:
    """A database ``otel`` with a table ``otel_traces`` that holds one session; ``kind`` of its columns: map or json.

    ``rows`` may be changed; ``session`` is the only one that is found, unless it is None; ``index`` says whether the
    exporter's index of traces is there; ``after`` are bytes that follow the rows; ``ttl`` is the table's.
    """

    def __init__(self, kind: str) -> None:
        recorded = json.loads((FIXTURES / f"clickhouse_{kind}.json").read_text())
        self.columns: list[dict[str, Any]] = recorded["columns"]
        self.rows: list[dict[str, Any]] = recorded["rows"]
        self.bounds: list[dict[str, Any]] = recorded["bounds"]
        self.session: str | None = None
        self.index = True
        self.after = b""
        self.listed: list[dict[str, Any]] = []
        self.cut = False
        self.ttl = ""

    def __call__(self, asked: Asked) -> Reply:
        query = asked.one("query")
        if asked.one("param_table") not in ("", "otel_traces"):
            return Reply(b"Code: 60. DB::Exception: Table otel.nope does not exist. (UNKNOWN_TABLE)", 404)
        rows, after = self._rows(query, asked), b""
        if query.startswith("SELECT TraceId AS trace, SpanId"):
            after = self.after
        reply = Reply(b"".join(json.dumps(row).encode() + b"\n" for row in rows) + after)
        reply.cut = self.cut and "SpanId AS span" in query
        return reply

    def _rows(self, query: str, asked: Asked) -> list[dict[str, Any]]:
        if query.startswith("DESCRIBE TABLE"):
            return self.columns
        if query.startswith("SELECT name FROM system.tables"):
            return [{"name": "otel_traces_trace_id_ts"}] if self.index else []
        if query.startswith("SELECT engine_full"):
            return [{"engine_full": f"MergeTree {self.ttl} SETTINGS a = 1"}]
        if query.startswith(("SELECT TraceId FROM", "SELECT TraceId, ")):
            found = self.session is None or asked.one("param_session") in ("", self.session)
            return [{"TraceId": row["trace"]} for row in self.bounds] if found else []
        if "toUnixTimestamp(min(Start))" in query:
            return self.bounds
        if query.startswith("SELECT TraceId AS trace, SpanId"):
            traces, scopes = re.findall(r"TraceId IN \['(\w+)'", query), re.findall(r"ScopeName = '([^']+)'", query)
            return [r for r in self.rows if r["trace"] in traces and (not scopes or r["scope"] in scopes)]
        raise AssertionError(f"not a query of the reader: {query}")
