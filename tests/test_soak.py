"""Ten thousand turns in one session: what the plugin holds does not grow, nor do files, threads and tasks."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

import psutil
import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel
from livekit_otel.exporters.files import rotating_files
from livekit_otel.instrumentation import registry
from tests.kit.run import SCENARIOS, Call, Scenario, run_scenario
from tests.kit.trace import switch_off
from tests.scenarios.tools import Clerk, calls

EARLY, TURNS = 1_000, 10_000
#: one question is spoken, the others of a round are typed; a round takes so long
ROUND, SECONDS = 10, 36.0
_DATA = ("builtins", "collections", "array", "weakref", "_thread")
_NOT_DATA = (type, ModuleType, FunctionType, BuiltinFunctionType, FrameType)


@dataclass
class Held:
    """What is held between two turns: ``size`` in bytes, objects by type, and what the process has open."""

    size: int
    objects: Counter[str]
    files: int
    threads: int
    tasks: int


def held(provider: TracerProvider) -> Held:
    gc.collect()
    return Held(
        size=size_of(roots(provider)),
        objects=Counter(type(one).__qualname__ for one in gc.get_objects() if _ours(type(one))),
        files=psutil.Process().num_fds(),
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
    )


def roots(provider: TracerProvider) -> list[Any]:
    """Where everything hangs that the plugin keeps: its modules' variables, its sessions, the processors."""
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "livekit_otel"]
    variables = [value for module in modules for value in vars(module).values() if not isinstance(value, dict)]
    return [*variables, *registry.all_states(), provider]


def size_of(found: list[Any]) -> int:
    """Bytes of everything that can be reached, up to where LiveKit's own objects begin."""
    seen: set[int] = set()
    size = 0
    while found:
        one = found.pop()
        kind = type(one)
        if id(one) in seen or isinstance(one, _NOT_DATA) or not (kind.__module__ in _DATA or _ours(kind)):
            continue
        seen.add(id(one))
        size += sys.getsizeof(one)
        found += gc.get_referents(one)
    return size


def _ours(kind: type) -> bool:
    # LiveKit keeps one Context of OpenTelemetry for each speech, plugin or not
    return str(kind.__module__).split(".")[0] in ("livekit_otel", "opentelemetry") and kind is not Context


@pytest.mark.slow
def test_ten_thousand_turns(tmp_path: Path) -> None:
    """After turn 10,000 the plugin holds within 5 % of what it held after turn 1,000; no file, thread or task more."""
    exporter = rotating_files(tmp_path, max_bytes=8 << 20)
    provider = TracerProvider(shutdown_on_exit=False)
    # emptied at each measurement, so that only what is kept on purpose is counted
    provider.add_span_processor(BatchSpanProcessor(exporter))
    measured: dict[int, Held] = {}

    async def script(call: Call) -> None:
        for number in range(TURNS // ROUND):
            call.caller.says(f"weather number {number}", 1.0 + SECONDS * number, interim_after=None)
        session = call.session(calls(("weather", "weather", '{"city": "Oslo"}')), llm_delay=0.1)
        clerk = Clerk()
        await call.start(session, clerk)
        for number in range(TURNS // ROUND):
            await call.until(SECONDS * number + 8.0)
            for typed in range(ROUND - 1):
                await session.run(user_input=f"question {number} {typed}")
            # as agents for long calls do; what LiveKit keeps for its report grows all the same
            await clerk.update_chat_ctx(clerk.chat_ctx.copy().truncate(max_items=20))
            await call.until(SECONDS * (number + 1))
            if (turns := (number + 1) * ROUND) in (EARLY, TURNS):
                provider.force_flush()
                measured[turns] = held(provider)
        await call.close(session)

    SCENARIOS["soak"] = Scenario("soak", "", script)
    switch_off()
    try:
        run_scenario("soak", lambda: livekit_otel.set_tracer_provider(provider, native_spans=False, flush_timeout=0))
    finally:
        switch_off()
        del SCENARIOS["soak"]
    provider.shutdown()
    early, late = measured[EARLY], measured[TURNS]
    print({turns: (one.size, one.objects.total()) for turns, one in measured.items()})
    assert early.size > 100_000
    assert late.size <= early.size * 1.05, (early.size, late.size)
    assert late.objects.total() <= early.objects.total() * 1.05, late.objects - early.objects
    assert (late.files, late.threads, late.tasks) == (early.files, early.threads, early.tasks)
    report = livekit_otel.build_report(livekit_otel.read_spans(str(tmp_path)))
    assert report.complete
    assert report.warnings == []
    assert len(report.turns) == TURNS
