"""The flagship, out to real servers and back: what was read there is the report that was never sent anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import livekit_otel
from livekit_otel import SessionReport, SourceError, SpanRecord
from livekit_otel import attributes as a
from livekit_otel.report.render_json import to_document
from tests.kit.run import as_json, assert_same_report
from tests.kit.trace import Trace, names, record

from . import calls
from .fixtures import need
from .process import wait_until
from .servers import ClickHouse, Collector, Jaeger, Phoenix

pytestmark = pytest.mark.backend

#: The scripted sessions are held at a time of their own: a server is asked about that day.
DAY = "since=2023-11-14T00:00:00Z&until=2023-11-16T00:00:00Z"
TODAY = "since=2h"
BATCH = 512
SECONDS = 60.0
#: Phoenix keeps times to the microsecond; Jaeger makes a span of no length 1 ns long.
ROUNDING = 2e-6
#: What that does to tokens per second, which divide by a time of a tenth of a second and more.
RATE_ROUNDING = 2e-5
#: the session's silence adds up what its turns have
SUMS_OF_TURNS = ".livekit_otel.silence."

#: Gives the address, for a reader, of one session on the server at the end of a route.
Address = Callable[[str], str]


class Calls:
    """All that goes each way: every scripted session, and the demo call as its trace file has it."""

    def __init__(self, traces: dict[str, Trace], demo: Path) -> None:
        self.traces, self.demo = traces, demo
        self._spans = [span for trace in traces.values() for span in trace.exported]
        self.span_ids: dict[str, set[str]] = {}
        for session, span_id in [
            *(
                (str((span.attributes or {}).get(a.SESSION_ID, "")), f"{span.context.span_id:016x}")
                for span in self._spans
            ),
            *((str(each.attributes.get(a.SESSION_ID, "")), each.span_id) for each in self.demo_spans),
        ]:
            self.span_ids.setdefault(session, set()).add(span_id)
        self.span_ids.pop("", None)  # spans of LiveKit itself carry none

    @property
    def demo_spans(self) -> list[SpanRecord]:
        return list(livekit_otel.read_spans(str(self.demo / "trace.jsonl")))

    def send(self, otlp_http: str) -> None:
        """With the SDK's exporter, in requests of the size that its batch processor makes; the file by ``replay``."""
        for start in range(0, len(self._spans), BATCH):
            assert calls.send(otlp_http, self._spans[start : start + BATCH])
        run_cli("replay", str(self.demo / "trace.jsonl"), "--to", otlp_http)

    def day(self, session: str) -> str:
        return TODAY if session == self.demo_spans[0].attributes[a.SESSION_ID] else DAY


def run_cli(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "livekit_otel", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """Every scripted session, and the demo call, held once."""
    demo = tmp_path_factory.mktemp("demo")
    run_cli("demo", "--output", str(demo))
    return Calls({name: record(name) for name in names()}, demo)


@pytest.fixture(
    scope="module", params=["jaeger", "two collectors", "files", "phoenix", "clickhouse map", "clickhouse json"]
)
def route(request: pytest.FixtureRequest, held: Calls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Sends all calls one of the ways, each to a server of its own, and tells where they are."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    with ExitStack() as servers:
        yield ROUTES[request.param](servers, folder, held)


def to_jaeger(servers: ExitStack, folder: Path, held: Calls) -> Address:
    """SDK → Jaeger."""
    need("jaeger")
    jaeger = servers.enter_context(Jaeger(folder))
    held.send(jaeger.otlp_http)
    return arrived(jaeger_address(jaeger, held), held)


def through_collectors(servers: ExitStack, folder: Path, held: Calls) -> Address:
    """SDK → agent → gateway → Jaeger."""
    need("jaeger", "collector")
    jaeger = servers.enter_context(Jaeger(folder))
    to = {"JAEGER_ENDPOINT": jaeger.otlp_grpc}
    gateway = servers.enter_context(Collector("gateway.yaml", folder=folder / "gateway", env=to))
    to = {"GATEWAY_ENDPOINT": gateway.otlp_grpc}
    agent = servers.enter_context(Collector("agent.yaml", folder=folder / "agent", env=to))
    held.send(agent.otlp_http)
    return arrived(jaeger_address(jaeger, held), held)


def through_files(servers: ExitStack, folder: Path, held: Calls) -> Address:
    """SDK → collector → files; files → collector → Jaeger."""
    need("jaeger", "collector")
    jaeger = servers.enter_context(Jaeger(folder))
    files = folder / "traces"
    with Collector("file.yaml", folder=folder / "file", env={"FILE_PATH": str(files / "calls.jsonl")}) as writer:
        held.send(writer.otlp_http)
        arrived(lambda _: str(files), held)
    to = {"FILE_GLOB": f"{files}/*.jsonl", "NEXT_ENDPOINT": jaeger.otlp_grpc}
    servers.enter_context(Collector("file-replay.yaml", folder=folder / "replay", env=to))
    return arrived(jaeger_address(jaeger, held), held)


def to_phoenix(servers: ExitStack, folder: Path, held: Calls) -> Address:
    """SDK → Phoenix."""
    need("phoenix")
    phoenix = servers.enter_context(Phoenix(folder))
    held.send(phoenix.url)
    server = phoenix.url.removeprefix("http://")
    return arrived(lambda session: f"phoenix://{server}/default?session={quote(session)}&{held.day(session)}", held)


def to_clickhouse(servers: ExitStack, folder: Path, held: Calls, columns: str) -> Address:
    """SDK → collector → ClickHouse's engine, with attributes in Map or JSON columns."""
    need("clickhouse", "collector")
    clickhouse = servers.enter_context(ClickHouse(folder / "clickhouse"))
    kind = folder / "columns.yaml"
    kind.write_text(CLICKHOUSE_COLUMNS.format(json=str(columns == "json").lower()))
    # the scripted sessions are held years ago: rows that old must not be deleted
    env = {"CLICKHOUSE_ENDPOINT": clickhouse.endpoint, "CLICKHOUSE_TTL": "0"}
    writer = servers.enter_context(Collector("clickhouse.yaml", kind, folder=folder / "collector", env=env))
    held.send(writer.otlp_http)
    base = f"clickhouse://{clickhouse.host}/otel"
    return arrived(lambda session: f"{base}?session={quote(session)}&{held.day(session)}", held)


CLICKHOUSE_COLUMNS = """
exporters: {{clickhouse: {{json: {json}, timeout: 120s, sending_queue: {{batch: {{flush_timeout: 0.2s}}}}}}}}
"""
ROUTES: dict[str, Callable[[ExitStack, Path, Calls], Address]] = {
    "jaeger": to_jaeger,
    "two collectors": through_collectors,
    "files": through_files,
    "phoenix": to_phoenix,
    "clickhouse map": partial(to_clickhouse, columns="map"),
    "clickhouse json": partial(to_clickhouse, columns="json"),
}


def jaeger_address(jaeger: Jaeger, held: Calls) -> Address:
    server = jaeger.query.removeprefix("http://")
    return lambda session: f"jaeger://{server}?session={quote(session)}&{held.day(session)}"


def arrived(address: Address, held: Calls) -> Address:
    """Waits, with a bound, until each session's spans can be read: servers acknowledge before they store."""
    for session, expected in held.span_ids.items():

        def complete(session: str = session, expected: set[str] = expected) -> bool:
            try:
                return {each.span_id for each in livekit_otel.read_spans(address(session))} >= expected
            except SourceError:  # nothing of it is there yet
                return False

        wait_until(f"{len(expected)} spans of session {session}", complete, SECONDS, every=0.5)
    return address


def whole(report: SessionReport) -> dict[str, Any]:
    """All that a report tells, as JSON; of a turn's path only the steps that took longer than rounding explains."""
    document = as_json(to_document(report, full=True))
    for turn in document["livekit_otel"]["turns"]:
        turn["path"] = [step for step in turn["path"] if step["ended_at"] - step["started_at"] > ROUNDING]
    return document


def unlike(left: Any, right: Any, path: str = "", turns: int = 1) -> Iterator[str]:
    """Where two JSON values differ; fractions may do so by what rounding to a microsecond explains, in each turn."""
    if isinstance(left, dict) and isinstance(right, dict) and list(left) == list(right):
        for key, value in left.items():
            yield from unlike(value, right[key], f"{path}.{key}", turns)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, value in enumerate(left):
            yield from unlike(value, right[number], f"{path}[{number}]", turns)
    elif isinstance(left, float) and isinstance(right, float):
        allowed = RATE_ROUNDING * right if path.endswith("_tps") else ROUNDING
        if path.startswith(SUMS_OF_TURNS):
            allowed *= turns
        if abs(left - right) > allowed:
            yield f"{path}: {left!r} != {right!r}"
    elif left != right or type(left) is not type(right):
        yield f"{path}: {left!r} != {right!r}"


def sessions(trace: Trace) -> dict[str, list[SpanRecord]]:
    """The spans of each session of a scenario, in memory; sessions in the order in which they began."""
    found: dict[str, list[SpanRecord]] = {}
    for span in sorted(trace.pipeline, key=lambda span: span.start_ns):
        found.setdefault(str(span.attributes[a.SESSION_ID]), []).append(span)
    return found


def back_from(address: str, spans: Sequence[SpanRecord]) -> Any:
    """The report, as JSON, of what a server gives back; all of it is what the spans in memory tell."""
    stream = livekit_otel.read_spans(address)
    back, memory = livekit_otel.build_report(stream), livekit_otel.build_report(spans)
    assert stream.problems == []
    told = as_json(back.to_dict())
    assert json.dumps(told) == json.dumps(as_json(memory.to_dict()))
    # what LiveKit's report does not have: turns, stages, latencies, warnings
    assert list(unlike(whole(back), whole(memory), turns=len(memory.turns))) == []
    return told


@pytest.mark.parametrize("name", names())
def test_the_report_survives_the_way(route: Address, held: Calls, name: str) -> None:
    """The report of what a server gives back is, as JSON, the one from memory, and LiveKit's own."""
    trace = held.traces[name]
    told = [back_from(route(session), spans) for session, spans in sessions(trace).items()]
    assert len(told) == len(trace.outcomes)
    if name == "redacted_session":
        return  # without the words no report is LiveKit's
    for ours, outcome in zip(told, trace.outcomes, strict=True):
        assert_same_report(ours, outcome.report)


def test_the_demo_call_survives_the_way(route: Address, held: Calls) -> None:
    """The demo call's report, too, and LiveKit's own report of it has the same events and the same conversation."""
    spans = [span for span in held.demo_spans if span.kind]
    session = str(spans[0].attributes[a.SESSION_ID])
    told = back_from(route(session), spans)
    theirs = json.loads((held.demo / "livekit-report.json").read_text())
    for key in ("events", "chat_history", "usage"):
        assert json.dumps(told[key]) == json.dumps(theirs[key])
