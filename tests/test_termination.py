"""SIGTERM to a job's process: its session ends and is flushed first, then the process dies of the signal as ever."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

import livekit_otel
from livekit_otel import attributes as attr
from tests.bad_servers import hung_server


def child(folder: str, flush_timeout: float, ignores: bool, endpoint: str) -> None:
    """A process with a session that runs until somebody ends it; its spans would wait ten minutes to be exported."""
    from livekit.agents import Agent, AgentSession
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if ignores:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint) if endpoint else FileSpanExporter(f"{folder}/trace.jsonl")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
    livekit_otel.set_tracer_provider(provider, flush_timeout=flush_timeout)

    running = Path(folder, "runs")

    async def main() -> None:
        session: AgentSession[None] = AgentSession(vad=None, turn_handling={"turn_detection": None})
        await session.start(Agent(instructions="Wait."))
        running.touch()  # noqa: ASYNC240 (read by another process)
        await asyncio.sleep(2.0 if ignores else 60.0)

    asyncio.run(main())
    os._exit(0)  # as LiveKit's forkserver ends its children, where atexit does not run


def terminated(folder: Path, *, flush_timeout: float = 5.0, ignores: bool = False, endpoint: str = "") -> int:
    """Start the process, send SIGTERM when its session runs; returns its exit code."""
    arguments = (str(folder), flush_timeout, ignores, endpoint)
    process = multiprocessing.get_context("spawn").Process(target=child, args=arguments)
    process.start()
    deadline = time.monotonic() + 60
    while not (folder / "runs").exists():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode is not None
    return process.exitcode


def test_nothing_is_lost(tmp_path: Path) -> None:
    """What waited to be exported arrives, with an end of the session that says what ended it."""
    assert terminated(tmp_path) == -signal.SIGTERM
    report = livekit_otel.build_report(livekit_otel.read_spans(str(tmp_path / "trace.jsonl")))
    (end,) = [span for span in report.spans if span.kind == attr.KIND_SESSION_END]
    assert end.attributes[attr.SESSION_ENDED_BY] == attr.ENDED_PROCESS_EXIT
    assert not report.complete
    assert len(report.warnings) == 1, report.warnings


@pytest.mark.slow
def test_it_is_switched_off_with_the_flush(tmp_path: Path) -> None:
    """Without a flush at the end of the process, SIGTERM kills as it always did."""
    assert terminated(tmp_path, flush_timeout=0.0) == -signal.SIGTERM
    file = tmp_path / "trace.jsonl"
    assert not file.exists() or file.read_text() == ""


@pytest.mark.slow
def test_who_ignores_it_goes_on_ignoring_it(tmp_path: Path) -> None:
    """A process that ignores SIGTERM, as LiveKit means its jobs to, is not ended by it."""
    assert terminated(tmp_path, ignores=True) == 0


@pytest.mark.slow
def test_a_hung_endpoint_does_not_keep_it(tmp_path: Path) -> None:
    """Where nothing answers, the process dies of the signal within the time-out of the flush."""
    with hung_server() as url:
        began = time.monotonic()
        assert terminated(tmp_path, flush_timeout=1.0, endpoint=f"{url}/v1/traces") == -signal.SIGTERM
    assert time.monotonic() - began < 20
