"""One case: who traces beside us, in which mode, set up in which order; and what came out of it."""

from __future__ import annotations

import base64
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import SpanRecord, TurnSpanProcessor
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk
from tests.kit.run import Outcome
from tests.otlp_receiver import Receiver

from . import call

#: theirs first, ours first, or both and then both again
ORDERS = ("after", "before", "twice")
Sent = Callable[[], Sequence[SpanRecord]]
Play = Callable[[trace.Tracer], list[Outcome]]


@dataclass
class Result:
    """``sent`` is what reached the backend; ``reports`` were rebuilt from it; ``theirs`` are LiveKit's own reports."""

    sent: list[SpanRecord]
    reports: list[tuple[dict[str, Any], bool, list[str]]]
    theirs: list[dict[str, Any]]
    tokens: tuple[int, int]
    log: list[tuple[str, str]]
    turn_processors: int
    notes: dict[str, Any] = field(default_factory=dict)


class Bench:
    """What a row's set-up gets: providers, receivers, and ours to call in the order that the case asks for."""

    def __init__(self, *, native_spans: bool, order: str = "after", times: int = 1) -> None:
        self.native_spans = native_spans
        self.order = order
        self.times = times
        self.make_llm: call.MakeLLM = call.openai_llm
        self.providers: list[Any] = []
        self.notes: dict[str, Any] = {}
        self._closing: list[Callable[[], None]] = []

    def memory(self) -> InMemorySpanExporter:
        return InMemorySpanExporter()

    def provider(self, memory: InMemorySpanExporter, *, is_global: bool = False) -> TracerProvider:
        """A plain SDK provider that exports to ``memory``."""
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        if is_global:
            trace.set_tracer_provider(provider)
        return provider

    def receiver(self) -> Receiver:
        """An OTLP/HTTP receiver, closed when the case is over."""
        receiver = Receiver()
        self._closing.append(receiver.close)
        return receiver

    def ours(self, provider: Any, **options: Any) -> None:
        livekit_otel.set_tracer_provider(provider, native_spans=self.native_spans, **options)
        self.providers.append(provider)

    def in_order(self, theirs: Callable[[], Any], ours: Callable[[], Any]) -> None:
        first, second = (ours, theirs) if self.order == "before" else (theirs, ours)
        for step in (first, second) * (2 if self.order == "twice" else 1):
            step()

    def run(
        self, set_up: Callable[[Bench], Sent], play: Callable[[trace.Tracer], list[Outcome]] | None = None
    ) -> Result:
        """Set up, call (or ``play``), and collect."""
        log = _Log()
        logger = logging.getLogger("livekit_otel")
        logger.addHandler(log)
        sent_to_backend = set_up(self)
        tracer = self.providers[0].get_tracer("user")
        outcomes = play(tracer) if play else call.run(self.make_llm, tracer, times=self.times)
        for provider in self.providers:
            if hasattr(provider, "force_flush"):
                provider.force_flush()
        # the SDK's resource attributes hold a lock, which does not travel
        sent = [msgspec.structs.replace(one, resource=dict(one.resource)) for one in sent_to_backend()]
        for close in self._closing:
            close()
        reports = list(livekit_otel.build_reports(sent))
        usage = [one for outcome in outcomes for one in outcome.usage if one.get("type") == "llm_usage"]
        return Result(
            sent=sent,
            reports=[(one.to_dict(), one.complete, list(one.warnings)) for one in reports],
            theirs=[outcome.report for outcome in outcomes],
            tokens=(sum(one["input_tokens"] for one in usage), sum(one["output_tokens"] for one in usage)),
            log=log.lines,
            turn_processors=max((_count(one) for one in self.providers), default=0),
            notes=self.notes,
        )


class _Log(logging.Handler):
    """Warnings and errors of ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelname, record.getMessage()))


def from_memory(memory: InMemorySpanExporter) -> list[SpanRecord]:
    return [from_sdk(span) for span in memory.get_finished_spans()]


def from_receiver(receiver: Receiver) -> list[SpanRecord]:
    """What an OTLP receiver was sent, read as ``livekit-otel`` reads a collector's file."""
    receiver.settle()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spans.jsonl"
        path.write_text("".join(json.dumps(_otlp_json(one.message)) + "\n" for one in receiver.accepted if one.spans))
        return list(livekit_otel.read_spans(path, all_scopes=True)) if path.stat().st_size else []


def _otlp_json(message: Any) -> dict[str, Any]:
    """Protobuf's JSON has ids in base64, OTLP's in hexadecimal."""
    document = MessageToDict(message)
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for holder in (span, *span.get("links", ())):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = _hex(holder[name])
    return document


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()


def _count(provider: Any) -> int:
    """How many turn processors a provider has, wherever it keeps them."""
    found: Counter[int] = Counter()
    seen: set[int] = set()

    def look(one: Any) -> None:
        if id(one) in seen or one is None:
            return
        seen.add(id(one))
        if isinstance(one, TurnSpanProcessor):
            found[id(one)] += 1
            return
        for name in ("_active_span_processor", "_span_processors", "processor", "provider"):
            inner = getattr(one, "__dict__", {}).get(name)
            for each in inner if isinstance(inner, (tuple, list)) else (inner,):
                look(each)

    look(provider)
    return len(found)


def from_datadog(spans: Sequence[Any]) -> list[SpanRecord]:
    """Datadog's spans: an OpenTelemetry span's name is the resource, its attributes are tags and metrics, no scope."""

    def scope(one: Any) -> str:
        if attr.KIND in one.get_tags():
            return attr.SCOPE
        return "user" if one.resource in (call.OWN_TOOL, call.OWN_HTTP) else "livekit-agents"

    return [
        SpanRecord(
            trace_id=format(one.trace_id, "032x"),
            span_id=format(one.span_id, "016x"),
            parent_id=format(one.parent_id, "016x") if one.parent_id else None,
            name=one.resource,
            start_ns=one.start_ns,
            end_ns=one.start_ns + (one.duration_ns or 0),
            attributes={**one.get_tags(), **one.get_metrics()},
            status="error" if one.error else "unset",
            scope=scope(one),
        )
        for one in spans
    ]
