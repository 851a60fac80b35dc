"""Feeds span records through a real TracerProvider, as live spans, and compares what the processor made of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from livekit_otel import attributes as attr
from livekit_otel.processor import TurnSpanProcessor
from livekit_otel.spans import SpanRecord, from_sdk
from livekit_otel.thresholds import DEFAULTS
from livekit_otel.turns import derive_session
from livekit_otel.turns.encode import session_attributes, turn_attributes
from livekit_otel.turns.recorded import read_corrections

from .turns_kit import SESSION, ZERO

_SIGNALS = {attr.FLAGS, *map(attr.signal, attr.FLAG_NAMES)}
_DERIVED = {
    *("latency", "silence", "answered", "why_not", "acknowledged", "gaps", "gap", "false_cutoff", "usage", "discarded"),
    *("interruptions", "false_interruptions", "backchannels", "notes"),
}


class Live:
    """A provider with the processor on it, and what it exported."""

    def __init__(self, processor: TurnSpanProcessor | None = None) -> None:
        self.processor = processor or TurnSpanProcessor()
        self.memory = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)
        self.provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.tracer = self.provider.get_tracer(attr.SCOPE)

    @property
    def records(self) -> list[SpanRecord]:
        return [from_sdk(span) for span in self.memory.get_finished_spans()]

    def start(self, record: SpanRecord, parent: trace.Span | None, attributes: dict[str, Any] | None = None) -> Any:
        context = trace.set_span_in_context(parent, Context()) if parent is not None else Context()
        chosen = dict(record.attributes) if attributes is None else attributes
        return self.tracer.start_span(record.name, context, attributes=chosen, start_time=record.start_ns)

    def play(self, spans: Sequence[SpanRecord], order: Iterable[int] | None = None) -> list[SpanRecord]:
        """Run a script: every span starts and ends when its record says (stages may end after their turn).

        With ``order`` (a permutation of the records' numbers), the stages end in that order instead, and every turn
        at its place in it.
        """
        turns = [one for one in spans if one.kind == attr.KIND_TURN]
        session = self.open()
        live: dict[str, trace.Span] = {SESSION: session}
        early = (attr.KIND, attr.SESSION_ID, attr.TURN_INDEX, attr.TURN_HAS_USER)
        for turn in turns:
            known = {name: turn.attributes[name] for name in early}
            live[turn.span_id] = self.start(turn, session, known)
        sequence = [spans[n] for n in order] if order is not None else sorted(spans, key=lambda one: one.end_ns)
        playing: dict[str, Any] = {}
        for record in sorted(spans, key=lambda one: one.start_ns):
            if record.kind in (attr.KIND_PLAYBACK, attr.KIND_TOOL, attr.KIND_REALTIME):
                playing[record.span_id] = self.start(record, live[record.parent_id or ""])
        for number, record in enumerate(sequence):
            if record.kind == attr.KIND_TURN:
                span: Any = live[record.span_id]
                span.set_attributes(dict(record.attributes))
            else:
                span = playing.get(record.span_id) or self.start(record, live[record.parent_id or ""])
            span.end(record.end_ns)
            if number % 7 == 6:
                self.point(attr.KIND_SESSION_CHECKPOINT, session, number)
        self.close(session)
        return self.records

    def open(self, session_id: str = "s") -> trace.Span:
        known = {attr.KIND: attr.KIND_SESSION, attr.SESSION_ID: session_id}
        return self.tracer.start_span(attr.KIND_SESSION, Context(), attributes=known, start_time=ZERO)

    def point(self, kind: str, session: trace.Span, number: int, session_id: str = "s") -> None:
        at = ZERO + 10**12 + number
        context = trace.set_span_in_context(session, Context())
        known = {attr.KIND: kind, attr.SESSION_ID: session_id}
        self.tracer.start_span(kind, context, attributes=known, start_time=at).end(at)

    def close(self, session: trace.Span, session_id: str = "s") -> None:
        self.point(attr.KIND_SESSION_END, session, 10**9, session_id)
        session.end(ZERO + 2 * 10**12)


def told(records: Iterable[SpanRecord]) -> dict[int, dict[str, Any]]:
    """What the trace says of each turn in the end: derived attributes of the turn's span, and later corrections."""
    records = sorted(records, key=lambda one: one.start_ns)
    out = {
        int(one.attributes[attr.TURN_INDEX]): {  # type: ignore[arg-type]
            name: value
            for name, value in one.attributes.items()
            if name in _SIGNALS or (name.startswith(attr.TURN_PREFIX) and name.split(".")[2] in _DERIVED)
        }
        for one in records
        if one.kind == attr.KIND_TURN
    }
    for index, changes in read_corrections(records).items():
        for name, value in changes.items():
            if value is None:
                out[index].pop(name, None)
            else:
                out[index][name] = tuple(value) if isinstance(value, list) else value
    return out


def assert_live_equals_rebuilt(records: list[SpanRecord], thresholds: Mapping[str, float] = DEFAULTS) -> None:
    """Every number that the processor put on the trace of one session is what a report computes from its spans."""
    shuffled = records + records[::3]
    random.Random(len(records)).shuffle(shuffled)
    rebuilt = derive_session(shuffled, thresholds)
    assert told(records) == {turn.index: turn_attributes(turn, thresholds) for turn in rebuilt.turns}
    totals, each = session_attributes(rebuilt)
    alone = {name: one for name, one in totals.items() if name != attr.SESSION_LATENCIES}
    for kind, expected in ((attr.KIND_SESSION_END, totals), (attr.KIND_SESSION, {**alone, **each})):
        span = next(one for one in records if one.kind == kind)
        assert {name: one for name, one in span.attributes.items() if name in {**totals, **each}} == expected
        assert attr.SESSION_LATE_LOST not in span.attributes
