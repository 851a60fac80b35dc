"""A provider that is set inside a job comes too late for LiveKit's root span of the job, and the log says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
from livekit.agents import telemetry
from livekit.agents.telemetry import tracer as livekit_tracer
from livekit.agents.testing import fake_job_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import livekit_otel
from livekit_otel.instrumentation import instrumentor
from tests.kit.trace import switch_off

LATE = "livekit_otel: the provider was set inside a job"


@pytest.fixture(autouse=True)
def _off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    switch_off()
    monkeypatch.setattr(instrumentor, "_warned", False)
    livekit_tracer.set_provider(trace.ProxyTracerProvider())
    yield
    switch_off()


def in_a_job(set_up: Callable[[], None], *, before: Callable[[], None] = lambda: None) -> None:
    """Call ``set_up`` as an entrypoint does, below the root span that LiveKit began when ``before`` had been called."""

    async def main() -> None:
        with fake_job_context() as ctx:
            ctx._info.worker_id = "AW_of_a_worker"
            with livekit_tracer.start_as_current_span("job_entrypoint"):
                set_up()

    before()
    asyncio.run(main())


def said(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.getMessage().startswith(LATE) for record in caplog.records)


@pytest.mark.parametrize("livekits", [False, True], ids=["ours alone", "LiveKit's, then ours"])
def test_too_late_is_said(livekits: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Set in the entrypoint, with or without LiveKit's own function before ours, one warning says what is split."""
    provider = TracerProvider(shutdown_on_exit=False)

    def set_up() -> None:
        if livekits:
            telemetry.set_tracer_provider(provider)
        livekit_otel.set_tracer_provider(provider)
        livekit_otel.set_tracer_provider(provider)

    with caplog.at_level(logging.WARNING, "livekit_otel"):
        in_a_job(set_up)
    assert said(caplog) == 1


@pytest.mark.parametrize("livekits", [False, True], ids=["ours alone", "LiveKit's, then ours"])
def test_in_time_is_not(livekits: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Set before the job begins, a second call in the entrypoint is harmless and silent."""
    provider = TracerProvider(shutdown_on_exit=False)

    def early() -> None:
        if livekits:
            telemetry.set_tracer_provider(provider)
        livekit_otel.set_tracer_provider(provider)

    with caplog.at_level(logging.WARNING, "livekit_otel"):
        in_a_job(lambda: livekit_otel.set_tracer_provider(provider), before=early)
    assert said(caplog) == 0
