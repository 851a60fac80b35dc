"""Plays calls of this tier side by side in one process, traced, and hands over what came of each."""

from __future__ import annotations

import asyncio
import logging
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


@dataclass
class Played:
    """One call and its trace: ``records`` of both layers, and the report that is rebuilt from them."""

    call: Call
    records: list[SpanRecord]
    report: SessionReport

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
        played = asyncio.run(_all(list(names)))
    finally:
        logging.disable(level)
        switch_off()
    records = [from_sdk(one) for one in memory.get_finished_spans()]
    return {one.name: _traced(one, records) for one in played}


def _load() -> None:
    """Imports take seconds, in which no call could be served."""
    import livekit.plugins.google
    import livekit.plugins.openai
    import livekit.plugins.xai  # noqa: F401


async def _all(names: list[str]) -> list[Call]:
    tls, places = server_context(), asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> Call:
        async with places:
            return await play(name, tls)

    return list(await asyncio.gather(*(one(name) for name in names)))


def _traced(call: Call, records: list[SpanRecord]) -> Played:
    room = call.report["room_id"]
    mine = {one.trace_id for one in records if one.attributes.get(attr.CONVERSATION_ID) == room}
    own = [one for one in records if one.trace_id in mine]
    return Played(call, own, build_report(own))
