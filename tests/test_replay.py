"""Replay: stored spans reach an endpoint whole, once, and after any interruption."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from livekit_otel.cli import main
from tests.otlp_receiver import Answer, Receiver, Request

Made = dict[str, Any]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def span(number: int, **more: Any) -> Made:
    return {
        "traceId": f"{number // 100 + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": f"span {number}",
        "kind": 1,
        "startTimeUnixNano": str(1_790_000_000_000_000_000 + number),
        "endTimeUnixNano": str(1_790_000_000_500_000_000 + number),
        **more,
    }


def line(*spans: Made, scope: str = "any") -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "clerk"}}]}
    scopes = [{"scope": {"name": scope, "version": "1"}, "spans": list(spans), "schemaUrl": "https://scope"}]
    message = {"resourceSpans": [{"resource": resource, "scopeSpans": scopes, "schemaUrl": "https://resource"}]}
    return json.dumps(message, separators=(",", ":")) + "\n"


def store(path: Path, start: int, count: int, each: int = 1) -> list[str]:
    """Lines of ``each`` spans; returns the ids."""
    numbers = range(start, start + count)
    text = "".join(line(*map(span, numbers[at : at + each])) for at in range(0, count, each))
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return ids(*numbers)


def ids(*numbers: int) -> list[str]:
    return [f"{number + 1:016x}" for number in numbers]


def age(path: Path) -> None:
    """As if its writer were long gone."""
    os.utime(path, (time.time() - 60, time.time() - 60))


def replay(source: Path, receiver: Receiver | str, *options: str) -> int:
    url = receiver if isinstance(receiver, str) else receiver.url
    return main(["replay", str(source), "--to", url, *options])


class _Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def traced(path: Path) -> list[ReadableSpan]:
    """Spans with everything that spans can have, of two scopes, and their file."""
    kept = _Kept()
    provider = TracerProvider(resource=Resource({"service.name": "clerk", "n": 1}, "https://resource"))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(path)))
    one = provider.get_tracer("one", "1.0", "https://scope", {"scope": True})
    two = provider.get_tracer("two")
    values = {
        "text": "Zürich 東京 🙂", "int": 2**62, "negative": -5, "float": 0.1, "nan": float("inf"), "bool": True,
        "zero": 0, "empty": "", "list": ["a", "b"], "ints": [1, 2], "bytes": b"\x00\xff",
    }  # fmt: skip
    for number, kind in enumerate(trace.SpanKind):
        with one.start_as_current_span("outer", kind=kind, attributes=values) as outer:  # type: ignore[arg-type]
            outer.add_event("event", {"number": number})
            with two.start_as_current_span("inner", links=[trace.Link(outer.get_span_context(), {"why": "so"})]) as it:
                it.set_status(trace.Status(trace.StatusCode.ERROR, "bad"))
            outer.set_status(trace.StatusCode.OK)
    provider.shutdown()
    return kept.spans


def by_id(message: Any) -> dict[bytes, tuple[Any, ...]]:
    return {
        one.span_id: (resource.resource, resource.schema_url, scope.scope, scope.schema_url, one)
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for one in scope.spans
    }


@pytest.mark.parametrize("options", [(), ("--gzip",)])
def test_what_arrives_is_what_the_exporter_would_have_sent(
    tmp_path: Path, receiver: Receiver, options: tuple[str, ...]
) -> None:
    """Every field of every span, of every scope, equals the SDK's own protobuf encoding of the live span."""
    path = tmp_path / "trace.jsonl"
    spans = traced(path)
    assert replay(path, receiver, *options) == 0
    (request,) = receiver.accepted
    assert request.path == "/v1/traces"
    assert len(spans) == 10
    assert by_id(request.message) == by_id(encode_spans(spans))


def test_json_requests_are_otlp_json(tmp_path: Path, receiver: Receiver) -> None:
    """With --encoding json the body is OTLP JSON: hex ids, numbers for enums, strings for 64-bit integers."""
    path = tmp_path / "trace.jsonl"
    link = {"traceId": "a" * 32, "spanId": "b" * 16}
    made = span(1, kind=3, parentSpanId="c" * 16, links=[link], status={"code": 2, "message": "bad"})
    path.write_text(line(made))
    assert replay(path, receiver, "--encoding", "json") == 0
    (request,) = receiver.accepted
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == json.loads(line(made))


def test_other_writers(tmp_path: Path, receiver: Receiver) -> None:
    """Base64 ids, enum names, plain numbers, wrapped and many-line messages, and half surrogates are understood."""
    loose = span(1, kind="SPAN_KIND_SERVER", status={"code": "STATUS_CODE_ERROR"}, startTimeUnixNano=5)
    loose["traceId"] = base64.b64encode(bytes([1] * 16)).decode()
    loose["spanId"] = base64.b64encode(bytes([2] * 8)).decode()
    loose["parentSpanId"] = "0" * 16
    wrapped = {"result": json.loads(line(span(2)))}
    (tmp_path / "a.jsonl").write_text(line(loose) + '{"resourceLogs":[]}\n' + json.dumps(wrapped) + "\n")
    (tmp_path / "b.json").write_text("\ufeff" + json.dumps(json.loads(line(span(3))), indent=2))
    (tmp_path / "c.jsonl").write_text(line(span(4, name="half \ud83d")))
    for _ in range(2):
        assert replay(tmp_path, receiver) == 0
    (request,) = receiver.accepted
    first, *others = request.spans
    assert (first.trace_id, first.span_id, first.parent_span_id) == (bytes([1] * 16), bytes([2] * 8), b"")
    assert (first.kind, first.status.code, first.start_time_unix_nano) == (2, 2, 5)
    assert [one.name for one in others] == ["span 2", "span 3", "half \ufffd"]


def test_batches(tmp_path: Path, receiver: Receiver) -> None:
    """Requests hold --batch spans: lines are joined, across files, and a longer line is cut."""
    expected = store(tmp_path / "a.jsonl", 0, 5) + store(tmp_path / "b.jsonl.gz", 5, 25, each=25)
    assert replay(tmp_path, receiver, "--batch", "10") == 0
    assert [len(request.ids) for request in receiver.accepted] == [5, 10, 10, 5]
    assert receiver.ids == expected


def test_a_finished_source_sends_nothing(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second replay of the same source makes no request; another endpoint gets everything."""
    store(tmp_path / "a.jsonl", 0, 5)
    store(tmp_path / "b.jsonl.gz", 5, 5)
    assert replay(tmp_path, receiver) == 0
    assert replay(tmp_path, receiver) == 0
    assert len(receiver.requests) == 1
    assert replay(tmp_path / "a.jsonl", receiver.url + "/v1/traces") == 0
    assert len(receiver.requests) == 1
    assert replay(tmp_path, receiver.url + "/other") == 0
    assert [request.path for request in receiver.requests] == ["/v1/traces", "/other/v1/traces"]
    assert capsys.readouterr().out.splitlines() == [
        "sent 10 spans in 1 requests from 2 files",
        "sent 0 spans in 0 requests from 2 files, 2 of them sent before",
        "sent 0 spans in 0 requests from 1 file, 1 of them sent before",
        "sent 10 spans in 1 requests from 2 files",
    ]


def test_growing_files(tmp_path: Path, receiver: Receiver) -> None:
    """What is appended after a replay, also to a half-written line or a gzip file, is all that the next one sends."""
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    store(plain, 0, 3)
    store(packed, 3, 3)
    half = line(span(6), span(7))
    with plain.open("a") as file:
        file.write(half[:-30])
    assert replay(tmp_path, receiver) == 0
    assert receiver.ids == ids(*range(6))
    with plain.open("a") as file:
        file.write(half[-30:] + line(span(8)))
    with packed.open("ab") as packed_file:
        packed_file.write(gzip.compress(line(span(9)).encode()))
    assert replay(tmp_path, receiver) == 0
    assert receiver.ids == ids(*range(10))


def test_a_killed_writers_last_line(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole spans of a cut last line are sent, once; if the line is finished after all, the rest follows."""
    path = tmp_path / "a.jsonl"
    whole = line(span(1), span(2), span(3))
    cut = whole.index('"span 3"')
    path.write_text(line(span(0)) + whole[:cut])
    age(path)
    for _ in range(2):
        assert replay(path, receiver) == 0
    assert receiver.ids == ids(0, 1, 2)
    with path.open("a") as file:
        file.write(whole[cut:])
    assert replay(path, receiver) == 0
    assert receiver.ids == ids(0, 1, 2, 3)
    assert "a.jsonl:2: the last line is cut off" in capsys.readouterr().err


def test_replaced_and_rotated_files(tmp_path: Path, receiver: Receiver) -> None:
    """A new content under an old name is sent whole; an old content under a new name, or packed, is not sent again."""
    path = tmp_path / "a.jsonl"
    store(path, 0, 4)
    assert replay(tmp_path, receiver) == 0
    path.rename(tmp_path / "a.jsonl.1")
    with (tmp_path / "a.jsonl.1").open("a") as file:
        file.write(line(span(4)))
    store(path, 10, 4)
    assert replay(tmp_path, receiver) == 0
    assert sorted(receiver.ids) == ids(0, 1, 2, 3, 4, 10, 11, 12, 13)
    (tmp_path / "a.jsonl.2.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl.1").read_bytes()))
    (tmp_path / "a.jsonl.1").unlink()
    path.write_text("")
    with path.open("a") as file:
        file.write(line(span(20)))
    assert replay(tmp_path, receiver) == 0
    assert sorted(receiver.ids) == ids(0, 1, 2, 3, 4, 10, 11, 12, 13, 20)


def test_damaged_lines_are_named_and_passed_over(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be read is told with file and line, once; all the rest is sent."""
    path = tmp_path / "a.jsonl"
    bad = [span(3, spanId="xyz"), span(4, startTimeUnixNano="soon"), span(5, links=[{"spanId": "1"}]), "no span"]
    path.write_text(line(span(1)) + "{broken\n" + line(span(2), *bad, span(6)) + '{"a":1}\n' + line(span(7)))  # type: ignore[arg-type]
    assert replay(path, receiver) == 0
    assert receiver.ids == ids(1, 2, 5, 6, 7)
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {path}:2: JSON is malformed: object keys must be strings (byte 1); the line was skipped",
        f"warning: {path}:3: a span was skipped: 'xyz' is not an id of 16 hex digits",
        f"warning: {path}:3: a link was skipped: 'None' is not an id of 32 hex digits",
        f"warning: {path}:3: a span was skipped: it is not an object",
        f"warning: {path}:3: a span was skipped: startTimeUnixNano: invalid literal for int() with base 10: 'soon'",
        f"warning: {path}:4: JSON without resourceSpans; the line was skipped",
    ]
    assert replay(path, receiver) == 0
    assert len(receiver.requests) == 1
    assert capsys.readouterr().err == ""


def test_cut_gzip(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a gzip file that breaks off, what can be unpacked is sent, and that it breaks off is said."""
    path = tmp_path / "a.jsonl.gz"
    rest = random.Random(1).randbytes(20_000).hex()
    text = line(span(0)) + line(span(1)) + line(span(2, name=rest))
    path.write_bytes(gzip.compress(text.encode())[:-9000])
    age(path)
    for _ in range(2):
        assert replay(path, receiver) == 0
    assert receiver.ids == ids(0, 1)
    assert "the gzip data is cut off; the content before that was read" in capsys.readouterr().err


def test_other_files_in_the_directory(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are no traces are passed over with a note; a source of only such files is an error."""
    (tmp_path / "notes.txt").write_text("hello\n" * 3)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0\n")
    assert replay(tmp_path, receiver) == 1
    assert "none of the 3 files in the directory is a trace" in capsys.readouterr().err
    assert replay(tmp_path / "notes.txt", receiver) == 1
    assert "notes.txt: not a trace" in capsys.readouterr().err
    store(tmp_path / "sub.jsonl", 0, 2)
    for _ in range(2):
        assert replay(tmp_path, receiver) == 0
    assert receiver.ids == ids(0, 1)
    assert capsys.readouterr().err.count(": skipped: ") == 6


def test_waits_and_tries_again(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """429 with Retry-After, 503 and a dropped connection delay a batch, they do not lose it."""
    expected = store(tmp_path / "a.jsonl", 0, 3)
    answers = [Answer(429, {"retry-after": "1"}), Answer(503), Answer(hang_up=True), Answer()]
    receiver.answer = lambda request: answers.pop(0)
    started = time.monotonic()
    assert replay(tmp_path, receiver) == 0
    assert time.monotonic() - started > 1 + 0.37 + 0.75
    assert receiver.ids == expected
    assert len(receiver.requests) == 4
    assert "answered 429 Too Many Requests; next try in 1.0 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(503), "answered 503 Service Unavailable; gave up after 1 s"),
        (Answer(429, {"retry-after": "60"}), "and asks to wait 60 s; gave up after 1 s"),
        (Answer(401), "answered 401 Unauthorized; check the credentials"),
        (Answer(404), "answered 404 Not Found; check that this is the OTLP/HTTP address"),
        (Answer(302, {"location": "/"}), "answered 302 Found; use the address that it redirects to"),
        (Answer(200, body=b"<html>", content_type="text/html"), "answered with a web page"),
        (Answer(400, body=b"no \n spans", content_type="text/plain"), "no spans; it has not accepted any span"),
    ],
    ids=lambda one: str(one.status) if isinstance(one, Answer) else "",
)
def test_an_endpoint_that_refuses(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str], answer: Answer, told: str
) -> None:
    """An endpoint that cannot be used is exit code 1 and one line; nothing counts as sent."""
    expected = store(tmp_path / "a.jsonl", 0, 3)
    receiver.answer = lambda request: answer
    assert replay(tmp_path, receiver, "--retry-for", "1") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert told in last
    assert last.endswith("(0 spans were sent; run it again to send the rest)")
    receiver.accepted.clear()
    receiver.answer = lambda request: Answer()
    assert replay(tmp_path, receiver) == 0
    assert receiver.ids == expected


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refused connection is tried again for as long as was asked, and then named."""
    store(tmp_path / "a.jsonl", 0, 3)
    assert replay(tmp_path, "http://127.0.0.1:9", "--retry-for", "0") == 1
    assert "http://127.0.0.1:9/v1/traces: Connection refused (0 spans" in capsys.readouterr().err


def test_spans_that_are_refused_do_not_stop_the_others(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 400 or 413 for a batch is halved down to the span that causes it; that one is named, exit code 1."""
    expected = store(tmp_path / "a.jsonl", 0, 20, each=4)

    def answer(request: Request) -> Answer:
        if len(request.spans) > 8:
            return Answer(413)
        return Answer(400) if ids(13)[0] in request.ids else Answer()

    receiver.answer = answer
    assert replay(tmp_path, receiver) == 1
    told = capsys.readouterr().err
    assert f"a.jsonl:4: span {ids(13)[0]} was rejected: answered 400 Bad Request" in told
    assert "refused 1 spans; they are not sent again" in told
    assert receiver.ids == [one for one in expected if one != ids(13)[0]]
    before = len(receiver.requests)
    assert replay(tmp_path, receiver) == 0
    assert len(receiver.requests) == before


def test_partial_success(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans that an acknowledgement says were refused are counted and told, exit code 1."""
    store(tmp_path / "a.jsonl", 0, 5)
    response = ExportTraceServiceResponse(partial_success={"rejected_spans": 2, "error_message": "too old"})  # type: ignore[arg-type]
    receiver.answer = lambda request: Answer(body=response.SerializeToString())
    assert replay(tmp_path, receiver) == 1
    shown = capsys.readouterr()
    assert "a.jsonl:1 and after: 2 spans were rejected: too old" in shown.err
    assert shown.out == "sent 3 spans in 1 requests from 1 file\n"


def test_headers(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers come from the OTLP variables, --header goes over them, credentials of the URL are basic auth."""
    store(tmp_path / "a.jsonl", 0, 1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-one=1%20a, x-two=2")
    url = receiver.url.replace("//", "//user:pass%21@")
    assert replay(tmp_path, url, "-H", "X-Two=b=c") == 0
    sent = receiver.requests[0].headers
    assert (sent["x-one"], sent["x-two"]) == ("1 a", "b=c")
    assert sent["authorization"] == "Basic " + base64.b64encode(b"user:pass!").decode()
    assert not [file for file in tmp_path.iterdir() if b"pass" in file.read_bytes()]


@pytest.mark.parametrize(
    "options",
    [("--header", "secret"), ("--header", "a b=secret"), ("--header", "a=secret\n"[:-1] + "\r\nx: y")],
)
def test_wrong_headers(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    """A header that cannot be sent is wrong usage; its value is not shown."""
    store(tmp_path / "a.jsonl", 0, 1)
    assert replay(tmp_path, receiver, *options) == 2
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://host", "http://", "http://host:99999", "http://a b"])
def test_wrong_urls(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A URL that is none is wrong usage."""
    store(tmp_path / "a.jsonl", 0, 1)
    assert replay(tmp_path, url) == 2
    assert "is not an OTLP/HTTP address" in capsys.readouterr().err


def test_dry_run_counts(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """--dry-run says how much would be sent, makes no request and leaves no state."""
    store(tmp_path / "a.jsonl", 0, 5)
    assert replay(tmp_path, receiver, "--dry-run") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert replay(tmp_path, receiver) == 0
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(line(span(5)))
    assert replay(tmp_path, receiver, "--dry-run") == 0
    assert len(receiver.requests) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"5 spans of 1 file to send to {receiver.url}/v1/traces"
    assert out[2] == f"1 spans of 1 file to send to {receiver.url}/v1/traces"


def test_a_directory_by_its_url(tmp_path: Path, receiver: Receiver) -> None:
    """A ``file://`` URL is its path: positions are kept beside the files, and found again by either name."""
    traces = tmp_path / "the traces"
    traces.mkdir()
    sent = store(traces / "a.jsonl", 0, 3)
    assert main(["replay", traces.as_uri(), "--to", receiver.url]) == 0
    assert main(["replay", str(traces), "--to", receiver.url]) == 0
    assert receiver.ids == sent
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("source", ["jaeger://ada:secret@127.0.0.1:1/x", "https://ada:secret@host/v1"])
def test_servers_are_no_source(source: str, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """A server's address gets one line that says what can be replayed, without its password."""
    assert main(["replay", source, "--to", receiver.url]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "a replay reads files, not servers; give the file or the directory" in error
    assert "secret" not in error


def test_state_elsewhere(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """--state keeps positions in that file; one of another endpoint, or another file, is refused."""
    source, state = tmp_path / "source", tmp_path / "state"
    source.mkdir()
    store(source / "a.jsonl", 0, 5)
    for _ in range(2):
        assert replay(source, receiver, "--state", str(state)) == 0
    assert len(receiver.requests) == 1
    assert [path.name for path in source.iterdir()] == ["a.jsonl"]
    assert replay(source, receiver.url + "/x", "--state", str(state)) == 1
    assert f"the state of a replay to {receiver.url}/v1/traces, not to" in capsys.readouterr().err
    assert replay(source, receiver, "--state", str(source / "a.jsonl")) == 1
    assert "a.jsonl, line 1: not the state of a replay" in capsys.readouterr().err
    assert replay(source, receiver, "--state", str(tmp_path / "no" / "state")) == 1
    assert "choose another --state" in capsys.readouterr().err


def test_a_torn_state_counts_as_not_sent(tmp_path: Path, receiver: Receiver) -> None:
    """A state whose last line was cut by a kill loses that batch only: it is sent again, and the state is whole."""
    store(tmp_path / "a.jsonl", 0, 40)
    assert replay(tmp_path, receiver, "--batch", "10") == 0
    (state,) = tmp_path.glob(".livekit-otel-replay-*")
    lines = state.read_bytes().splitlines(keepends=True)
    state.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    receiver.accepted.clear()
    assert replay(tmp_path, receiver, "--batch", "10") == 0
    assert receiver.ids == ids(*range(20, 40))
    assert replay(tmp_path, receiver) == 0
    assert receiver.ids == ids(*range(20, 40))


def test_the_state_stays_small(tmp_path: Path, receiver: Receiver) -> None:
    """A state of many batches is cut down to the last position of each file when it is opened again."""
    path = tmp_path / "a.jsonl"
    store(path, 0, 1_200)
    assert replay(tmp_path, receiver, "--batch", "1") == 0
    (state,) = tmp_path.glob(".livekit-otel-replay-*")
    assert len(state.read_bytes().splitlines()) > 1_200
    with path.open("a") as file:
        file.write(line(span(1_200)))
    assert replay(tmp_path, receiver) == 0
    assert len(state.read_bytes().splitlines()) == 3
    assert receiver.ids == ids(*range(1_201))


COMMAND = [sys.executable, "-m", "livekit_otel", "replay"]


def test_one_replay_at_a_time(tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """A second replay of the same source to the same endpoint is refused while the first one runs."""
    expected = store(tmp_path / "a.jsonl", 0, 5)
    receiver.delay = 2.0
    first = subprocess.Popen([*COMMAND, str(tmp_path), "--to", receiver.url])
    while not receiver.requests:
        assert first.poll() is None
        time.sleep(0.01)
    assert replay(tmp_path, receiver) == 1
    assert "another replay to" in capsys.readouterr().err
    assert first.wait() == 0
    assert receiver.ids == expected


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path: Path, receiver: Receiver, kills: int) -> None:
    """After each SIGKILL a replay goes on: no span is missing, and only the batch in flight is ever sent again."""
    rng = random.Random(kills)
    expected = store(tmp_path / "a.jsonl", 0, 1_500, each=7)
    expected += store(tmp_path / "b.jsonl.gz", 1_500, 1_500, each=3)
    expected += store(tmp_path / "c.jsonl", 3_000, 1_000, each=500)
    receiver.delay = 0.002
    command = [*COMMAND, str(tmp_path), "--to", receiver.url, "--batch", "20"]
    runs: list[list[Request]] = []
    killed = 0
    while True:
        start = len(receiver.requests)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        if killed < kills:
            wanted = start + rng.choice([0, 1, 1, 4, 8])
            while len(receiver.requests) < wanted and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
        code = process.wait()
        receiver.settle()
        runs.append(receiver.requests[start:])
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed == kills
    seen: set[str] = set()
    in_flight: set[str] = set()
    for requests in runs:
        sent = [one for request in requests for one in request.ids]
        assert len(sent) == len(set(sent))
        assert seen & set(sent) <= in_flight
        seen |= set(sent)
        if requests:
            in_flight = set(requests[-1].ids)
    assert seen == set(expected)
    finished = len(receiver.requests)
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    assert len(receiver.requests) == finished
