"""ClickHouse's real engine, filled by the collector's real exporter: what is listed, typed, kept, and how fast."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
import tests.scenarios  # noqa: F401
from livekit_otel import SpanRecord
from livekit_otel import attributes as a
from livekit_otel.cli import main
from livekit_otel.report.head import name_of_reason
from tests.kit.run import as_json
from tests.kit.trace import names, record

from . import calls
from .fixtures import need
from .process import wait_until
from .servers import ClickHouse, Collector

pytestmark = pytest.mark.backend

#: The calls that are listed: every scripted session.
CALLS = tuple(names())
#: The scripted sessions are held then.
DAY = ("--since", "2023-11-14T00:00:00Z", "--until", "2023-11-16T00:00:00Z")
WHEN = "since=2023-11-14T00:00:00Z&until=2023-11-16T00:00:00Z"
#: A retry writes rows again: on a slow machine the exporter waits longer.
COLUMNS = (
    "exporters: {{clickhouse: {{json: {json}, timeout: 120s, sending_queue: {{batch: {{flush_timeout: 0.2s}}}}}}}}\n"
)
#: A call with spans of LiveKit's own, of this hour.
BOTH_LAYERS = calls.make_call("S-both")
TTL = "TTL toDateTime(Timestamp) + toIntervalDay(3)"
USERS: dict[str, Any] = {
    "order.count": 3,
    "order": "the first",
    "order.total": 2.5,
    "order.none": 0.0,
    "order.paid": True,
    "order.items": ["rose", "lily"],
    "order.note": "plain words",
    "order.day": "2026-01-31T10:00:00Z",
}


@dataclass
class Filled:
    """A database with the calls, and one session more, ``S-users``, whose span has attributes of users."""

    server: ClickHouse
    columns: str

    def address(self, query: str = WHEN, table: str = "") -> str:
        return f"clickhouse://{self.server.host}/{self.columns}{table}?{query}"

    def columns_read(self) -> set[str]:
        """Columns that queries on the table read, of all that the engine's log has of readers until now."""
        self.server.query("SYSTEM FLUSH LOGS")
        rows = self.server.query(
            "SELECT DISTINCT arrayJoin(columns) AS name FROM system.query_log WHERE type = 'QueryFinish' "
            "AND has(tables, {table:String}) AND query LIKE '%FORMAT JSONEachRow'",
            table=f"{self.columns}.otel_traces",
        )
        names = (row["name"].removeprefix(f"{self.columns}.otel_traces.").strip("`") for row in rows)
        return {name.removesuffix(".size") for name in names}

    @property
    def session_id(self) -> str:
        """SQL for it."""
        name = a.SESSION_ID
        return f"SpanAttributes.`{name}`::String" if self.columns == "json" else f"SpanAttributes['{name}']"


def of_users() -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    own: dict[str, Any] = {a.KIND: a.KIND_TURN, a.SCHEMA: 1, a.SESSION_ID: "S-users", a.TURN_INDEX: 0}
    provider.get_tracer(a.SCOPE).start_span(a.KIND_TURN, attributes={**own, **USERS}).end()
    return list(memory.get_finished_spans())


@pytest.fixture(scope="module", params=["map", "json"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    need("clickhouse", "collector")
    folder = tmp_path_factory.mktemp(f"clickhouse-{request.param}")
    kind = folder / "columns.yaml"
    kind.write_text(COLUMNS.format(json=str(request.param == "json").lower()))
    spans = [*(span for name in CALLS for span in record(name).exported), *of_users(), *BOTH_LAYERS]
    with ExitStack() as stack:
        server = stack.enter_context(ClickHouse(folder / "engine"))
        env = {
            "CLICKHOUSE_ENDPOINT": server.endpoint,
            "CLICKHOUSE_DATABASE": request.param,
            "CLICKHOUSE_TTL": "0",
        }
        collector = stack.enter_context(Collector("clickhouse.yaml", kind, folder=folder / "collector", env=env))
        assert calls.send(collector.otlp_http, spans)
        count = f"SELECT count() AS n FROM {request.param}.otel_traces"
        wait_until(f"{len(spans)} rows", lambda: int(server.query(count)[0]["n"]) == len(spans))
        yield Filled(server, request.param)


def sessions(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["sessions", *arguments, "--format", "json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_day_is_listed_from_the_listed_columns(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """``sessions --since --until`` shows what the reports say, and the engine's log has only the columns it shows."""
    listed = sessions(capsys, filled.address(""), *DAY)
    memory = [span for name in CALLS for span in record(name).pipeline]
    reports = {report.session_id: report for report in livekit_otel.build_reports(memory)}
    assert {row["session_id"] for row in listed} == set(reports)
    for row in listed:
        report = reports[row["session_id"]]
        assert row["started_at"] == pytest.approx(report.started_at, abs=1e-6)
        assert row["duration"] == pytest.approx(report.duration, abs=1e-6)
        found = [row[name] for name in ("conversation_id", "turns", "close_reason", "complete", "flagged")]
        said = [report.conversation_id, len(report.turns), report.close_reason, report.complete, report.flagged]
        assert found == said
    read = filled.columns_read()
    # parents: of calls that broke off, the turns are counted
    plain = {"Timestamp", "TraceId", "SpanId", "ParentSpanId", "SpanName", "ScopeName", "Duration"}
    attributes = {name for name in read - plain if name.startswith("SpanAttributes")}
    assert read - plain == attributes
    if filled.columns == "json":
        assert "SpanAttributes" not in read
        assert not any("journal" in name or ".pii." in name for name in attributes)


#: name of a table -> the rows of the calls that it has
CUT = {
    "turns": f"SpanName NOT IN ('{a.KIND_SESSION}', '{a.KIND_SESSION_START}', '{a.KIND_SESSION_END}')",
    "only_turns": f"SpanName = '{a.KIND_TURN}'",
    "killed": "Timestamp + toIntervalNanosecond(Duration) < toDateTime64('2023-11-14 22:13:30', 9)",
    "lost": "cityHash64(SpanId) % 3 != 0",
}


@pytest.mark.parametrize("name", CUT)
def test_calls_that_broke_off_are_listed(filled: Filled, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Sessions whose own spans are not stored, whose process was killed, or that lost spans, are listed as their
    reports have them."""
    table = f"{filled.columns}.{name}"
    filled.server.query(f"CREATE TABLE {table} AS {filled.columns}.otel_traces")
    filled.server.query(f"INSERT INTO {table} SELECT * FROM {filled.columns}.otel_traces WHERE {CUT[name]}")
    address = filled.address(f"{WHEN}&limit=10000", f"/{name}")
    reports = {one.session_id: one for one in livekit_otel.build_reports(livekit_otel.read_spans(address))}
    listed = {row["session_id"]: row for row in sessions(capsys, address)}
    assert listed.keys() == reports.keys()
    assert len(reports) > 100
    for session_id, report in reports.items():
        row = listed[session_id]
        found = [row[one] for one in ("conversation_id", "turns", "complete")]
        assert found == [report.conversation_id, len(report.turns), report.complete], session_id
        assert row["started_at"] == pytest.approx(report.started_at, abs=1e-6)
        assert row["duration"] == pytest.approx(report.duration, abs=1e-6)
        # flags and reason are as recorded: a report derives them again from what is left
        flags: Counter[str] = Counter()
        for span in report.spans:
            if span.kind == a.KIND_TURN:
                flags.update(span.attributes.get(a.FLAGS, ()))  # type: ignore[arg-type]
        assert row["flagged"] == flags
        reasons = [span.attributes.get(a.SESSION_CLOSE_REASON) for span in report.spans]
        assert row["close_reason"] == next((name_of_reason(str(one)) for one in reasons if one), None)
    session_id, report = max(reports.items(), key=lambda one: len(one[1].turns))
    of_trace = sessions(capsys, filled.address(f"trace={report.spans[0].trace_id}", f"/{name}"))
    assert [row for row in of_trace if row["session_id"] == session_id] == [listed[session_id]]


def test_a_time_without_sessions(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """A day on which nothing happened is one line that says so."""
    assert main(["sessions", filled.address(""), "--since", "2022-01-01", "--until", "2022-01-02"]) == 1
    assert "ClickHouse holds no session between 2022-01-01T00:00:00Z" in capsys.readouterr().err


def test_types_of_users_attributes(filled: Filled) -> None:
    """JSON columns keep the types of users' attributes; of a Map the reader says which came back as text."""
    stream = livekit_otel.read_spans(filled.address("session=S-users"))
    (span,) = stream
    found = {name: span.attributes[name] for name in USERS}
    said = [str(problem).partition(": ")[2] for problem in stream.problems]
    if filled.columns == "json":
        # the server takes a text that looks like a time for one
        assert found == {**USERS, "order.day": "2026-01-31 10:00:00"}
        assert said == ["attributes look like times, and came back in ClickHouse's format: order.day"]
    else:
        texts = ["order.count", "order.items", "order.none", "order.paid", "order.total"]
        assert {name: found[name] for name in texts} == {
            "order.count": "3",
            "order.total": "2.5",
            "order.none": "0",
            "order.paid": "true",
            "order.items": '["rose","lily"]',
        }
        assert said == [
            f"attributes came back as text, because the table's Map column does not store types: {', '.join(texts)}",
        ]
    assert span.attributes[a.TURN_INDEX] == 0


def test_other_layers(filled: Filled) -> None:
    """All spans of a trace come back where they are asked for, with their scopes, names and times; else only ours."""
    address = filled.address(f"trace={calls.trace_id(BOTH_LAYERS)}")
    sent = {(f"{span.context.span_id:016x}", span.instrumentation_scope.name, span.start_time) for span in BOTH_LAYERS}  # type: ignore[union-attr]
    found = {(one.span_id, one.scope, one.start_ns) for one in livekit_otel.read_spans(address, all_scopes=True)}
    assert found == sent
    ours = {one.span_id for one in livekit_otel.read_spans(address)}
    assert ours == {span_id for span_id, scope, _ in sent if scope == a.SCOPE} != {one[0] for one in sent}
    newest = filled.address("since=2h")
    assert {one.scope for one in livekit_otel.read_spans(newest, all_scopes=True)} == {a.SCOPE, a.NATIVE_SCOPE}


def test_zeros_are_numbers(filled: Filled) -> None:
    """A declared 0.0, which a JSON column stores as an integer, is read as the double that it was."""
    spans = record("barge_in").pipeline
    address = filled.address(f"{WHEN}&session={spans[0].session_id}")
    back = {span.span_id: span for span in livekit_otel.read_spans(address)}
    zeros = [(span.span_id, name) for span in spans for name, value in span.attributes.items() if value == 0.0]
    doubles = [(span_id, name) for span_id, name in zeros if a.type_of(name) == "double"]
    assert doubles
    assert [type(back[span_id].attributes[name]) for span_id, name in doubles] == [float] * len(doubles)
    assert [back[span_id].attributes[name] for span_id, name in zeros] == [0] * len(zeros)


def test_what_was_written_twice(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that a retry of the exporter wrote again change neither report nor list."""
    filled.server.query(f"CREATE TABLE {filled.columns}.twice AS {filled.columns}.otel_traces")
    for _ in range(2):
        filled.server.query(f"INSERT INTO {filled.columns}.twice SELECT * FROM {filled.columns}.otel_traces")
    spans = record("one_tool").pipeline
    address = filled.address(f"{WHEN}&session={spans[0].session_id}", "/twice")
    assert len(list(livekit_otel.read_spans(address))) == 2 * len(spans)
    report = livekit_otel.build_report(livekit_otel.read_spans(address))
    assert as_json(report.to_dict()) == as_json(livekit_otel.build_report(spans).to_dict())
    assert report.complete
    assert [row["complete"] for row in sessions(capsys, address)] == [True]


def test_rows_past_the_time_that_the_table_keeps_them(filled: Filled) -> None:
    """Rows that the table has deleted are not found, and the line says how long it keeps them."""
    table = f"{filled.columns}.short"
    create = filled.server.query(f"SHOW CREATE TABLE {filled.columns}.otel_traces")[0]["statement"]
    kept = create.replace("otel_traces", "short", 1).replace("SETTINGS", f"{TTL} SETTINGS")
    filled.server.query(kept)
    filled.server.query(f"INSERT INTO {table} SELECT * FROM {filled.columns}.otel_traces")
    filled.server.query(f"OPTIMIZE TABLE {table} FINAL")
    with pytest.raises(livekit_otel.SourceError, match="in batches; the table keeps rows for 3 days"):
        list(livekit_otel.read_spans(filled.address(WHEN, "/short")))


@pytest.mark.parametrize("session", ["x' OR 1=1 --", "x\\' OR 1=1 --", "a\tb\\n{c:String}", '%s ` " ;', "\\N", "NULL"])
def test_what_is_looked_for_is_never_sql(filled: Filled, session: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A session ID of any characters finds itself or nothing, for spans, reports and lists."""
    for query in (f"{WHEN}&session={quote(session)}", f"{WHEN}&service={quote(session)}"):
        with pytest.raises(livekit_otel.SourceError, match="ClickHouse holds no session"):
            list(livekit_otel.read_spans(filled.address(query)))
        with pytest.raises(livekit_otel.SourceError, match="ClickHouse holds no session"):
            livekit_otel.build_report(livekit_otel.read_spans(filled.address(query)))
        assert main(["sessions", filled.address(query)]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    table = f"{filled.columns}.hostile"
    filled.server.query(f"CREATE OR REPLACE TABLE {table} AS {filled.columns}.otel_traces")
    attributes = f"map('{a.SESSION_ID}', {{session:String}}, '{a.KIND}', 'turn')"
    if filled.columns == "json":
        attributes = f"toJSONString({attributes})::JSON"
    filled.server.query(
        f"INSERT INTO {table} SELECT * REPLACE ({attributes} AS SpanAttributes) FROM {filled.columns}.otel_traces "
        f"WHERE SpanName = 'turn' AND ScopeName = '{a.SCOPE}' AND Timestamp < '2024-01-01' LIMIT 1",
        session=session.replace("\\", "\\\\").replace("\t", "\\t"),
    )
    address = filled.address(f"{WHEN}&session={quote(session)}", "/hostile")
    assert [one.session_id for one in livekit_otel.read_spans(address)] == [session]
    assert [row["session_id"] for row in sessions(capsys, address)] == [session]


def test_errors(filled: Filled) -> None:
    """What is not there is named in one line, with what to check."""
    cases = {
        f"clickhouse://{filled.server.host}/nope": "Database nope does not exist",
        filled.address(WHEN, "/nope"): "is this the address of ClickHouse? check host, port and path",
        filled.address(WHEN, "/otel_traces_trace_id_ts"): "has no column Timestamp: give a table of the collector's",
        filled.address(WHEN, "/a/b"): "too many parts; the path is /database or /database/table",
        filled.address(f"trace={'0' * 31}1"): "ClickHouse holds no trace 00000000000000000000000000000001",
    }
    said = {}
    for address in cases:
        with pytest.raises(livekit_otel.SourceError) as caught:
            list(livekit_otel.read_spans(address))
        said[address] = str(caught.value)
    assert [(address, said[address]) for address, says in cases.items() if says not in said[address]] == []


def fastest(call: Callable[[int], object], times: int = 7) -> float:
    """Median seconds."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        call(number * 1_000)
        taken.append(time.perf_counter() - began)
    return median(taken)


def test_one_of_ten_thousand_sessions(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    """One session of 10,000 is read in less than twice the time of the bare query; all are listed in seconds."""
    spans = record("barge_in").pipeline
    many(filled, spans)
    bare_sql = f"SELECT * FROM {filled.columns}.many WHERE {filled.session_id} = {{session:String}}"
    address = WHEN + "&session=S-{}"
    bare = fastest(lambda number: filled.server.query(bare_sql, session=f"S-{number}"))
    read = fastest(lambda number: list(livekit_otel.read_spans(filled.address(address.format(number), "/many"))))
    began = time.perf_counter()
    assert len(sessions(capsys, filled.address("", "/many"), *DAY)) == 10_000
    listed = time.perf_counter() - began
    print(f"{filled.columns}: bare {bare * 1e3:.0f} ms, read {read * 1e3:.0f} ms, list of 10,000 {listed:.1f} s")
    back = list(livekit_otel.read_spans(filled.address(address.format(7), "/many")))
    assert len(back) == len(spans)
    assert read < 2 * bare


def many(filled: Filled, spans: list[SpanRecord]) -> None:
    """The table ``many``: one session 10,000 times, one second after the other, each a trace of its own."""
    database, session = filled.columns, spans[0].session_id
    rows = f"SELECT * FROM {database}.otel_traces WHERE TraceId = '{spans[0].trace_id}' AND ScopeName = '{a.SCOPE}'"
    for end in ("", "_trace_id_ts"):
        filled.server.query(f"CREATE TABLE {database}.many{end} AS {database}.otel_traces{end}")
    filled.server.query(
        f"CREATE MATERIALIZED VIEW {database}.many_trace_id_ts_mv TO {database}.many_trace_id_ts AS "
        f"SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End FROM {database}.many GROUP BY TraceId"
    )
    new = "concat('S-', toString(number))"
    attributes = f"mapUpdate(SpanAttributes, map('{a.SESSION_ID}', {new}, '{a.BACKEND_SESSION_ID}', {new}))"
    if filled.columns == "json":
        attributes = f"replaceAll(toJSONString(SpanAttributes), '{session}', {new})::JSON"
    for start in range(0, 10_000, 2_500):
        filled.server.query(
            f"INSERT INTO {database}.many SELECT * EXCEPT number REPLACE ("
            "Timestamp + toIntervalSecond(number) AS Timestamp, "
            f"lower(hex(MD5(concat(TraceId, toString(number))))) AS TraceId, {attributes} AS SpanAttributes) "
            f"FROM ({rows}) AS rows CROSS JOIN numbers({start}, 2500) AS numbers"
        )
    filled.server.query(f"OPTIMIZE TABLE {database}.many")
