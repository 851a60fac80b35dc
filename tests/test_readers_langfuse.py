"""The Langfuse reader, against a local server with both of Langfuse's APIs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan

import livekit_otel
import tests.scenarios  # noqa: F401
from livekit_otel import PartialReadError, SourceError, SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.exporters import langfuse
from livekit_otel.transport import client

from .json_server import Asked, Failing, JsonServer, Reply, serving
from .kit.run import as_json
from .kit.trace import record
from .langfuse_double import PUBLIC, SECRET, Langfuse

FIXTURES = Path(__file__).parent / "fixtures" / "backends"
SINCE = "since=2023-01-01"
CALLS = (
    "one_tool",
    "realtime_conversation",
    "words_of_the_world",
    "two_sessions_in_one_job",
    "redacted_session",
    "long_tool_result",
    "llm_fails_for_good",
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between attempts are told, not slept; keys come from the environment."""
    waits: list[float] = []
    monkeypatch.setattr(client, "_sleep", waits.append)
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", PUBLIC)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET)
    for name in ("HOST", "BASE_URL", "TRACING_ENVIRONMENT"):
        monkeypatch.delenv(f"LANGFUSE_{name}", raising=False)
    return waits


def stored(*calls: Sequence[ReadableSpan], version: int = 4, page: int = 1000, plain: bool = False) -> Langfuse:
    """A Langfuse that was sent the spans, by the preset or by a plain OTLP exporter."""
    double = Langfuse(version=version, page=page)
    with serving(double) as server:
        for spans in calls:
            if plain:
                token = base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
                headers = {"Authorization": f"Basic {token}", "x-langfuse-ingestion-version": "4"}
                OTLPSpanExporter(f"{server.url}/api/public/otel/v1/traces", headers=headers).export(list(spans))
                continue
            processor = langfuse(host=server.url)
            for span in spans:
                processor.on_end(span)
            processor.shutdown()
    return double


def url(server: JsonServer, query: str = SINCE, user: str = "") -> str:
    return f"langfuse+http://{user}127.0.0.1:{server.port}?{query}"


def read(server: JsonServer, query: str = SINCE) -> list[SpanRecord]:
    return list(livekit_otel.read_spans(url(server, query)))


def reports(spans: Any) -> list[str]:
    built = sorted(livekit_otel.build_reports(spans), key=lambda one: one.session_id)
    assert all(one.complete and not [w for w in one.warnings if "redacted" not in w] for one in built)
    return [json.dumps(as_json(one.to_dict())) for one in built]


def failure(source: str, kind: type[SourceError] = SourceError) -> str:
    """The one line that reading ends with."""
    with pytest.raises(kind) as error:
        list(livekit_otel.read_spans(source))
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", CALLS)
def test_reports_come_back_equal(name: str, version: int) -> None:
    """Every session sent by the preset comes back from either version with the report that it has in memory."""
    trace = record(name)
    with serving(stored(trace.exported, version=version, page=7)) as server:
        found = read(server)
    assert reports(found) == reports(trace.pipeline)
    expected = {span.span_id: _comparable(span) for span in trace.pipeline}
    assert {span.span_id: _comparable(span) for span in found} == expected


def _comparable(span: SpanRecord) -> tuple[Any, ...]:
    plain = {name: list(one) if isinstance(one, tuple) else one for name, one in span.attributes.items()}
    for name in attr.GENAI_CONTENT & plain.keys():
        # version 3 shows them as JSON, spaces and all
        plain[name] = _parsed(plain[name])
    return span.trace_id, span.parent_id, span.name, span.start_ns, span.end_ns, plain, span.status, span.scope


def _parsed(text: Any) -> Any:
    try:
        # half a surrogate pair is not for JSON in UTF-8
        return json.loads(re.sub(r"\\ud83d(?!\\u)", r"\\ufffd", text))
    except ValueError:
        return text


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", ["one_tool", "realtime_conversation"])
def test_spans_that_a_plain_exporter_sent_come_back_too(name: str, version: int) -> None:
    """Without the preset (as from a collector) the report is the same; only times are cut at milliseconds."""
    trace = record(name)
    with serving(stored(trace.exported, version=version, plain=True)) as server:
        found = read(server)
    assert reports(found) == reports(trace.pipeline)
    starts = {span.span_id: span.start_ns for span in trace.pipeline}
    assert all(0 <= starts[span.span_id] - span.start_ns < 1_000_000 for span in found)


def test_turns_of_a_read_session_are_the_live_ones() -> None:
    """Latency, silence and words of each turn are the ones derived from memory, to the digit."""
    trace = record("one_tool")
    with serving(stored(trace.exported)) as server:
        (found,) = livekit_otel.build_report(livekit_otel.read_spans(url(server))).turns
    (expected,) = livekit_otel.build_report(trace.pipeline).turns
    assert (found.latency, found.silence, found.usage) == (expected.latency, expected.silence, expected.usage)
    assert (found.user_text, found.agent_text) == (expected.user_text, expected.agent_text)


@pytest.mark.parametrize("name", ["langfuse_v3.json", "langfuse_v4.json"])
def test_documented_shapes_are_read(name: str) -> None:
    """An observation in the documented shape of either version gives back names, types, times and parents."""
    page = json.loads(FIXTURES.joinpath(name).read_bytes())
    version = 4 if "v4" in name else 3

    def answer(asked: Asked) -> Reply:
        return Reply(page) if ("/v2/" in asked.path) == (version == 4) else Reply({"message": "no"}, 404)

    with serving(answer) as server:
        session, llm = read(server, f"trace={'0af7651916cd43dd8448eb211c80319c'}")
    assert (session.name, session.parent_id, session.scope) == ("session.start", "00f067aa0ba902b7", attr.SCOPE)
    assert session.attributes == {
        attr.KIND: "session.start",
        attr.SCHEMA: 1,
        attr.SESSION_ID: "edbd0bc6a95543259df8c9279850acb3",
        attr.BACKEND_SESSION_ID: "12345",
        attr.SESSION_STARTED_AT: 1700000000.0,
        attr.SESSION_REDACTED: False,
        attr.journal_piece(0, pii=False): '0.0.1.12|[["b",false]]',
    }
    assert session.resource == {"service.name": "agent"}
    assert (llm.name, llm.status, llm.start_ns) == ("llm", "error", 1_700_000_000_250_000_000)
    assert llm.attributes[attr.RESPONSE_FINISH_REASONS] == ["stop"]
    assert llm.attributes[attr.metric("llm", "prompt_tokens")] == 30
    assert llm.attributes[attr.metric("llm", "ttft")] == 1.0
    assert llm.attributes[attr.SYSTEM_INSTRUCTIONS] == '[{"type":"text","content":"be nice"}]'
    assert json.loads(str(llm.attributes[attr.INPUT_MESSAGES])) == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    ]


@pytest.mark.parametrize("version", [3, 4])
def test_one_session_among_others(version: int) -> None:
    """``session=`` finds a call by our id or by the room's, and leaves all others out."""
    two, one = record("two_sessions_in_one_job"), record("one_tool")
    with serving(stored(two.exported, one.exported, version=version)) as server:
        for wanted in {span.session_id for span in two.pipeline}:
            assert {span.session_id for span in read(server, f"{SINCE}&session={wanted}")} == {wanted}
        room = one.pipeline[0].attributes[attr.BACKEND_SESSION_ID]
        assert len(read(server, f"{SINCE}&session={room}")) == len(one.pipeline)


@pytest.mark.parametrize("version", [3, 4])
def test_service_trace_and_limit(version: int) -> None:
    """``service=`` looks at the resource, ``trace=`` gets one trace, and ``limit=`` says that there are more."""
    old, new = record("barge_in"), record("one_tool")
    double = stored(old.exported, new.exported, version=version)
    for one in double.observations[: len(old.pipeline)]:
        one["metadata"]["resourceAttributes"]["service.name"] = "other"
        one["startTime"] = one["startTime"].replace("2023", "2022")
    with serving(double) as server:
        assert len(read(server, f"trace={old.pipeline[0].trace_id}")) == len(old.pipeline)
        since = "since=2020-01-01"
        assert {span.session_id for span in read(server, f"{since}&service=other")} == {old.pipeline[0].session_id}
        stream = livekit_otel.read_spans(url(server, f"{since}&limit=1"))
        assert {span.session_id for span in stream} == {new.pipeline[0].session_id}
    assert [problem.reason for problem in stream.problems] == [
        "only the newest 1 traces were read; for others raise limit= or set until="
    ]


@pytest.mark.parametrize("version", [3, 4])
def test_retries_are_polite(version: int, no_waiting: list[float]) -> None:
    """429 waits as long as it is told to, 500 a little, and then all is there."""
    trace = record("one_tool")
    double = stored(trace.exported, version=version, page=6)
    replies = {0: Reply({"message": "Rate limit exceeded"}, 429, {"Retry-After": "11"}), 5: Reply(b"", 500)}
    with serving(Failing(double, replies)) as server:
        assert len(read(server)) == len(trace.pipeline)
    assert no_waiting[0] == 11.0
    assert len(no_waiting) == 2


@pytest.mark.parametrize("version", [3, 4])
def test_a_server_that_dies_in_the_middle_of_paging(version: int) -> None:
    """When a later page fails for good, that is said, and that what was read is not all."""
    trace = record("one_tool")
    double = stored(trace.exported, version=version, page=6)
    answer, died = double, Reply({"message": "Internal Server Error"}, 500)

    def dying(asked: Asked) -> Reply:
        later = "cursor" in asked.query or asked.one("page", "1") != "1"
        return died if "traceId" in asked.query and later else answer(asked)

    with serving(dying) as server:
        said = failure(url(server), PartialReadError)
    assert "reading broke off after 6 spans, not all are here: Langfuse answered 500 (Internal Server Error)" in said


def test_an_empty_page_is_the_last() -> None:
    """A server that promises more pages and sends empty ones is asked for no more of them."""

    def empty(asked: Asked) -> Reply:
        if "/v2/" in asked.path:
            return Reply({"message": "no"}, 404)
        return Reply({"data": [], "meta": {"page": int(asked.one("page", "1")), "totalPages": 2**63 - 1}})

    with serving(empty) as server:
        failure(url(server))
        assert {asked.one("page", "1") for asked in server.asked} == {"1"}


def test_metadata_that_is_cut_is_noticed() -> None:
    """Where Langfuse cuts values at 200 characters, the report says that pieces are damaged and is not complete."""
    trace = record("one_tool")
    double = stored(trace.exported)
    double.cut = True
    with serving(double) as server:
        report = livekit_otel.build_report(livekit_otel.read_spans(url(server)))
    assert not report.complete
    assert any("cut" in warning for warning in report.warnings), report.warnings


def test_half_a_session_is_not_taken_for_whole() -> None:
    """Spans that Langfuse does not have yet are counted in the report's warnings."""
    trace = record("one_tool")
    double = stored(trace.exported)
    del double.observations[5:8]
    with serving(double) as server:
        report = livekit_otel.build_report(livekit_otel.read_spans(url(server)))
    assert not report.complete
    assert f"3 of {len(trace.pipeline)} spans are missing" in report.warnings


def test_an_observation_of_another_kind_is_told_of() -> None:
    """What did not come from OpenTelemetry is passed over, and said so."""
    trace = record("one_tool")
    double = stored(trace.exported)
    double.observations.append({**double.observations[0], "id": "made-by-the-sdk"})
    with serving(double) as server:
        stream = livekit_otel.read_spans(url(server, f"trace={trace.pipeline[0].trace_id}"))
        assert len(list(stream)) == len(trace.pipeline)
    assert [problem.reason for problem in stream.problems] == [
        "a span was skipped: observation 'made-by-the-sdk' did not come from OpenTelemetry"
    ]


def test_keys_are_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the address go before those of the environment; wrong or missing ones are one clear line."""
    trace = record("one_tool")
    with serving(stored(trace.exported)) as server:
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", "wrong")
        said = failure(url(server))
        assert "Langfuse answered 401 (Invalid credentials. Confirm that you've configured the correct host.)" in said
        assert said.endswith("check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that they belong to this server")
        stream = livekit_otel.read_spans(url(server, user=f"{PUBLIC}:{SECRET}@"))
        assert len(list(stream)) == len(trace.pipeline)
        assert stream.source == url(server)
        monkeypatch.delenv("LANGFUSE_SECRET_KEY")
        assert "no keys for Langfuse; set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY" in failure(url(server))


def test_the_host_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """``langfuse://`` alone reads from the server of LANGFUSE_BASE_URL."""
    trace = record("one_tool")
    with serving(stored(trace.exported)) as server:
        monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
        assert len(list(livekit_otel.read_spans(f"langfuse://?{SINCE}"))) == len(trace.pipeline)


def test_what_is_not_there() -> None:
    """An empty project, another server and plain http are one clear line each."""
    with serving(Langfuse()) as server:
        said = failure(url(server, ""))
        assert "Langfuse holds no session between" in said
        assert "check that the keys belong to the right project" in said
        assert "or look further back, as with since=30d" in said
        said = failure(f"langfuse://127.0.0.1:{server.port}")
        assert "if it is plain HTTP, use a scheme that ends in +http" in said
        server.answer = lambda asked: Reply(b"nope", 404)
        assert "no Langfuse API at that address; check host, port and path" in failure(url(server))
        server.answer = lambda asked: Reply(b"<html></html>")
        assert "this is not a response of Langfuse, but a web page" in failure(url(server))
    assert "check that Langfuse is running there" in failure("langfuse+http://127.0.0.1:1")
