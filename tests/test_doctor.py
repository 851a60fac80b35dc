"""The doctor says what is installed, configured and reachable, and what to change; it never shows a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from livekit_otel._install_hint import install_hint
from livekit_otel.cli import main
from livekit_otel.doctor import checks, endpoints, installed
from tests.otlp_receiver import Answer, Receiver

ALLOW = "LIVEKIT_TELEMETRY_ALLOW_PII"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "LANGFUSE_", "LIVEKIT_")):
            monkeypatch.delenv(name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what is installed: it depends on where the tests run."""
    monkeypatch.setattr(installed, "packages", lambda: iter(()))
    monkeypatch.setattr(installed, "instrumentation", lambda: iter(()))


def doctor(*options: str) -> int:
    return main(["doctor", *options])


def found(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[tuple[str, str]]]:
    """Exit code, and (level, text) of the checks."""
    code = doctor("--format", "json", *options)
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is (code == 0)
    return code, [(check["level"], check["text"]) for check in document["checks"]]


def test_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Where livekit-agents is installed and nothing is configured, all is well, and all is named."""
    assert doctor() == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line for line in lines if line[0] != " "] == [
        "packages", "instrumentation", "alongside", "environment", "endpoints", "no problem found",
    ]  # fmt: skip
    assert any(line.startswith("  ok      livekit-agents 1.") for line in lines)
    assert any(line.startswith("  ok      opentelemetry-sdk 1.") for line in lines)
    assert any(line.startswith("  ok      can be applied: all ") for line in lines)
    assert shown.err == ""


def test_a_missing_name_is_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A LiveKit that lacks a place to instrument, or a private name, is exit code 1, and the name is told."""
    from livekit.agents.llm.llm import LLMStream
    from livekit.agents.voice import AgentSession, agent_activity

    monkeypatch.delattr(LLMStream, "_emit_error")
    monkeypatch.delattr(AgentSession, "update_agent")
    monkeypatch.delattr(agent_activity, "_SpeechHandleContextVar")
    code, all_checks = found(capsys)
    assert code == 1
    assert [text.partition(" has no ")[2] for level, text in all_checks if level == "problem"] == [
        "livekit.agents.llm.llm.LLMStream._emit_error",
        "livekit.agents.voice.agent_activity._SpeechHandleContextVar",
        "livekit.agents.voice.agent_session.AgentSession.update_agent",
    ]


def test_versions_that_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenTelemetry package that livekit-agents does not accept is a problem, with the range it needs."""
    real = installed.metadata.version  # type: ignore[attr-defined]
    monkeypatch.setattr(
        installed.metadata,  # type: ignore[attr-defined]
        "version",
        lambda name: "0.9" if name == "opentelemetry-sdk" else real(name),
    )
    problems = [check for check in installed.packages() if check.level == "problem"]
    assert len(problems) == 2
    assert problems[0].text.startswith("opentelemetry-sdk 0.9 is installed, but livekit-agents ")
    assert problems[0].fix.startswith("pip install 'opentelemetry-sdk")


WITHOUT_LIVEKIT = """
import importlib.abc, importlib.metadata, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "livekit":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
real = importlib.metadata.distribution
def distribution(name):
    if name.startswith("livekit-agents"):
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.distribution = distribution
from livekit_otel.cli import main
sys.exit(main(["doctor", "--no-send"]))
"""


def test_without_livekit() -> None:
    """Where livekit-agents is not installed the doctor runs, says so and what to install, exit code 1."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_LIVEKIT], capture_output=True, text=True)
    assert run.returncode == 1
    assert "  problem livekit-agents is not installed, and livekit_otel instruments it" in run.stdout
    assert f"fix: {install_hint('instruments')}" in run.stdout
    assert run.stderr.count("\n") == 1


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize(
    ("name", "value", "level", "text"),
    [
        ("OTEL_SDK_DISABLED", "true", "problem", "OTEL_SDK_DISABLED is true: nothing is traced"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1999", "problem",
         "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT is 1999: it cuts the journal that reports are rebuilt from"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2000", "ok",
         "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT is 2000, enough for the journal"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "many", "problem",
         "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT is 'many', not a number: the SDK raises an error"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "32", "problem",
         "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is 32: it drops attributes of spans that carry the journal"),
        ("OTEL_TRACES_SAMPLER", "always_off", "problem", "OTEL_TRACES_SAMPLER is always_off: no call is traced"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "note",
         "OTEL_TRACES_SAMPLER samples only part of the calls (1.0); the others have no report"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "a, livekit_otel", "problem",
         "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names livekit_otel: opentelemetry-instrument skips it"),
        (ALLOW, "0", "note", f"{ALLOW} is 0: what people say is not recorded, reports have empty messages"),
        (ALLOW, "nein", "note", f"{ALLOW} is neither true nor false: what people say is recorded"),
        ("LANGFUSE_PUBLIC_KEY", "pk-1", "problem",
         "LANGFUSE_PUBLIC_KEY is set, LANGFUSE_SECRET_KEY is not: Langfuse rejects the spans"),
        ("LANGFUSE_TRACING_ENVIRONMENT", "Prod", "problem",
         "LANGFUSE_TRACING_ENVIRONMENT is not a name that Langfuse accepts"),
        ("OTEL_TRACES_EXPORTER", "none", "problem",
         "OTEL_TRACES_EXPORTER is none: opentelemetry-instrument exports nothing"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "problem",
         "OTEL_TRACES_EXPORTER names zipkin, but no installed package provides it"),
        ("OTEL_TRACES_EXPORTER", "console", "ok", "OTEL_TRACES_EXPORTER names console"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost", "problem",
         "OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost/v1/traces' is not an OTLP/HTTP address; "
         "it looks like http://host:4318"),
    ],
)  # fmt: skip
def test_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, level: str, text: str
) -> None:
    """Each variable that matters is told with what it does; exit code 1 where calls are lost by it."""
    monkeypatch.setenv(name, value)
    code, all_checks = found(capsys)
    assert (level, text) in all_checks
    assert code == (1 if level == "problem" else 0)


@pytest.mark.usefixtures("only")
def test_an_endpoint_that_answers(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configured endpoint gets one test span with the configured headers, which are named and not shown."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=canary-1")
    assert doctor("--to", receiver.url.replace("//", "//user:canary-2@") + "/x?key=canary-3", "-H", "a=canary-4") == 0
    shown = capsys.readouterr()
    assert "canary" not in shown.out + shown.err
    (to, own) = [line for line in shown.out.splitlines() if "acknowledged a test span" in line]
    assert to.startswith(f"  ok      {receiver.url}/x/v1/traces?… (--to, http/protobuf, headers a): ")
    assert own.startswith(
        f"  ok      {receiver.url}/v1/traces (OTEL_EXPORTER_OTLP_ENDPOINT, http/protobuf, headers x-api-key): "
    )
    assert [[span.name for span in request.spans] for request in receiver.requests] == [["livekit-otel doctor"]] * 2
    assert receiver.requests[1].headers["x-api-key"] == "canary-1"
    assert receiver.requests[0].path == "/x/v1/traces?key=canary-3"


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(401, body=b"bad key canary-1", content_type="text/plain"), "answered 401 Unauthorized: bad key ***"),
        (Answer(503), "answered 503 Service Unavailable"),
        (Answer(400), "answered 400 Bad Request"),
        (Answer(body=b"<html>", content_type="text/html"), "answered with a web page, so it is not an OTLP address"),
        (
            Answer(
                body=trace_service_pb2.ExportTraceServiceResponse(
                    partial_success={"rejected_spans": 1, "error_message": "quota"}  # type: ignore[arg-type]
                ).SerializeToString()
            ),
            "accepted the request but rejected the span: quota",
        ),
        (Answer(hang_up=True), "Remote end closed connection without response"),
    ],
    ids=["401", "503", "400", "html", "partial", "hang-up"],
)
def test_an_endpoint_that_refuses(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    told: str,
) -> None:
    """An endpoint that does not acknowledge is a problem, with its reason; what it repeats of a secret is hidden."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-api-key=canary-1")
    receiver.answer = lambda request: answer
    code, all_checks = found(capsys)
    assert code == 1
    name = f"{receiver.url} (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, http/protobuf, headers x-api-key)"
    assert all_checks[-1] == ("problem", f"{name}: {told}")


@pytest.mark.usefixtures("only")
def test_an_endpoint_that_hangs(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint that never answers is given up after --timeout seconds."""
    receiver.delay = 3.0
    code, all_checks = found(capsys, "--to", receiver.url, "--timeout", "0.3")
    assert code == 1
    assert all_checks[-1][1].endswith(": no response within 0.3 s")


@pytest.mark.usefixtures("only")
def test_an_endpoint_that_only_code_uses(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An endpoint is tried also where OTEL_TRACES_EXPORTER names another exporter: code that makes one reads it."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    code, all_checks = found(capsys)
    assert code == 0
    assert all_checks[-2] == ("ok", "OTEL_TRACES_EXPORTER names console")
    assert "acknowledged a test span" in all_checks[-1][1]


@pytest.mark.parametrize(
    ("url", "protocol", "hint"),
    [
        ("http://host:4317/v1/traces", "http/protobuf", "4317 is the port of OTLP/gRPC; OTLP/HTTP listens on 4318"),
        ("http://host:4318", "grpc", "4318 is the port of OTLP/HTTP; OTLP/gRPC listens on 4317"),
        ("http://host:4318/v1/traces", "http/json", ""),
        ("host:4317", "grpc", ""),
    ],
)
def test_the_port_of_the_other_protocol(url: str, protocol: str, hint: str) -> None:
    """Where the port belongs to the other protocol, that is the advice."""
    assert endpoints._wrong_port(endpoints.Destination("--to", url, protocol)) == hint


@pytest.mark.usefixtures("only")
def test_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--files says whether files can be written there, made or not, and leaves nothing behind."""
    (tmp_path / "file").write_text("")
    for path, level, text in (
        (tmp_path, ("ok", "note"), "can be written to"),
        (tmp_path / "a" / "b", ("ok", "note"), "does not exist yet, and can be created"),
        (tmp_path / "file", ("problem",), "is a file"),
        (tmp_path / "file" / "a", ("problem",), "cannot be written to: Not a directory"),
    ):
        code, all_checks = found(capsys, "--files", str(path))
        assert code == (level == ("problem",))
        assert all_checks[-1][0] in level
        assert all_checks[-1][1].startswith(f"{path} {text}")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("only")
def test_no_send(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --no-send nothing is sent, endpoints are only named."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    code, all_checks = found(capsys, "--no-send")
    assert code == 0
    assert all_checks[-1][1].endswith("http/protobuf): not tested")
    assert receiver.requests == []


@pytest.mark.usefixtures("only")
def test_langfuse(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Langfuse's own variables name an endpoint, tried with their keys, which are not shown."""
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-canary")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-canary")
    monkeypatch.setenv("LANGFUSE_HOST", receiver.url + "/")
    assert doctor() == 0
    shown = capsys.readouterr()
    assert "canary" not in shown.out + shown.err
    (request,) = receiver.requests
    assert request.path == "/api/public/otel/v1/traces"
    assert request.headers["authorization"] == "Basic cGstY2FuYXJ5OnNrLWNhbmFyeQ=="
    assert request.headers["x-langfuse-ingestion-version"] == "4"


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("value", ["canary", "a b=canary", "a=b,=canary"])
def test_headers_that_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """Headers in the environment that are no headers are a problem, without their text."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", value)
    assert doctor() == 1
    shown = capsys.readouterr()
    assert "OTEL_EXPORTER_OTLP_HEADERS is not of the form name=value" in shown.out
    assert "canary" not in shown.out + shown.err


class _Service(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(self, request: Any, context: Any) -> Any:
        self.names += [span.name for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.mark.usefixtures("only")
def test_grpc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint of protocol grpc is tried over gRPC; one that is not there is a problem in time."""
    service = _Service()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    code, all_checks = found(capsys)
    assert (code, service.names) == (0, ["livekit-otel doctor"])
    server.stop(0).wait()
    code, all_checks = found(capsys, "--timeout", "1")
    assert code == 1
    assert "did not acknowledge the test span" in all_checks[-1][1]


@pytest.mark.parametrize("options", [("--to", "nowhere"), ("--to", "http://h", "-H", "canary"), ("--format", "xml")])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> None:
    """Wrong options are exit code 2 with one line."""
    assert doctor(*options) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "canary" not in shown.err


def test_areas_in_order(tmp_path: Path) -> None:
    """Checks come area by area, as they are made."""
    areas = [check.area for check in checks.check_all(send=False, variables={})]
    assert list(dict.fromkeys(areas)) == ["packages", "instrumentation", "alongside", "environment", "endpoints"]
