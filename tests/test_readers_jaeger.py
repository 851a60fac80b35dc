"""The Jaeger reader, against a local server that answers as Jaeger's query API does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import livekit_otel
import tests.scenarios  # noqa: F401
from livekit_otel import PartialReadError, SourceError, SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.readers import backend
from livekit_otel.transport import client
from livekit_otel.transport.retry import READING

from .bad_servers import hanging_up_server, hung_server
from .jaeger_double import MISSING, Jaeger
from .json_server import Asked, Failing, JsonServer, Reply, serving
from .kit.run import as_json
from .kit.trace import Trace, record

FIXTURES = Path(__file__).parent / "fixtures" / "backends"
SINCE = "since=2023-01-01"
CALLS = ("one_tool", "realtime_conversation", "words_of_the_world", "two_sessions_in_one_job", "redacted_session")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between attempts are told, not slept; no credentials come from the machine."""
    waits: list[float] = []
    monkeypatch.setattr(client, "_sleep", waits.append)
    monkeypatch.delenv("JAEGER_TOKEN", raising=False)
    return waits


def url(server: JsonServer, query: str = SINCE, user: str = "") -> str:
    return f"jaeger://{user}127.0.0.1:{server.port}?{query}"


def read(server: JsonServer, query: str = SINCE, user: str = "") -> list[SpanRecord]:
    return list(livekit_otel.read_spans(url(server, query, user)))


def reports(spans: Any) -> list[str]:
    built = sorted(livekit_otel.build_reports(spans), key=lambda one: one.session_id)
    assert all(one.complete and not [w for w in one.warnings if "redacted" not in w] for one in built)
    return [json.dumps(as_json(one.to_dict())) for one in built]


def test_traces_of_both_schemas_are_found() -> None:
    """A search finds what this version wrote and what earlier ones did, each trace once."""
    new, other = record("one_tool"), record("words_of_the_world")
    field = json.dumps({"key": attr.SCHEMA, "value": {"intValue": "2"}})
    text = json.dumps([json.loads(line) for line in other.text.splitlines()]).replace(
        field, field.replace('"2"', '"1"')
    )
    old = dataclasses.replace(other, text="\n".join(json.dumps(line) for line in json.loads(text)))
    with serving(Jaeger(new, old)) as server:
        found = read(server)
    assert {span.attributes[attr.SCHEMA] for span in found} == {1, 2}
    assert len(found) == len(new.pipeline) + len(other.pipeline)
    assert len(reports(found)) == 2


def failure(source: str, kind: type[SourceError] = SourceError) -> str:
    """The one line that reading ends with."""
    with pytest.raises(kind) as error:
        list(livekit_otel.read_spans(source))
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("texts_only", [False, True], ids=["memory", "elasticsearch"])
@pytest.mark.parametrize("name", CALLS)
def test_reports_come_back_equal(name: str, texts_only: bool) -> None:
    """Every session read from Jaeger gives the report that its spans in memory give."""
    trace = record(name)
    with serving(Jaeger(trace, texts_only=texts_only)) as server:
        found = read(server)
        assert reports(found) == reports(trace.pipeline)
        # resources differ in nothing, and times and types are exact
        expected = {span.span_id: _comparable(span) for span in trace.pipeline}
        assert {span.span_id: _comparable(span) for span in found} == expected


def _comparable(span: SpanRecord) -> tuple[Any, ...]:
    plain = {name: list(one) if isinstance(one, tuple) else one for name, one in span.attributes.items()}
    return span.trace_id, span.parent_id, span.name, span.start_ns, span.end_ns, plain, span.status, span.scope


def test_a_recorded_answer_is_read() -> None:
    """What a real Jaeger answered for a call gives its whole report."""
    recorded = FIXTURES.joinpath("jaeger_trace.json").read_bytes()
    with serving(lambda asked: Reply(recorded)) as server:
        report = livekit_otel.build_report(livekit_otel.read_spans(url(server, "trace=" + "9e" * 16)))
    assert (report.complete, report.warnings, len(report.turns)) == (True, [], 2)


def test_one_session_among_others() -> None:
    """``session=`` finds a call by our id or by the room's, and leaves the others in its trace out."""
    trace, other = record("two_sessions_in_one_job"), record("one_tool")
    with serving(Jaeger(other, trace)) as server:
        for wanted in {span.session_id for span in trace.pipeline}:
            assert {span.session_id for span in read(server, f"{SINCE}&session={wanted}")} == {wanted}
        room = other.pipeline[0].attributes[attr.BACKEND_SESSION_ID]
        assert len(read(server, f"{SINCE}&session={room}")) == len(other.pipeline)


def test_releases_that_overlook_attributes_in_a_search() -> None:
    """Where a search gives any traces of the service, those that match, and no others, are found another way."""
    trace, other = record("one_tool"), record("barge_in")
    both = Trace("both", [], [], trace.text + other.text)
    session_id = trace.pipeline[0].session_id
    room = trace.pipeline[0].attributes[attr.BACKEND_SESSION_ID]
    with serving(Jaeger(both, before_2_19=True)) as server:
        for wanted in (session_id, room):
            found = read(server, f"{SINCE}&session={wanted}")
            assert {span.span_id for span in found} == {span.span_id for span in trace.pipeline}
        assert len(read(server)) == len(trace.pipeline) + len(other.pipeline)
        assert "Jaeger holds no session 'nope'" in failure(url(server, f"{SINCE}&session=nope"))


def test_service_trace_and_limit() -> None:
    """``service=`` searches that service alone, ``trace=`` gets one trace, and reaching ``limit=`` is told."""
    one, two = record("one_tool"), record("realtime_conversation")
    with serving(Jaeger(one, two)) as server:
        assert len(read(server, f"{SINCE}&service=agent-1")) == len(two.pipeline)
        assert len(read(server, f"trace={one.pipeline[0].trace_id.upper()}")) == len(one.pipeline)
        stream = livekit_otel.read_spans(url(server, f"{SINCE}&service=agent-0&limit=1"))
        list(stream)
        assert [problem.reason for problem in stream.problems] == [
            "the search stopped at limit=1 traces of 'agent-0': raise it, or set since=, until="
        ]


def test_only_our_spans_unless_asked() -> None:
    """LiveKit's own spans of the same trace are read only when all scopes are asked for."""
    trace = record("one_tool", native_spans=True)
    with serving(Jaeger(trace)) as server:
        assert len(read(server)) == len(trace.pipeline)
        everything = list(livekit_otel.read_spans(url(server), all_scopes=True))
        assert {span.span_id for span in everything} == {span.span_id for span in trace.records}


def test_retries_are_polite(no_waiting: list[float]) -> None:
    """429 waits as long as it is told to, 500 and a broken answer a little, and then all is there."""
    trace = record("one_tool")
    replies = {
        0: Reply({"message": "slow down"}, 429, {"Retry-After": "7"}),
        1: Reply(b"oops", 500),
        3: Reply(json.dumps({"services": ["agent-0"]}).encode() * 10, cut=True),
    }
    with serving(Failing(Jaeger(trace), replies)) as server:
        assert len(read(server)) == len(trace.pipeline)
    assert len(no_waiting) == 3
    assert no_waiting[0] == 7.0
    assert all(0.3 < wait < 2 for wait in no_waiting[1:])


def test_a_server_that_dies_in_the_middle() -> None:
    """When a later request fails for good, that is said, and that what was read is not all."""
    answer = Failing(Jaeger(record("one_tool"), record("barge_in")), {}, then=None)
    with serving(answer) as server:
        count = len(record("one_tool").pipeline)
        server.answer = Failing(
            Jaeger(record("one_tool"), record("barge_in")), {2: Reply(b"", 503)}, then=Reply(b"", 503)
        )
        said = failure(url(server), PartialReadError)
    assert said == (
        f"jaeger://127.0.0.1:{server.port}?{SINCE}: reading broke off after {count} spans, not all are here: "
        f"Jaeger answered 503 (Service Unavailable), {READING.attempts} times; try again later"
    )


def test_half_a_session_is_not_taken_for_whole() -> None:
    """Spans that Jaeger does not have are counted in the report's warnings."""
    trace = record("one_tool")
    half = Trace(trace.name, trace.outcomes, trace.exported, "\n".join(trace.text.splitlines()[2:]))
    with serving(Jaeger(half)) as server:
        report = livekit_otel.build_report(livekit_otel.read_spans(url(server)))
    assert not report.complete
    assert f"2 of {len(trace.pipeline)} spans are missing" in report.warnings


def test_credentials_are_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password of the address, or a token of the environment, reach the server and no message."""
    with serving(Jaeger(record("one_tool"))) as server:
        stream = livekit_otel.read_spans(url(server, user="ada:s%40cret@"))
        list(stream)
        assert server.asked[-1].headers["authorization"] == "Basic YWRhOnNAY3JldA=="
        assert stream.source == url(server)
        monkeypatch.setenv("JAEGER_TOKEN", "tok-1")
        read(server)
        assert server.asked[-1].headers["authorization"] == "Bearer tok-1"
        server.answer = lambda asked: Reply({"error": {"message": "who?"}}, 401)
        said = failure(url(server, user="ada:s%40cret@"))
    assert said.endswith(
        "Jaeger answered 401 (who?); it does not accept the credentials: "
        "check the user and password in the address, or JAEGER_TOKEN"
    )
    assert "cret" not in said


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("session=nope&since=2023-01-01", "Jaeger holds no session 'nope' between 2023-01-01T00:00:00Z and"),
        ("since=10m", "check that the call was traced with livekit_otel and exported to here"),
        ("", "or look further back, as with since=30d"),
        ("service=nobody", "Jaeger knows no service 'nobody'; there are: other"),
        ("trace=" + "0" * 32, "Jaeger holds no trace 00000000000000000000000000000000 with spans of livekit_otel"),
    ],
)
def test_an_empty_result_says_what_was_looked_for(query: str, says: str) -> None:
    """Nothing found is an error that names what was asked for, and what to try."""

    def empty(asked: Asked) -> Reply:
        return Reply({"services": ["other"]}) if asked.path.endswith("services") else MISSING

    with serving(empty) as server:
        assert says in failure(url(server, query))


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (
            Reply(b"<html>hi</html>"),
            "this is not a response of Jaeger, but a web page; check the address, port and path",
        ),
        (Reply({"data": 1}), "this is not a response of Jaeger; check the address, port and path"),
        (Reply(b"404 page not found", 404), "Jaeger answered 404; is this the address of its query service?"),
        (Reply(b'{"error":' * 20_000, 404), "Jaeger answered 404; is this the address of its query service?"),
        (
            Reply({"error": {"httpCode": 400, "message": "malformed\nparameter"}}, 400),
            "Jaeger answered 400 (malformed parameter); check the parameters of the address",
        ),
        (Reply(b"", 500, {"Retry-After": "3600"}), "asks to wait 3600 s; try again then"),
        (Reply(b"{}" * 100, cut=True), "broke off"),
    ],
)
def test_a_wrong_address_is_said_so(reply: Reply, says: str) -> None:
    """What is not Jaeger, or will not answer, is one clear line."""
    with serving(lambda asked: reply) as server:
        assert says in failure(url(server, "service=a&since=2h"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "jaeger://127.0.0.1:1",
            "cannot connect to http://127.0.0.1:1 (Connection refused); check that Jaeger is running there",
        ),
        ("jaeger://127.0.0.1:99999", "not an address"),
        (
            "jaeger://localhost?sinc=2h",
            "unknown parameter 'sinc'; there are: service, session, trace, since, until, limit",
        ),
        (
            "jaeger://localhost?since=yesterday",
            "'yesterday' is not a time; give one like 2026-01-31T14:00:00Z, or how long ago: 30m",
        ),
        ("jaeger://localhost?since=1h&until=2h", "since is not before until"),
        ("jaeger://localhost?limit=0", "limit '0' is not a number of traces"),
        ("jaeger://localhost?trace=abc", "trace 'abc' is not a trace ID; those have 32 hex digits"),
        ("jaeger://localhost?service=", "parameter service is empty"),
        ("jager://u:hidden@localhost", "no reader for jager:// sources; give a path, or one of clickhouse://, file://"),
    ],
)
def test_a_bad_source_is_said_at_once(source: str, says: str) -> None:
    """A source that cannot work is one line that shows no password."""
    said = failure(source)
    assert says in said
    assert "hidden" not in said


def test_plain_http_asked_for_tls() -> None:
    """``jaegers://`` to a server without TLS says what to use instead."""
    with serving(Jaeger()) as server:
        said = failure(f"jaegers://127.0.0.1:{server.port}")
    assert f"no secure connection to https://127.0.0.1:{server.port}" in said
    assert "if it is plain HTTP, use a scheme that ends in +http" in said


def test_a_port_that_speaks_no_http(no_waiting: list[float]) -> None:
    """A port for gRPC, which hangs up, is said to be another than the one of the pages."""
    with hanging_up_server() as address:
        said = failure(address.replace("http://", "jaeger://"))
    assert f"{address} closed the connection without responding" in said
    assert said.endswith("; check that this is the port of Jaeger's web interface, and not one for gRPC or TLS")
    assert len(no_waiting) + 1 == READING.attempts


def test_a_hung_server_is_given_up(no_waiting: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers is asked twice, not for as long as one that asks for patience."""
    monkeypatch.setattr(backend, "_READ_SECONDS", 0.2)
    with hung_server() as address:
        said = failure(address.replace("http://", "jaeger://"))
    assert said.endswith(f"Jaeger at {address} did not respond within 0 s, {READING.timeouts} times; try again later")
    assert len(no_waiting) + 1 == READING.timeouts


def test_times_of_a_source() -> None:
    """Times are ISO 8601 in any zone, or relative; a plus sign may stand as it is."""
    with serving(Jaeger(record("one_tool"))) as server:
        read(server, "since=2023-11-14T23:00:00+02:00&until=2023-11-15")
        asked = server.asked[-1]
        assert asked.one("query.startTimeMin") == "2023-11-14T21:00:00.000000000Z"
        assert asked.one("query.startTimeMax") == "2023-11-15T00:00:00.000000000Z"
