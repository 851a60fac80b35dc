"""Converts rows of the collector's ClickHouse table into span records, and restores the types of attributes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..spans import AttributeValue, SpanRecord, SpanStatus
from .clickhouse_table import Int64, Table
from .remote import restored

__all__ = ["Row", "Rows"]

_ID = re.compile(r"[0-9a-f]+")
_NAMED = 10
_MAP: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
#: The text form of numbers, booleans and lists in a Map.
_TYPED = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|true|false|NaN|[+-]?Inf|\[.*\]", re.DOTALL)
_COLUMNS = (
    "TraceId AS trace, SpanId AS span, ParentSpanId AS parent, SpanName AS name, "
    "toUnixTimestamp64Nano(Timestamp) AS start, toInt64(Duration) AS duration, StatusCode AS status, "
    "StatusMessage AS message, ScopeName AS scope, ResourceAttributes AS resource, SpanAttributes AS attributes"
)
#: The server stores texts that look like times as times, and returns them in its own format.
_TIMES = ", mapKeys(mapFilter((path, type) -> type LIKE 'DateTime%', JSONAllPathsWithTypes(SpanAttributes))) AS times"


class Row(msgspec.Struct):
    """The columns that are read. The server may return 64-bit integers as text, and a view nulls."""

    trace: str
    span: str
    parent: str | None
    name: str | None
    start: Int64
    duration: Int64
    status: str | None
    message: str | None
    scope: str | None
    resource: msgspec.Raw
    attributes: msgspec.Raw
    times: list[str] = []


class Rows:
    """Converts rows into records, and reports the names of attributes whose values the server changed.

    Args:
        table: the table of the rows.
        complain: called with the reason when a row is skipped, and when values were changed.
    """

    def __init__(self, table: Table, complain: Callable[[str], None]) -> None:
        self._json = table.is_json("SpanAttributes")
        self._json_resource = table.is_json("ResourceAttributes")
        self._complain = complain
        self._said: set[tuple[str, str]] = set()
        self._resource: tuple[bytes, dict[str, AttributeValue]] = (b"", {})

    @staticmethod
    def columns(table: Table) -> str:
        """The SELECT list."""
        return _COLUMNS + (_TIMES if table.is_json("SpanAttributes") else "")

    def records(self, rows: Iterable[Row]) -> Iterator[SpanRecord]:
        """The records of rows. Rows that are not valid spans are skipped."""
        for row in rows:
            try:
                yield self._record(row)
            except NOT_JSON as error:
                self._complain(f"a row was skipped: {error}")

    def _report(self, names: Iterable[str], what: str) -> None:
        """Report attributes whose values the server changed, each name once: before their span is yielded, because a
        report can be made as soon as its session is whole."""
        fresh = [name for name in names if (name, what) not in self._said]
        self._said.update((name, what) for name in fresh)
        if fresh:
            more = f" and {len(fresh) - _NAMED} more" if len(fresh) > _NAMED else ""
            self._complain(f"attributes {what}: {', '.join(fresh[:_NAMED])}{more}")

    def _record(self, row: Row) -> SpanRecord:
        trace_id, span_id = row.trace.lower(), row.span.lower()
        if len(trace_id) != 32 or len(span_id) != 16 or not _ID.fullmatch(trace_id + span_id):
            raise ValueError(f"its ids ({row.trace[:40]!r}, {row.span[:20]!r}) are not valid in OpenTelemetry")
        start = row.start
        return SpanRecord(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=(row.parent or "").lower() or None,
            name=row.name or "",
            start_ns=start,
            end_ns=start + max(0, row.duration),
            attributes=self._attributes(row),
            status=_status(row.status or ""),
            status_message=row.message or "",
            scope=row.scope or "",
            resource=self._resource_of(row),
        )

    def _attributes(self, row: Row) -> dict[str, AttributeValue]:
        found = _values(row.attributes, self._json)
        if row.scope == attr.SCOPE:
            self._report(row.times, "look like times, and came back in ClickHouse's format")
            if not self._json:
                texts = (
                    name for name, value in found.items() if attr.type_of(name) is None and _TYPED.fullmatch(value)
                )
                self._report(texts, "came back as text, because the table's Map column does not store types")
        return restored(found)

    def _resource_of(self, row: Row) -> dict[str, AttributeValue]:
        """The attributes of the resource. Consecutive spans with the same resource share them."""
        data = bytes(row.resource)
        if data != self._resource[0]:
            self._resource = data, restored(_values(row.resource, self._json_resource))
        return self._resource[1]


def _status(code: str) -> SpanStatus:
    name = code.upper().removeprefix("STATUS_CODE_")
    return "error" if name == "ERROR" else "ok" if name == "OK" else "unset"


def _values(raw: msgspec.Raw, is_json: bool) -> dict[str, Any]:
    """Attributes by full name. JSON columns nest names at dots; a name can have a value and nested names."""
    if not is_json:
        return _MAP.decode(raw)
    found = json.loads(bytes(raw), object_pairs_hook=_flat)
    if not isinstance(found, dict):
        raise ValueError("its attributes are not an object")
    return found


def _flat(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if isinstance(value, dict):
            found.update((f"{key}.{name}", one) for name, one in value.items())
        else:
            found[key] = value
    return found
