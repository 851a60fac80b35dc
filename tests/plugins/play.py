"""Plays calls in real time, several at once, and leaves what came of them in a directory.

``python -m tests.plugins.play DIRECTORY pipeline|native [CALL ...]``
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from livekit.agents import utils
from livekit.agents.testing import fake_job_context
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel

from .caller import Caller, Shop, job_of, session_of
from .calls import ANSWERS, BY_NAME, CALLS, Call
from .servers import Servers, World

#: attribute of every span: which call it is of, and which time that was played
CALL = "test.call"
TRACE = "trace.jsonl"
#: how many calls at once: more, and they take the processor from each other
_AT_ONCE = 5
_SETTLES = 0.4
_WATCH = 0.005
_NOTICED = 0.02
#: a call that others kept from its work for so many seconds is played again, at most so often, while there is time
_DISTURBED = 1.5
_ATTEMPTS = 3
_PATIENCE = 120.0

_name: contextvars.ContextVar[str] = contextvars.ContextVar("call")


def main(directory: Path, mode: str, names: list[str]) -> None:
    """Play the calls of these names, or all."""
    logging.basicConfig(level="WARNING", filename=directory / "log.txt", filemode="w")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(FileSpanExporter(str(directory / TRACE))))
    livekit_otel.set_tracer_provider(
        provider, native_spans=mode == "native", session_attributes=lambda *_: {CALL: _name.get()}
    )
    asyncio.run(_play([BY_NAME[name] for name in names] or list(CALLS), directory))
    provider.shutdown()


async def _play(calls: list[Call], directory: Path) -> None:
    servers, slots = Servers(), asyncio.Semaphore(_AT_ONCE)
    until = time.perf_counter() + _PATIENCE

    async def one(call: Call) -> None:
        async with slots:
            for attempt in range(_ATTEMPTS):
                _name.set(f"{call.name}, {attempt}")
                outcome = await played(call, servers)
                if outcome["stalled"] < _DISTURBED or time.perf_counter() > until:
                    break
            stored = json.dumps({"id": _name.get(), **outcome}, default=lambda _: None)
            (directory / f"{call.name}.json").write_text(stored)

    async with utils.http_context.open():
        await asyncio.gather(*(one(call) for call in calls))


async def played(call: Call, servers: Servers) -> dict[str, Any]:
    """One call: LiveKit's report and metrics, and the log of the servers and devices."""
    world = World(timing=call.setup.timing, answers=ANSWERS)
    host = f"127.0.0.1:{servers.start(world)}"
    metrics: list[Any] = []
    events: list[Any] = []
    with fake_job_context() as context:
        job_of(context, call.name)
        async with session_of(call.setup, world, host) as (session, mic):
            session.on("metrics_collected", lambda event: metrics.append(json.loads(event.metrics.model_dump_json())))
            session.on("user_state_changed", lambda event: events.append([event.created_at, event.new_state]))
            stalls = asyncio.ensure_future(_stalls(world))
            await session.start((call.setup.agent or Shop)())
            await call.script(Caller(world, session, mic, host))
            world.note("closing")
            await session.aclose()
            report = context.make_session_report(session)
            usage = [one.model_dump() for one in report.model_usage or []]
            await asyncio.sleep(_SETTLES)
            stalls.cancel()
    # to unix time, as spans have it
    offset = time.time() - time.perf_counter()
    return {
        "report": report.to_dict(),
        "usage": usage,
        "metrics": metrics,
        "user_states": events,
        "stalled": sum(one["seconds"] for one in world.log if one["what"] == "stalled"),
        "log": [{**one, "at": one["at"] + offset} for one in sorted(world.log, key=lambda one: one["at"])],
    }


async def _stalls(world: World) -> None:
    """Note when the loop was kept from its work by others: what its own thread computed is its own affair."""
    while True:
        before, computed = time.perf_counter(), time.thread_time()
        await asyncio.sleep(_WATCH)
        late = time.perf_counter() - before - _WATCH - (time.thread_time() - computed)
        if late > _NOTICED:
            world.note("stalled", seconds=late)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
