"""What redaction.yaml, metrics.yaml and langfuse.yaml make of a call."""

from __future__ import annotations

import gzip
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from livekit_otel import attributes as a

from . import calls
from .process import wait_until
from .servers import Collector
from .waiting import in_files

pytestmark = pytest.mark.backend

StartCollector = Callable[..., Collector]
CANARY = "canary-4111111111111111"


def redacted(record: calls.Record) -> calls.Record:
    """What must be left of a record: everything but content, with a note where a text was."""

    def kept(attributes: dict[str, Any]) -> dict[str, Any]:
        gone = {"gen_ai.tool.definitions", "exception.message"}
        return {key: value for key, value in attributes.items() if not a.is_content(key) and key not in gone}

    failed, message = record["status"]
    attributes = kept(record["attributes"])
    if a.SESSION_REDACTED in attributes:
        attributes[a.SESSION_REDACTED] = True
    events = [(name, kept(inner)) for name, inner in record["events"] if name != "gen_ai.user.message"]
    return {**record, "status": (failed, "redacted" if message else ""), "attributes": attributes, "events": events}


def test_redaction_removes_content_and_nothing_else(collector: StartCollector, tmp_path: Path) -> None:
    """After redaction.yaml no byte of what people said is left, and every timing, model and token count is."""
    behind = collector("file.yaml", name="file")
    before = collector("redaction.yaml", name="redaction", NEXT_ENDPOINT=behind.otlp_grpc)
    call = calls.make_call("redacted", canary=CANARY, resource={"acme.pii.owner": CANARY})
    folder = tmp_path / "file" / "traces"
    assert calls.send(before.otlp_http, call)
    wait_until("the redacted call in the file", lambda: len(in_files(folder)) == len(call))
    assert [path.name for path in folder.iterdir() if CANARY in path.read_text()] == []
    assert in_files(folder) == [redacted(record) for record in calls.sent(call)]
    llm = [record["attributes"] for record in in_files(folder) if record["name"] == a.KIND_LLM]
    assert [(each[a.USAGE_INPUT_TOKENS], each[a.USAGE_OUTPUT_TOKENS]) for each in llm] == [calls.TOKENS] * 3


def samples(page: str, metric: str, kind: str) -> dict[str, float]:
    """Value of each ``le`` (or of the whole series, under "") of one metric and kind on a Prometheus page."""
    found = {}
    for labels, value in re.findall(rf"^{metric}{{([^}}]*)}} (\S+)$", page, re.MULTILINE):
        pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if pairs["livekit_otel_kind"] == kind:
            assert pairs["gen_ai_agent_name"] == "assistant"
            assert pairs.get("le", "") not in found, "one series, however many processes there were"
            found[pairs.get("le", "")] = float(value)
    return found


def test_metrics_count_turns_and_stages(collector: StartCollector) -> None:
    """The Prometheus page of metrics.yaml has the right count, sum and buckets for turns, stages and waits."""
    server = collector("metrics.yaml", METRICS_FLUSH="200ms")
    for number in range(2):
        process = {"service.instance.id": f"process {number}"}
        assert calls.send(server.otlp_http, calls.make_call(f"measured {number}", turns=5, resource=process))

    def page() -> str:
        with urllib.request.urlopen(server.prometheus, timeout=5) as response:
            return response.read().decode()

    for metric, kind in {"livekit_otel_duration": "turn", "livekit_otel_latency_duration": "tts"}.items():
        ten = f"{metric}_seconds_count"
        wait_until(f"ten {kind} in {ten}", lambda ten=ten, kind=kind: samples(page(), ten, kind) == {"": 10})
    text = page()
    for kind, seconds in calls.SECONDS.items():
        assert samples(text, "livekit_otel_duration_seconds_count", kind) == {"": 10}
        assert samples(text, "livekit_otel_duration_seconds_sum", kind)[""] == pytest.approx(10 * seconds)
    turns = samples(text, "livekit_otel_duration_seconds_bucket", "turn")
    assert (turns["3"], turns["4"], turns["120"], turns["+Inf"]) == (0, 10, 10, 10)
    for kind, seconds in {"turn": calls.E2E_SECONDS, "llm": 0.25, "tts": 0.125}.items():
        assert samples(text, "livekit_otel_latency_duration_seconds_count", kind) == {"": 10}
        assert samples(text, "livekit_otel_latency_duration_seconds_sum", kind)[""] == pytest.approx(10 * seconds)
    assert set(re.findall(r'livekit_otel_kind="([^"]*)"', text)) == set(calls.SECONDS)
    assert 'gen_ai_request_model="words-1"' in text


@contextmanager
def langfuse_endpoint() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """A local HTTP server that takes anything: its address, and (path, headers, body) of each request."""
    requests: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append((self.path, headers, gzip.decompress(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_langfuse_is_sent_what_it_asks_for(collector: StartCollector) -> None:
    """langfuse.yaml posts protobuf with Basic auth and the version header, and says what each observation is."""
    with langfuse_endpoint() as (url, requests):
        server = collector("langfuse.yaml", LANGFUSE_BASE_URL=url, LANGFUSE_AUTH="cHVibGljOnNlY3JldA==")
        call = calls.make_call("langfuse", turns=1)
        assert calls.send(server.otlp_http, call)
        wait_until("a request", lambda: len(requests) == 1)
    [(path, headers, body)] = requests
    assert path == "/api/public/otel/v1/traces"
    wanted = {"authorization", "x-langfuse-ingestion-version", "content-type"}
    assert {name: value for name, value in headers.items() if name in wanted} == {
        "authorization": "Basic cHVibGljOnNlY3JldA==",
        "x-langfuse-ingestion-version": "4",
        "content-type": "application/x-protobuf",
    }
    document = MessageToDict(ExportTraceServiceRequest.FromString(body))
    records = {record["name"]: record["attributes"] for record in calls.from_otlp_json(document)}
    types = {name: found.get("langfuse.observation.type") for name, found in records.items()}
    assert types == {
        **dict.fromkeys(("session", "session.start", "eou"), "span"),
        **dict.fromkeys(("stt", "llm", "tts"), "generation"),
        "turn": "agent",
        "tool": "tool",
        "agent_turn": None,
        "llm_request": None,
    }
    usage = json.loads(records["llm"]["langfuse.observation.usage_details"])
    assert usage == {"input": 93, "input_cached_tokens": 23, "input_cache_creation": 7, "output": 45}
    [llm] = [span for span in call if span.name == "llm"]
    first = datetime.fromisoformat(records["llm"]["langfuse.observation.completion_start_time"].replace("Z", "+00:00"))
    assert first.timestamp() == pytest.approx(llm.start_time / 1e9 + 0.25, abs=0.002)  # type: ignore[operator]
