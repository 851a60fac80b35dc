"""Plays calls of this tier side by side in one process, traced, and hands over what came of each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import SessionReport, SpanRecord, build_report
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk
from tests.kit.trace import switch_off

from .call import Call, play
from .tls import server_context

#: calls at the same time: on two cores more of them come later than their servers say
_AT_ONCE = 4


#: how often it is asked whether this process gets its turn
_TICK = 0.01


@dataclass
class Played:
    """One call and its trace: ``records`` of both layers, the report that is rebuilt from them, and ``stalls``.

    Those are the moments at which this process was late, and by how much: that is the machine, not what is tested.
    """

    call: Call
    records: list[SpanRecord]
    report: SessionReport
    stalls: list[tuple[float, float]]

    def near(self, at: float, seconds: float = 0.05) -> float:
        """By how much two who look at this moment may differ."""
        return seconds + sum(late for end, late in self.stalls if end - late - 0.3 < at < end + 0.3)

    @property
    def pipeline(self) -> list[SpanRecord]:
        return [one for one in self.records if one.scope == attr.SCOPE]

    def of(self, kind: str) -> list[SpanRecord]:
        return sorted((one for one in self.pipeline if one.kind == kind), key=lambda one: one.start_ns)


def play_all(names: Iterable[str], *, native_spans: bool) -> dict[str, Played]:
    """Each call by its name."""
    _load()
    switch_off()
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        livekit_otel.set_tracer_provider(provider, native_spans=native_spans)
        played, stalls = asyncio.run(_all(list(names)))
    finally:
        logging.disable(level)
        switch_off()
    records = [from_sdk(one) for one in memory.get_finished_spans()]
    return {one.name: _traced(one, records, stalls) for one in played}


def _load() -> None:
    """Imports take seconds, in which no call could be served."""
    import livekit.plugins.google
    import livekit.plugins.openai
    import livekit.plugins.xai  # noqa: F401


async def _all(names: list[str]) -> tuple[list[Call], list[tuple[float, float]]]:
    tls, places = server_context(), asyncio.Semaphore(_AT_ONCE)
    stalls: list[tuple[float, float]] = []
    watch = asyncio.create_task(_watch(stalls))

    async def one(name: str) -> Call:
        async with places:
            return await play(name, tls)

    played = list(await asyncio.gather(*(one(name) for name in names)))
    watch.cancel()
    return played, stalls


async def _watch(stalls: list[tuple[float, float]]) -> None:
    """Note when a tick came later than another one."""
    while True:
        due = time.time() + _TICK
        await asyncio.sleep(_TICK)
        late = time.time() - due
        if late > _TICK:
            stalls.append((time.time(), late))


def _traced(call: Call, records: list[SpanRecord], stalls: list[tuple[float, float]]) -> Played:
    room = call.report["room_id"]
    mine = {one.trace_id for one in records if one.attributes.get(attr.CONVERSATION_ID) == room}
    own = [one for one in records if one.trace_id in mine]
    return Played(call, own, build_report(own), stalls)
