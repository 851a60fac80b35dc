"""LiveKit Cloud's recording: its own trace is the same with us as without us, and our report is whole."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from livekit.agents import JobContext, telemetry
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk
from tests.kit.run import Call, Scenario, assert_same_report, run_scenario
from tests.scenarios import SCENARIOS

from . import call, checks
from .bench import Bench, Result, from_memory
from .conftest import need
from .forked import Cases
from .rows import ROWS

NATIVE = "set_tracer_provider, native"
#: how we are switched on, and what is there without us
ENTRIES: dict[str, Callable[[TracerProvider], None]] = {
    "without us": lambda provider: None,
    "LiveKit's set_tracer_provider": lambda provider: telemetry.set_tracer_provider(provider),
    "set_tracer_provider, pipeline": lambda provider: livekit_otel.set_tracer_provider(provider, native_spans=False),
    NATIVE: lambda provider: livekit_otel.set_tracer_provider(provider),
    "instrument()": lambda provider: livekit_otel.LiveKitInstrumentor().instrument(tracer_provider=provider),
}
#: what each is held against
BASELINE = {entry: "LiveKit's set_tracer_provider" if entry == NATIVE else "without us" for entry in list(ENTRIES)[2:]}
#: ids are made by chance, and ``datetime.now()`` does not follow the virtual clock
_IDS = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+|(?<![0-9a-zA-Z])(?=[0-9a-f]*[0-9])[0-9a-f]{10,}(?![0-9a-zA-Z])|0x[0-9a-f]+")


def play(name: str, entry: str) -> dict[str, Any]:
    """A scripted session with recording on: what Cloud got, what our provider got, and LiveKit's reports."""
    cloud, memory = InMemorySpanExporter(), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    ENTRIES[entry](provider)
    script = SCENARIOS[name].function

    async def recorded(call: Call) -> None:
        with telemetry.tracer.start_as_current_span("job_entrypoint"):
            await script(call)

    record_to(cloud)
    SCENARIOS["recorded"] = Scenario("recorded", "", recorded)
    outcomes = run_scenario("recorded")
    return {
        "cloud": [_plain(span) for span in cloud.get_finished_spans()],
        "reports": [one.to_dict() for one in livekit_otel.build_reports(map(from_sdk, memory.get_finished_spans()))],
        "theirs": [outcome.report for outcome in outcomes],
    }


def record_to(cloud: InMemorySpanExporter) -> None:
    """Recording on: ``JobContext.init_recording`` does what it does where the job's server is LiveKit Cloud."""
    begun: list[bool] = []

    def init_recording(self: JobContext, options: Any) -> None:
        if begun:
            return
        begun.append(True)
        telemetry._setup_cloud_tracer(
            room_id="RM_x",
            job_id="job",
            observability_url="http://127.0.0.1:9",
            enable_traces=True,
            enable_logs=False,
        )
        telemetry.tracer._tracer_provider.add_span_processor(SimpleSpanProcessor(cloud))  # type: ignore[attr-defined]

    os.environ.update(LIVEKIT_API_KEY="k", LIVEKIT_API_SECRET="s" * 40)
    JobContext.init_recording = init_recording  # type: ignore[method-assign]


def own_spans(native: bool) -> Result:
    """The call of the other rows, whose code makes spans of its own, with recording on."""
    bench = Bench(native_spans=native)
    memory = bench.memory()
    provider = bench.provider(memory)
    record_to(InMemorySpanExporter())

    def set_up(bench: Bench) -> Any:
        bench.ours(provider)
        return lambda: from_memory(memory)

    return bench.run(set_up)


def _plain(span: ReadableSpan) -> dict[str, Any]:
    assert span.context is not None
    scope = span.instrumentation_scope
    return {
        "id": span.context.span_id,
        "parent": span.parent.span_id if span.parent else None,
        "trace": span.context.trace_id,
        "scope": scope.name if scope else "",
        "name": span.name,
        "status": span.status.status_code.name,
        "attributes": {key: _shown(value) for key, value in (span.attributes or {}).items()},
    }


def _shown(value: Any) -> str:
    return str(round(value, 3)) if isinstance(value, float) else _IDS.sub("*", str(value))


def livekits(played: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in played["cloud"] if span["scope"] == "livekit-agents"]


def tree(spans: list[dict[str, Any]]) -> Counter[str]:
    """Each span of LiveKit's with its attributes and its parents up to the root, without ids."""
    by_id = {span["id"]: span for span in spans}

    def path(span: dict[str, Any]) -> str:
        # the one span whose parent may be ours
        top = span["name"] == "agent_session"
        parent = None if top else by_id.get(span["parent"])
        missing = span["parent"] is not None and parent is None and not top
        return (path(parent) if parent else "(lost)" if missing else "") + "/" + span["name"]

    return Counter(f"{path(span)} {span['status']} {sorted(span['attributes'].items())}" for span in spans)


def assert_same_cloud(played: dict[str, Any], without: dict[str, Any], entry: str) -> None:
    """Cloud's spans of LiveKit's are those without us; of ours it has some only where the provider is shared."""
    assert tree(livekits(played)) == tree(livekits(without))
    shared = entry == NATIVE
    others = [span for span in played["cloud"] if span["scope"] != "livekit-agents"]
    assert {span["scope"] for span in others} == ({attr.SCOPE} if shared else set())
    ids = {span["id"]: span["name"] for span in played["cloud"]}
    assert [span["name"] for span in played["cloud"] if span["parent"] and span["parent"] not in ids] == []
    above = {ids.get(span["parent"]) for span in livekits(played) if span["name"] == "agent_session"}
    assert above
    assert above <= ({"session", "job_entrypoint"} if shared else {None})


_cases = Cases(play, [(name, entry) for name in ("one_tool", "question_and_answer") for entry in ENTRIES])

_own = Cases(own_spans, [(False,), (True,)] if not ROWS["httpx"].missing else [])


@pytest.mark.company
@pytest.mark.parametrize("entry", BASELINE)
@pytest.mark.parametrize("name", ["one_tool", "question_and_answer"])
def test_cloud_gets_what_it_gets_without_us(name: str, entry: str) -> None:
    """With recording on, LiveKit Cloud gets LiveKit's spans with the same parents and attributes, and our report is
    still LiveKit's own."""
    played = _cases.result(name, entry)
    assert_same_cloud(played, _cases.result(name, BASELINE[entry]), entry)
    for ours, theirs in zip(played["reports"], played["theirs"], strict=True):
        assert_same_report(ours, theirs)


@pytest.mark.company
@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "native"])
def test_own_spans_while_cloud_records(native: bool) -> None:
    """LiveKit's spans are current while Cloud records: a user's span is below them where they are sent to us, too, and
    else a root or below a span of ours, never an orphan."""
    need(*ROWS["httpx"].missing)
    found = _own.result(native)
    checks.no_orphans(found.sent)
    checks.report_equals(found)
    assert checks.tokens(found.sent) == found.tokens == (200, 8)
    above = {(checks.LIVEKIT, "function_tool")} if native else set()
    assert checks.stage_above(found.sent, call.OWN_TOOL) == above
