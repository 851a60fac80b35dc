"""Records what LiveKit's own tracing writes of the scripted sessions, without livekit_otel, and LiveKit's reports.

    python -m tests.native.record_python

in an environment with the release of livekit-agents to record (1.8.9, 1.7.0 and 1.5.18 are stored), ``msgspec`` and
the OpenTelemetry SDK. It writes ``tests/data/native/python-VERSION.jsonl.gz``: one line of OTLP JSON for each session
that the release can play, with two keys of its own (``scenario`` and ``reports``), which readers of OTLP ignore.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
import random
import signal
import sys
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.kit import clock

clock.install()

FOLDER = Path(__file__).resolve().parents[1] / "data" / "native"
#: real seconds that a session may take: a release may lack what a script waits for
_SECONDS = 20
#: what the recordings keep of LiveKit's reports
_HEAD = ("job_id", "room_id", "room", "usage", "close_reason", "agent_name", "user_turns")


def _without_testing() -> types.ModuleType:
    """``livekit.agents.testing`` for releases before it: a job without a worker, on the public parts of a job."""
    from livekit.agents import utils
    from livekit.agents.job import (
        JobAcceptArguments,
        JobContext,
        JobExecutorType,
        JobProcess,
        RunningJobInfo,
        _JobContextVar,
    )
    from livekit.protocol import agent, models

    @contextlib.contextmanager
    def fake_job_context(*, room: Any, agent_identity: str) -> Iterator[JobContext]:
        job = agent.Job(id="fake-job", room=models.Room(name="fake-room", sid=utils.shortuuid("RM_")))
        accepted = JobAcceptArguments(identity=agent_identity, name="", metadata="")
        info = RunningJobInfo(accept_arguments=accepted, job=job, url="", token="", worker_id="fake", fake_job=True)
        process = JobProcess(executor_type=JobExecutorType.THREAD, user_arguments=None, http_proxy=None)
        context = JobContext(
            proc=process, info=info, room=room, on_connect=lambda: None, on_shutdown=lambda _: None,
            inference_executor=None,  # type: ignore[arg-type]
        )  # fmt: skip
        context._connected = True
        token = _JobContextVar.set(context)
        try:
            yield context
        finally:
            _JobContextVar.reset(token)

    module = types.ModuleType("livekit.agents.testing")
    module.fake_job_context = fake_job_context  # type: ignore[attr-defined]
    return module


if importlib.util.find_spec("livekit.agents.testing") is None:
    sys.modules["livekit.agents.testing"] = _without_testing()

import livekit.agents  # noqa: E402
from livekit.agents import telemetry  # noqa: E402
from opentelemetry import trace  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: E402

for _later in ("EOTInferenceMetrics",):
    # what scripts for later releases import: they fail when they use it, and are left out
    if not hasattr(livekit.agents.metrics, _later):
        setattr(livekit.agents.metrics, _later, None)

import tests.scenarios  # noqa: E402, F401  (registers them)
from tests.kit.run import SCENARIOS, Outcome, run_scenario  # noqa: E402

RESOURCE = {"service.name": "native", "telemetry.sdk.language": "python"}


class _Ids(IdGenerator):
    """The same ids in the same order, for each name."""

    def __init__(self, name: str) -> None:
        self._random = random.Random(f"ids/{name}")

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value).encode("utf-8", "replace").decode()}


def _pairs(attributes: Any) -> list[dict[str, Any]]:
    """Without traces of exceptions, which say where the recording machine has its files."""
    found = (attributes or {}).items()
    return [{"key": key, "value": _value(value)} for key, value in found if key != "exception.stacktrace"]


def _span(span: ReadableSpan) -> dict[str, Any]:
    """OTLP JSON: the official exporter does not install beside old releases."""
    context = span.get_span_context()
    assert context is not None
    parent = {"parentSpanId": format(span.parent.span_id, "016x")} if span.parent else {}
    return {
        "traceId": format(context.trace_id, "032x"),
        "spanId": format(context.span_id, "016x"),
        **parent,
        "name": span.name,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _pairs(span.attributes),
        "status": {"code": span.status.status_code.value},
    }


def _report(outcome: Outcome) -> dict[str, Any]:
    """LiveKit's own report, without what no test compares."""
    report = outcome.report
    items = [
        {name: value for name, value in item.items() if name not in ("instructions", "tools_added", "extra")}
        for item in report["chat_history"]["items"]
    ]
    return {**{name: report.get(name) for name in _HEAD}, "items": items}


def record(scenario: str) -> dict[str, Any]:
    """One session as a line of the recording."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(id_generator=_Ids(scenario), resource=Resource(RESOURCE), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    telemetry.set_tracer_provider(provider)
    seeded = random.Random(f"uuids/{scenario}")

    def uuid4() -> uuid.UUID:
        return uuid.UUID(int=seeded.getrandbits(128), version=4)

    try:
        with patch.object(uuid, "uuid4", uuid4):
            outcomes = run_scenario(scenario)
    finally:
        telemetry.tracer.set_provider(trace.NoOpTracerProvider())
    spans = [_span(one) for one in memory.get_finished_spans()]
    scope = {"scope": {"name": "livekit-agents"}, "spans": spans}
    resource = {"attributes": _pairs(RESOURCE)}
    return {
        "scenario": scenario,
        "reports": [_report(one) for one in outcomes],
        "resourceSpans": [{"resource": resource, "scopeSpans": [scope]}],
    }


def _too_long(*_: object) -> None:
    raise TimeoutError("takes too long")


def main() -> None:
    """Record all sessions that the installed release can play; say which it cannot."""
    lines = []
    signal.signal(signal.SIGALRM, _too_long)
    for name, scenario in SCENARIOS.items():
        if scenario.variant:
            continue
        signal.alarm(_SECONDS)
        try:
            found = record(name)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error)[:100]}")
            continue
        finally:
            signal.alarm(0)
        if found["reports"]:
            lines.append(json.dumps(found, separators=(",", ":")))
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"python-{livekit.agents.__version__}.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", 9, mtime=0))
    print(f"{len(lines)} sessions, {path.stat().st_size:,} bytes: {path.name}")


if __name__ == "__main__":
    main()
