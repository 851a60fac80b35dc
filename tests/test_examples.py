"""The examples do what they say: each is run as users run it, only with local models and without a LiveKit server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson

import livekit_otel
from livekit_otel import SpanRecord
from livekit_otel.demo.script import QUESTION

from .json_server import Asked, Reply, serving
from .langfuse_double import PUBLIC, SECRET, Langfuse
from .local_job import ANSWER, ROOT, hold_call
from .otlp_receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def received(receiver: Receiver, folder: Path) -> list[SpanRecord]:
    """The spans that came, of all scopes."""
    file = folder / "received.jsonl"
    lines = [MessageToJson(request.message, indent=None) for request in receiver.accepted]
    file.write_text("\n".join(lines), encoding="utf-8")
    return list(livekit_otel.read_spans(file, all_scopes=True))


def line_of(span: SpanRecord, spans: list[SpanRecord]) -> list[str]:
    """Names of a span and of all above it, up to the root."""
    by_id = {each.span_id: each for each in spans}
    names = [span.name]
    while span.parent_id is not None:
        span = by_id[span.parent_id]
        names.append(span.name)
    return names


def test_slow_turns() -> None:
    """The slow turns of the demo call are found, with the stage that took longest."""
    command = [sys.executable, "examples/slow_turns.py", "tests/data/demo-trace.jsonl.gz", "1.6"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out == "71d2de3802cb4b9183bd26550ca6964f turn 1: 2.03 s, 1.21 s of it eou\n"


def test_report_from_backend() -> None:
    """From any source, here a file, come the words of both sides and the wait by stage; a missing one is one line."""
    command = [sys.executable, "examples/report_from_backend.py"]
    out = subprocess.run(
        [*command, "tests/data/demo-trace.jsonl.gz"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert out[:5] == [
        "71d2de3802cb4b9183bd26550ca6964f: 30 s, complete",
        "  agent: Hello, this is the flower shop. How can I help you?",
        "  user:  where is my order number seven",
        "  wait:  2.03 s (transcription 0.29, eou 1.21, llm 0.22, tool 0.31, other 0.01)",
        "  agent: I have looked it up. Order number 7 is on its way.",
    ]
    missing = subprocess.run([*command, "missing.jsonl"], cwd=ROOT, capture_output=True, text=True)
    assert missing.returncode == 1
    assert "missing.jsonl" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize("example", ["slow_turns.py", "report_from_backend.py"])
def test_examples_say_what_they_need(example: str) -> None:
    """Without arguments, an example that reads a source says how it is used, in one line."""
    run = subprocess.run([sys.executable, f"examples/{example}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith(f"usage: python examples/{example} SOURCE")
    assert run.stderr.count("\n") == 1


def test_own_spans(receiver: Receiver, tmp_path: Path) -> None:
    """The user's span is below our tool span, the HTTP client's below the user's, and the service gets its id."""

    def orders(asked: Asked) -> Reply:
        return Reply({"status": "in the van"} if asked.path == "/orders/7" else {}, 200)

    with serving(orders) as service:
        hold_call("examples/own_spans.py", typed=True, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, ORDERS_URL=service.url)
    spans = received(receiver, tmp_path)
    (request,) = [span for span in spans if span.name == "GET"]
    assert line_of(request, spans) == ["GET", "look order up", "tool", "turn", "session"]
    (asked,) = service.asked
    assert asked.headers["traceparent"].split("-")[1:3] == [request.trace_id, request.span_id]
    report = livekit_otel.build_report(spans)
    assert report.complete
    assert report.turns[0].agent_text == "I have looked it up. Order number 7 is in the van."


@pytest.mark.slow
def test_zero_code(receiver: Receiver, tmp_path: Path) -> None:
    """An agent without a word about tracing is traced in its job process, both layers, under one root."""
    code = (ROOT / "examples/zero_code/agent.py").read_text(encoding="utf-8")
    assert "otel" not in code.lower()
    assert "opentelemetry" not in code.lower()
    hold_call(
        "examples/zero_code/agent.py",
        typed=True,
        launcher=(str(Path(sys.executable).with_name("opentelemetry-instrument")),),
        OTEL_SERVICE_NAME="flower-shop",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    spans = received(receiver, tmp_path)
    assert {span.scope for span in spans} >= {"livekit_otel", "livekit-agents"}
    assert {span.resource["service.name"] for span in spans} == {"flower-shop"}
    assert {line_of(span, spans)[-1] for span in spans} == {"job_entrypoint"}
    report = livekit_otel.build_report(spans)
    assert report.complete
    assert (report.turns[0].user_text, report.turns[0].agent_text) == (QUESTION, ANSWER)


@pytest.mark.slow
def test_langfuse() -> None:
    """Langfuse shows the call as a turn with both sides' words, its models' usage and its tool; and gives it back."""
    langfuse = Langfuse()
    with serving(langfuse) as server:
        keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET}
        hold_call("examples/langfuse.py", typed=True, LANGFUSE_HOST=server.url, **keys)  # type: ignore[arg-type]
        address = server.url.removeprefix("http://")
        spans = list(livekit_otel.read_spans(f"langfuse+http://{PUBLIC}:{SECRET}@{address}?since=1h"))
    of_type = {one["type"]: one for one in langfuse.observations}
    assert of_type["AGENT"]["input"] == QUESTION
    assert of_type["AGENT"]["output"] == ANSWER
    assert of_type["TOOL"]["name"] == "order_status"
    assert of_type["GENERATION"]["model"] == "flower-shop-rules"
    assert of_type["GENERATION"]["usageDetails"]["total"] > 0
    for each in langfuse.observations:
        assert (each["userId"], each["traceName"], each["tags"]) == ("anonymous", "voice call", ["flower-shop"])
    assert len({each["sessionId"] for each in langfuse.observations}) == 1
    report = livekit_otel.build_report(spans)
    assert report.complete
    assert (report.turns[0].user_text, report.turns[0].agent_text) == (QUESTION, ANSWER)


@pytest.mark.slow
def test_report_on_session_end(tmp_path: Path) -> None:
    """When a spoken call is over its job writes the whole report and logs the wait, with no exporter anywhere."""
    wrote = hold_call("examples/report_on_session_end.py", REPORTS=str(tmp_path))
    (file,) = tmp_path.glob("*.json")
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["job_id"] == file.stem
    items = report["chat_history"]["items"]
    said = [(item["role"], item["content"]) for item in items if item["type"] == "message"]
    assert ("user", [QUESTION]) in said
    assert said[-1] == ("assistant", [ANSWER])
    assert [item["name"] for item in items if item["type"] == "function_call"] == ["order_status"]
    assert report["events"][-1]["type"] == "close"
    assert f"turn 0: {QUESTION!r} -> {ANSWER!r}" in wrote
    assert "s of it eou" in wrote
