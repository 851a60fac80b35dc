"""Queries a table of the collector's clickhouseexporter over HTTP: its columns and its rows.

Responses use JSONEachRow: one row per line, read as it arrives. Binary formats would need a decoder for each type that
an attribute column can have (JSON columns can have any), and are not faster to read in Python. Values are sent as
query parameters and table names as identifiers, so no part of an address is interpreted as SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, TypeVar

import msgspec

from ..errors import SourceError
from .backend import Backend

__all__ = ["WHAT", "Int64", "Table", "ids_in", "is_id"]

T = TypeVar("T")
#: A 64-bit integer of the server, which may write it as text.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

WHAT = "ClickHouse"
_NEEDED = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "SpanName", "ServiceName", "ResourceAttributes", "ScopeName",
    "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
)  # fmt: skip
#: column -> its type, as far as queries depend on it. Others may make views and tables of their own.
_TYPES = {"Timestamp": r"(Nullable\()?DateTime64", "TraceId": r"(LowCardinality\(|Nullable\()*(Fixed)?String"}
_MADE = {"Timestamp": "DateTime64(9)", "TraceId": "String"}
_MAP = re.compile(r"Map\((LowCardinality\()?String\)?, (LowCardinality\()?String\)?\)")
#: Escapes of the text format in which the server reads parameters.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "'": "\\'"})
_SECOND = 1_000_000_000
_INDEX = "_trace_id_ts"
_TTL = re.compile(r"toInterval(Second|Minute|Hour|Day|Week|Month|Year)\((\d+)\)")


_UNITS = {
    "second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000, "year": 31_536_000,
}  # fmt: skip


class _Column(msgspec.Struct):
    name: str
    type: str


class _Engine(msgspec.Struct):
    engine_full: str


class Table:
    """A table of spans. Its columns are queried when first needed.

    Args:
        backend: the server.
        database, name: of the table.
    """

    def __init__(self, backend: Backend, database: str, name: str) -> None:
        self._backend = backend
        self._names = {"database": database, "table": name, "index": name + _INDEX}
        self._columns: dict[str, str] = {}

    def rows(self, type: type[T], sql: str, parameters: Mapping[str, str | int] | None = None) -> Iterator[T]:
        """The rows of a query. ``{table}`` in it is the table, ``{index}`` the exporter's index of traces.

        Raises:
            SourceError: the server rejected the query, or failed in the middle of the response.
        """
        given = {**self._names, **(parameters or {})}
        text = sql.replace("{table}", "{database:Identifier}.{table:Identifier}")
        text = text.replace("{index}", "{database:Identifier}.{index:Identifier}")
        used = {name: value for name, value in given.items() if f"{{{name}:" in text}
        asked = {f"param_{name}": str(value).translate(_ESCAPES) for name, value in used.items()}
        # not strict: integers may be texts
        decoder = msgspec.json.Decoder(type, strict=False)
        for line in self._backend.lines("/", {"query": f"{text} FORMAT JSONEachRow", **asked}):
            if line.strip():
                self._check(line)
                yield self._backend.decode(_utf8(line), decoder.decode)

    def _check(self, line: bytes) -> None:
        """Raise the error that the server writes in place of a row if a query fails in the middle of its response."""
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
                    f"the table {self._names['table']!r} has no column {missing[0]}: give a table of the collector's "
                    "clickhouseexporter, as in clickhouse://host/database/table"
                )
            for name, type in _TYPES.items():
                if not re.match(type, found[name]):
                    raise self._backend.error(
                        f"the column {name} has the type {found[name][:80]}; the collector's clickhouseexporter makes "
                        f"it {_MADE[name]}"
                    )
            self._columns = found
        return self._columns

    def is_json(self, column: str) -> bool:
        """Whether a column of attributes is JSON, which stores types. Otherwise it is a Map of texts."""
        type = self.columns[column]
        if type.startswith(("JSON", "Object(")):
            return True
        if _MAP.fullmatch(type):
            return False
        raise self._backend.error(
            f"the column {column} has the type {type[:80]}, which is neither a Map of texts nor JSON"
        )

    def attribute(self, name: str) -> str:
        """SQL for a span attribute as text, empty if it is absent. ``name`` must be a name of our schema."""
        # a typed read of a JSON path misses values stored as another type (0.0 is stored as an integer)
        return f"SpanAttributes.`{name}`::String" if self.is_json("SpanAttributes") else f"SpanAttributes['{name}']"

    def bounds(self, trace_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """First and last possible start of the spans, in Unix nanoseconds, for each trace in the exporter's index."""
        if not trace_ids or not self._has_index:
            return {}
        sql = (
            "SELECT TraceId AS trace, toInt64(toUnixTimestamp(min(Start))) AS start, "
            "toInt64(toUnixTimestamp(max(End))) AS end FROM {index} "
            f"WHERE TraceId IN {ids_in(trace_ids)} GROUP BY TraceId"
        )
        return {one.trace: (one.start * _SECOND, (one.end + 1) * _SECOND) for one in self.rows(_Bounds, sql)}

    @cached_property
    def _has_index(self) -> bool:
        sql = "SELECT name FROM system.tables WHERE database = {database:String} AND name = {index:String}"
        return any(True for _ in self.rows(dict, sql))

    @cached_property
    def kept_for(self) -> tuple[str, int]:
        """How long the table keeps rows, in words and in seconds; empty and 0 if forever, or if the user may not query
        it."""
        sql = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"
        try:
            engines = [one.engine_full for one in self.rows(_Engine, sql)]
        except SourceError:
            return "", 0
        ttl = _TTL.search(engines[0].partition(" TTL ")[2]) if engines else None
        if ttl is None:
            return "", 0
        unit, count = ttl[1].lower(), int(ttl[2])
        return f"{count} {unit}{'' if count == 1 else 's'}", count * _UNITS[unit]


def ids_in(trace_ids: Iterable[str]) -> str:
    """SQL for a list of trace IDs. Anything else is left out."""
    return "[" + ",".join(f"'{one}'" for one in trace_ids if is_id(one)) + "]"


def is_id(trace_id: str) -> bool:
    """Whether the text can be a trace ID. A table can hold any text there."""
    return bool(re.fullmatch(r"[0-9A-Fa-f]{1,64}", trace_id))


def _utf8(line: bytes) -> bytes:
    """The line with a replacement character for invalid UTF-8, which the server stores and returns unchanged."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode("utf-8", "replace").encode()
    return line


class _Bounds(msgspec.Struct):
    trace: str
    start: Int64
    end: Int64
