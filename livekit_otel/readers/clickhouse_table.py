"""A table that the collector's clickhouseexporter writes, asked over HTTP: what its columns are, and its rows.

Answers are JSONEachRow: one row a line, read as it comes; the binary formats would need a decoder for each type that a
column of attributes may have (JSON holds any), and are not faster to read in Python. What is looked for goes to the
server as query parameters, names of tables as identifiers, so nothing of an address is ever read as SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from ..errors import SourceError
from .backend import Backend

__all__ = ["WHAT", "Table"]

T = TypeVar("T")

WHAT = "ClickHouse"
_NEEDED = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "SpanName", "ServiceName", "ResourceAttributes", "ScopeName",
    "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
)  # fmt: skip
#: Of the text form that the server reads parameters in.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "'": "\\'"})
_SECOND = 1_000_000_000
_INDEX = "_trace_id_ts"
_TTL = re.compile(r"toInterval(Second|Minute|Hour|Day|Week|Month|Year)\((\d+)\)")


class _Column(msgspec.Struct):
    name: str
    type: str


class _Engine(msgspec.Struct):
    engine_full: str


class Table:
    """One table of spans. Its columns are asked for when the first of them is needed.

    Args:
        backend: the server.
        database, name: of the table.
    """

    def __init__(self, backend: Backend, database: str, name: str) -> None:
        self._backend = backend
        self._names = {"database": database, "table": name, "index": name + _INDEX}
        self._columns: dict[str, str] = {}

    def rows(self, type: type[T], sql: str, parameters: Mapping[str, str | int] | None = None) -> Iterator[T]:
        """The rows of a query, in which ``{table}`` stands for the table and ``{index}`` for its index of traces.

        Raises:
            SourceError: the server refuses the query, or stopped in the middle of the answer.
        """
        given = {**self._names, **(parameters or {})}
        text = sql.replace("{table}", "{database:Identifier}.{table:Identifier}")
        text = text.replace("{index}", "{database:Identifier}.{index:Identifier}")
        used = {name: value for name, value in given.items() if f"{{{name}:" in text}
        asked = {f"param_{name}": str(value).translate(_ESCAPES) for name, value in used.items()}
        decoder = msgspec.json.Decoder(type)
        for line in self._backend.lines("/", {"query": f"{text} FORMAT JSONEachRow", **asked}):
            if line.strip():
                self._check(line)
                yield self._backend.decode(_utf8(line), decoder.decode)

    def _check(self, line: bytes) -> None:
        """A query that fails in the middle of its answer says so where a row would be."""
        start = line.lstrip()[:64]
        if start.startswith((b"Code: ", b"__exception__")) or b'{"exception":' in start.replace(b" ", b""):
            text = line.decode("utf-8", "replace").strip()
            raise self._backend.error(f"{WHAT} stopped in the middle of its answer ({' '.join(text.split())[:200]})")

    @property
    def columns(self) -> dict[str, str]:
        """Types of the columns, by name."""
        if not self._columns:
            found = {one.name: one.type for one in self.rows(_Column, "DESCRIBE TABLE {table}")}
            missing = [name for name in _NEEDED if name not in found]
            if missing:
                raise self._backend.error(
                    f"the table {self._names['table']!r} has no column {missing[0]}: is it one of the collector's "
                    "clickhouseexporter? name it as in clickhouse://host/database/table"
                )
            self._columns = found
        return self._columns

    def is_json(self, column: str) -> bool:
        """Whether a column of attributes is JSON, which keeps types; else it is a Map of texts."""
        type = self.columns[column]
        if type.startswith(("JSON", "Object(")):
            return True
        if type.startswith("Map("):
            return False
        raise self._backend.error(f"the column {column} is {type[:80]}, and neither a Map nor JSON")

    def attribute(self, name: str) -> str:
        """SQL for an attribute of a span as text, empty where it is not there. ``name`` is one of ours."""
        # a typed read of a JSON path misses values that are stored as another type (0.0 is an integer there)
        return f"SpanAttributes.`{name}`::String" if self.is_json("SpanAttributes") else f"SpanAttributes['{name}']"

    def bounds(self, trace_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Unix nanoseconds between which the spans of traces begin, of those that are in the exporter's index."""
        if not trace_ids or not self._has_index:
            return {}
        ids = "[" + ",".join(f"'{one}'" for one in trace_ids if re.fullmatch(r"[0-9A-Fa-f]{1,64}", one)) + "]"
        sql = (
            "SELECT TraceId AS trace, toInt64(toUnixTimestamp(min(Start))) AS start, "
            "toInt64(toUnixTimestamp(max(End))) AS end FROM {index} "
            f"WHERE TraceId IN {ids} GROUP BY TraceId"
        )
        return {one.trace: (int(one.start) * _SECOND, (int(one.end) + 1) * _SECOND) for one in self.rows(_Bounds, sql)}

    @property
    def _has_index(self) -> bool:
        sql = "SELECT name FROM system.tables WHERE database = {database:String} AND name = {index:String}"
        return any(True for _ in self.rows(dict, sql))

    def kept_for(self) -> str:
        """How long the table keeps rows, in words; empty when that is for ever, or it may not be asked."""
        sql = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"
        try:
            engines = [one.engine_full for one in self.rows(_Engine, sql)]
        except SourceError:
            return ""
        ttl = _TTL.search(engines[0].partition(" TTL ")[2]) if engines else None
        return f"{ttl[2]} {ttl[1].lower()}{'' if ttl[2] == '1' else 's'}" if ttl else ""


def _utf8(line: bytes) -> bytes:
    """The line with a sign for bytes that are no UTF-8, which the server stores and writes as they are."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode("utf-8", "replace").encode()
    return line


class _Bounds(msgspec.Struct):
    trace: str
    start: int | str
    end: int | str
