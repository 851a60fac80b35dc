"""The ClickHouse reader, against a local server that gives answers which the real engine gave."""

from __future__ import annotations

import json
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import livekit_otel
from livekit_otel import PartialReadError, SourceError
from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.transport import client

from .clickhouse_double import FIXTURES, ClickHouse
from .json_server import Asked, JsonServer, Reply, serving
from .kit.run import as_json

SINCE = "since=2023-01-01"
TTL = "TTL toDateTime(Timestamp) + toIntervalHour(72)"
REPORT = json.loads((FIXTURES / "clickhouse_report.json").read_text())


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for, and no credentials come from the machine."""
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    for name in ("CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["map", "json"])
def double(request: pytest.FixtureRequest) -> ClickHouse:
    return ClickHouse(request.param)


def url(server: JsonServer, query: str = SINCE, *, path: str = "/otel", user: str = "") -> str:
    return f"clickhouse://{user}127.0.0.1:{server.port}{path}?{query}"


def failure(source: str) -> str:
    with pytest.raises(SourceError) as caught:
        list(livekit_otel.read_spans(source))
    return str(caught.value)


def session_id(double: ClickHouse) -> str:
    found = double.rows[0]["attributes"]
    return str(found.get(attr.SESSION_ID) or found["livekit_otel"]["session"]["id"])


@pytest.mark.parametrize("index", [True, False])
def test_a_report_from_rows(double: ClickHouse, index: bool) -> None:
    """The report of recorded rows is the one of the spans that were sent, with the exporter's index and without it."""
    double.index = index
    with serving(double) as server:
        stream = livekit_otel.read_spans(url(server))
        report = livekit_otel.build_report(stream)
    assert as_json(report.to_dict()) == REPORT
    assert report.complete
    assert report.warnings == []
    assert stream.problems == []
    bounded = any("{start:Int64}" in asked.one("query") for asked in server.asked)
    assert bounded == index


def test_both_kinds_of_columns_hold_the_same() -> None:
    """Map and JSON columns of one session give the same records, type for type."""
    found = []
    for kind in ("map", "json"):
        with serving(ClickHouse(kind)) as server:
            found.append(sorted(livekit_otel.read_spans(url(server)), key=lambda span: span.span_id))
    for first, second in zip(*found, strict=True):
        assert dict(first.attributes) == dict(second.attributes)
        types = {name: type(value) for name, value in first.attributes.items()}
        assert types == {name: type(value) for name, value in second.attributes.items()}
        assert (first.start_ns, first.end_ns, first.resource) == (second.start_ns, second.end_ns, second.resource)


def test_a_session_is_picked_on_the_server(double: ClickHouse) -> None:
    """What is looked for goes as parameters with escapes, in requests that can only read."""
    double.session, double.ttl = session_id(double), TTL
    with serving(double) as server:
        spans = list(livekit_otel.read_spans(url(server, f"{SINCE}&session={double.session}&service=it's")))
        assert {span.session_id for span in spans} == {double.session}
        searches = [asked for asked in server.asked if asked.one("query").startswith("SELECT TraceId FROM")]
        assert [asked.method for asked in server.asked] == ["GET"] * len(server.asked)
        assert searches[0].one("param_session") == double.session
        assert searches[0].one("param_service") == "it\\'s"
        assert not any(double.session in asked.one("query") for asked in server.asked)
        said = failure(url(server, f"{SINCE}&session=S-none"))
    assert "ClickHouse holds no session 'S-none' between 2023-01-01T00:00:00Z" in said
    assert said.endswith("the table keeps rows for 72 hours")


@pytest.mark.parametrize("ttl", ["", "TTL toDateTime(Timestamp) + toIntervalYear(900)", TTL])
def test_rows_that_the_table_deletes(double: ClickHouse, ttl: str) -> None:
    """Of a call as old as what the table deletes, a report that is not whole says so; a whole one does not."""
    double.ttl = ttl
    with serving(double) as server:
        whole = livekit_otel.build_report(livekit_otel.read_spans(url(server)))
        double.rows = [row for row in double.rows if row["name"] != attr.KIND_SESSION]
        cut = livekit_otel.build_report(livekit_otel.read_spans(url(server)))
    said = "the table deletes rows after 72 hours: spans of calls as old as these may be gone"
    assert whole.complete
    assert not any(said in one for one in whole.warnings)
    assert not cut.complete
    assert any(said in one for one in cut.warnings) == (ttl == TTL)


def test_texts_are_named_before_the_session_is_whole() -> None:
    """A report that is made as soon as its session is whole says which of its attributes came back as text."""
    double = ClickHouse("map")
    for row in double.rows:
        row["attributes"] = {**row["attributes"], "order.count": "3", "order.note": "three"}
    with serving(double) as server:
        found = livekit_otel.build_report(livekit_otel.read_spans(url(server)), session_id(double))
    assert found.complete
    (said,) = found.warnings
    assert said.endswith("came back as text, because the table's Map column does not store types: order.count")


def test_nulls_of_a_view(double: ClickHouse) -> None:
    """A view that has nulls where the exporter writes empty texts is read."""
    for row in double.rows:
        row.update({name: row[name] or None for name in ("parent", "message", "status")})
    with serving(double) as server:
        assert as_json(livekit_otel.build_report(livekit_otel.read_spans(url(server))).to_dict()) == REPORT


@pytest.mark.parametrize("query", ["since=1600-01-01", "since=2023-01-01&until=9999-12-31"])
def test_times_beyond_the_servers(query: str) -> None:
    """A period that reaches further than the server's times is cut to them."""
    double = ClickHouse("map")
    with serving(double) as server:
        assert list(livekit_otel.read_spans(url(server, query)))
    numbers = [int(asked.one(f"param_{name}") or 0) for asked in server.asked for name in ("since", "until")]
    assert all(0 <= one < 2**63 for one in numbers)


def test_a_query_that_stops_in_its_answer(double: ClickHouse) -> None:
    """An error after some rows, in each of the forms that servers write it in, is a partial read and no report."""
    code = "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"
    rows = sum(row["scope"] == attr.SCOPE for row in double.rows)
    for after in (code, json.dumps({"exception": code}), f"__exception__\r\nabc\r\n{code}"):
        double.after = after.encode()
        with serving(double) as server, pytest.raises(PartialReadError) as caught:
            list(livekit_otel.read_spans(url(server)))
        assert f"reading broke off after {rows} spans, not all are here: ClickHouse stopped" in str(caught.value)


def test_a_connection_that_breaks(double: ClickHouse) -> None:
    """Half an answer is never taken for a whole one."""
    double.cut = True
    with serving(double) as server:
        said = failure(url(server))
    assert "the connection to" in said
    assert "broke off" in said


def test_rows_that_are_no_spans(double: ClickHouse) -> None:
    """A row with odd ids is skipped and named; the rest is read."""
    count = len(double.rows)
    double.rows.append({**double.rows[0], "span": "nothing"})
    with serving(double) as server:
        stream = livekit_otel.read_spans(url(server))
        assert len(list(stream)) == count
    (problem,) = stream.problems
    assert "a row was skipped: its ids" in str(problem)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Error", "error"),
        ("STATUS_CODE_ERROR", "error"),
        ("Ok", "ok"),
        ("Unset", "unset"),
        ("STATUS_CODE_UNSET", "unset"),
    ],
)
def test_codes_of_all_versions(code: str, status: str) -> None:
    """Status codes are read as every version of the exporter wrote them, numbers as texts or numbers."""
    double = ClickHouse("map")
    row = double.rows[0]
    row.update(status=code, message="why", start=str(row["start"]), duration=str(row["duration"]))
    with serving(double) as server:
        spans = {span.span_id: span for span in livekit_otel.read_spans(url(server))}
    assert (spans[row["span"]].status, spans[row["span"]].status_message) == (status, "why")


def test_names_within_names() -> None:
    """Of a JSON column an attribute whose name begins another one's is read, too."""
    double = ClickHouse("json")
    raw = json.dumps(double.rows[0]["attributes"])[:-1] + ', "order": "first", "order": {"id": 7, "lines": {"n": 0}}}'
    line = json.dumps({**double.rows[0], "attributes": None}).replace('"attributes": null', f'"attributes": {raw}')
    span = double.rows.pop(0)["span"]
    double.after = line.encode()
    with serving(double) as server:
        spans = {one.span_id: one for one in livekit_otel.read_spans(url(server))}
    found = {name: value for name, value in spans[span].attributes.items() if name.startswith("order")}
    assert found == {"order": "first", "order.id": 7, "order.lines.n": 0}


def test_broken_text() -> None:
    """Bytes that are no UTF-8, which the engine stores and writes as they are, cost a sign and not the call."""
    double = ClickHouse("map")
    first = double.rows.pop(0)
    line = json.dumps({**first, "message": "MARK"}).encode().replace(b"MARK", b"caf\xe9")
    double.after = line + b"\n"
    with serving(double) as server:
        spans = {one.span_id: one for one in livekit_otel.read_spans(url(server))}
    assert spans[first["span"]].status_message == "caf\ufffd"


def test_errors(double: ClickHouse) -> None:
    """Each thing that can be wrong with an address or a table is one line that says what to do."""
    with serving(double) as server:
        assert "Table otel.nope does not exist" in failure(url(server, path="/otel/nope"))
        assert "too many parts; the path is /database or /database/table" in failure(url(server, path="/a/b/c"))
        double.columns = [one for one in double.columns if one["name"] != "SpanAttributes"]
        assert "the table 'otel_traces' has no column SpanAttributes: give a table of" in failure(url(server))
        double.columns.append({"name": "SpanAttributes", "type": "String"})
        assert "the column SpanAttributes has the type String, which is neither a Map of texts nor JSON" in failure(
            url(server)
        )
        double.columns[-1]["type"] = "Map(String, UInt8)"
        assert "the type Map(String, UInt8), which is neither a Map of texts nor JSON" in failure(url(server))
        for name, type in (("Timestamp", "DateTime"), ("TraceId", "UUID")):
            (column,) = (one for one in double.columns if one["name"] == name)
            right, column["type"] = column["type"], type
            said = failure(url(server))
            assert f"the column {name} has the type {type}; the collector's clickhouseexporter makes it {right}" in said
            column["type"] = right
    with serving(lambda asked: Reply(b"<html>hello</html>", headers={"content-type": "text/html"})) as server:
        assert "this is not a response of ClickHouse, but a web page" in failure(url(server))


@pytest.mark.parametrize("where", ["address", "environment"])
def test_credentials(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password go as Basic, from the address or the environment, and no error repeats them."""
    seen: list[str] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked.headers["authorization"])
        return Reply(b"Code: 516. DB::Exception: ada: Authentication failed: c4n4ry is wrong. (AUTH)", 403)

    if where == "environment":
        monkeypatch.setenv("CLICKHOUSE_USER", "ada")
        monkeypatch.setenv("CLICKHOUSE_PASSWORD", "c4n4ry")
    with serving(answer) as server:
        said = failure(url(server, user="ada:c4n4ry@" if where == "address" else ""))
    assert seen == ["Basic YWRhOmM0bjRyeQ=="]
    assert "c4n4ry" not in said
    assert "access is denied: check the user and password in the address, or CLICKHOUSE_USER" in said


def test_ports() -> None:
    """Without a port it is ClickHouse's own, with TLS the one for TLS."""
    assert "http://127.0.0.1:8123 " in failure("clickhouse://127.0.0.1/otel")
    assert "https://127.0.0.1:8443 " in failure("clickhouses://127.0.0.1/otel")


TRACE = "a" * 32
LISTED = {
    "trace": TRACE, "session": "S-1", "start": "1700000000000000000", "end": "1700000010000000000", "ended": "1",
    "conversation": "RM_1", "started": "1700000000.5", "turns": "2", "reason": "user_initiated",
    "ended_by": "close", "counted": "9", "lost": "", "follows": "", "final": "", "slow": "2", "failed": "0",
}  # fmt: skip
COUNTED = {
    **{name: LISTED[name] for name in ("trace", "session", "start", "end", "conversation")},
    "turns": "1",
    "dead_air": 0,
    "failed": 0,
    "false_cutoff": 0,
    "interrupted": 0,
    "never_answered": 0,
    "slow": "1",
}


@pytest.mark.parametrize(
    ("changes", "spans", "complete"),
    [
        ({}, 9, True),
        ({}, 8, False),
        ({"lost": "1"}, 9, False),
        ({"reason": ""}, 9, False),
        ({"follows": "true"}, 9, False),
        ({"follows": "true", "final": "true"}, 9, True),
        ({"ended": "0", "counted": "", "reason": "", "turns": ""}, 9, False),
        (None, 9, False),
    ],
)
def test_the_list(
    changes: dict[str, Any] | None, spans: int, complete: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A listed session is complete when it was closed and its counts agree; one whose own spans do not say how many
    there are, or are not there at all (None), is counted."""
    double = ClickHouse("map")

    def answer(asked: Asked) -> Reply:
        query = asked.one("query")
        if "livekit-agents" in query:
            return Reply(b"")
        if " AS spans" in query:
            return Reply({"trace": TRACE, "spans": str(spans), "end": LISTED["end"]})
        if "groupUniqArrayIf" in query:
            assert f"TraceId IN ['{TRACE}']" in query
            return Reply(COUNTED)
        if "countIf" in query:
            return Reply(b"" if changes is None else {**LISTED, **changes})
        return double(asked)

    with serving(answer) as server:
        times = ["--since", "2023-11-14T22:00:00Z", "--until", "2023-11-15"]
        assert main(["sessions", url(server, ""), *times, "--format", "json"]) == 0
    counted = changes is None or "ended" in changes or spans == 8
    assert json.loads(capsys.readouterr().out) == [
        {
            "session_id": "S-1",
            "conversation_id": "RM_1",
            "started_at": 1700000000.0 if changes is None else 1700000000.5,
            "duration": 10.0 if changes is None else 9.5,
            "turns": 1 if counted else 2,
            "agent": "",
            "worst_wait": None,
            "failures": None,
            "close_reason": "CR_USER_INITIATED" if changes is not None and changes.get("reason") != "" else None,
            "complete": complete,
            "flagged": {"slow": 1 if counted else 2},
            "warnings": None,
            "error": None,
        }
    ]


class Endless(BaseHTTPRequestHandler):
    """Answers for rows with one row over and over, 40 MB of it, as the server makes them."""

    double = ClickHouse("map")
    rows = 4_000

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        reply = self.double(Asked("GET", "/", query, {}))
        self.send_response(200)
        self.end_headers()
        if "SpanId AS span" not in query["query"][0]:
            self.wfile.write(reply.data)
            return
        row = {**self.double.rows[0], "message": "x" * 10_000}
        for number in range(self.rows):
            self.wfile.write(json.dumps({**row, "span": f"{number:016x}"}).encode() + b"\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


def test_memory_does_not_follow_the_answer() -> None:
    """Rows are read as they come: an answer of 40 MB never takes more than a few."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        tracemalloc.start()
        try:
            count = sum(1 for _ in livekit_otel.read_spans(f"clickhouse://127.0.0.1:{server.server_port}/otel?{SINCE}"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            server.shutdown()
    assert count == Endless.rows
    assert peak < 8 << 20
