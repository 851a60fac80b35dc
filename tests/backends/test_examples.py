"""The examples that send calls to a server, with the real server behind them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import livekit_otel
from livekit_otel import SessionReport, SourceError
from livekit_otel.demo.script import QUESTION
from tests.local_job import ANSWER, ROOT, hold_call

from .process import wait_until
from .servers import Collector, Jaeger

pytestmark = pytest.mark.backend


def address(jaeger: Jaeger) -> str:
    """As the examples say it in their first lines."""
    return f"{jaeger.query.replace('http://', 'jaeger://')}?service=flower-shop&since=1h"


def the_call(jaeger: Jaeger) -> SessionReport:
    """The report of the one call in Jaeger, once all of it has arrived."""
    found: list[SessionReport] = []

    def arrived() -> bool:
        try:
            found[:] = livekit_otel.build_reports(livekit_otel.read_spans(address(jaeger)))
        except SourceError:  # nothing is there yet
            return False
        return bool(found) and found[0].complete

    wait_until("the call in Jaeger", arrived)
    (report,) = found
    return report


def test_jaeger_and_report_from_backend(tmp_path: Path) -> None:
    """A spoken call is in Jaeger when its job has ended: words, tool, wait; and the report example prints it."""
    with Jaeger(tmp_path) as jaeger:
        hold_call("examples/jaeger.py", OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.otlp_http)
        report = the_call(jaeger)
        command = [sys.executable, "examples/report_from_backend.py", address(jaeger)]
        printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (turn,) = report.turns
    assert (turn.user_text, turn.agent_text) == (QUESTION, ANSWER)
    assert [item["name"] for item in report.history if item["type"] == "function_call"] == ["order_status"]
    assert turn.latency.e2e_latency is not None
    assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency)
    heading, user, wait, agent = printed.splitlines()
    assert heading == f"{report.session_id}: {report.duration:.0f} s, complete"
    assert (user, agent) == (f"  user:  {QUESTION}", f"  agent: {ANSWER}")
    assert wait.startswith(f"  wait:  {turn.latency.e2e_latency:.2f} s (transcription ")


def test_collector(collector: Callable[..., Collector], tmp_path: Path) -> None:
    """A call that ended while the gateway was away is in Jaeger once it is back, and says which worker it came from."""
    jaeger = Jaeger(tmp_path / "jaeger")
    agent = collector("agent.yaml", name="agent", GATEWAY_ENDPOINT=jaeger.otlp_grpc)
    hold_call("examples/collector.py", typed=True, OTEL_EXPORTER_OTLP_ENDPOINT=agent.otlp_http, DEPLOYMENT="test")
    with jaeger:
        report = the_call(jaeger)
    assert (report.turns[0].user_text, report.turns[0].agent_text) == (QUESTION, ANSWER)
    resource = report.spans[0].resource
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.instance.id"]
