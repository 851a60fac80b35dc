"""``opentelemetry-instrument``: the global provider is there before LiveKit is imported, and nobody calls us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

import livekit_otel
from livekit_otel import attributes as attr
from tests.otlp_receiver import Receiver

from . import call, checks
from .bench import Result, from_receiver
from .conftest import need
from .forked import Cases
from .rows import _installed

pytestmark = pytest.mark.company

MISSING = [
    name for name in ("livekit-plugins-openai", "opentelemetry-distro", "opentelemetry-instrumentation-httpx")
    if not _installed(name)
]  # fmt: skip


def run(native: bool) -> Result:
    receiver = Receiver()
    # what else is installed for the other rows stays out
    others = {one.name for one in metadata.entry_points(group="opentelemetry_instrumentor")} - {"livekit_otel", "httpx"}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LANGFUSE_"))},
        "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(sorted(others)),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "-m"]
    command += ["tests.company.agent_zero_code", *(() if native else ("pipeline-only",))]
    try:
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        assert ran.returncode == 0, ran.stderr
        sent = from_receiver(receiver)
    finally:
        receiver.close()
    reports = [(one.to_dict(), one.complete, list(one.warnings)) for one in livekit_otel.build_reports(sent)]
    log = [("STDERR", line) for line in ran.stderr.splitlines() if "livekit_otel" in line]
    sent = [msgspec.structs.replace(one, resource=dict(one.resource)) for one in sent]
    return Result(sent, reports, json.loads(ran.stdout.splitlines()[-1]), (200, 8), log, 1)


_cases = Cases(run, [(True,), (False,)] if not MISSING else [])


def result(native: bool) -> Result:
    need(*MISSING)
    return _cases.result(native)  # type: ignore[no-any-return]


both_modes = pytest.mark.parametrize("native", [True, False], ids=["native", "pipeline"])


@both_modes
def test_a_call_beside_opentelemetry_instrument(native: bool) -> None:
    """Zero-code: the report is LiveKit's own, tokens count once, every parent is sent, nothing is doubled."""
    found = result(native)
    checks.report_equals(found)
    checks.nothing_doubled(found)
    checks.no_orphans(found.sent)
    assert checks.tokens(found.sent) == found.tokens
    assert found.log == []


@both_modes
def test_own_spans_and_layers(native: bool) -> None:
    """LiveKit's spans are there unless code says ``native_spans=False``, and own spans nest accordingly."""
    found = result(native)
    checks.layers(found, native_spans=native)
    tool = (checks.LIVEKIT, "function_tool") if native else (attr.SCOPE, "tool")
    assert checks.stage_above(found.sent, call.OWN_TOOL) == {tool}
