"""Synthetic calls: spans that look like a traced voice call, and both ends of their way through a server.

:func:`make_call` makes them with the OpenTelemetry SDK, :func:`send` hands them to an OTLP/HTTP endpoint, and
:func:`sent`, :func:`from_jaeger` and :func:`from_otlp_json` give the same plain records, so that a test compares whole
calls in one assertion.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from livekit_otel import attributes as a

Record = dict[str, Any]
SECOND = 1_000_000_000
#: Input and output tokens of every `llm` span, and the seconds that every turn and stage takes.
TOKENS = (123, 45)
SECONDS = {a.KIND_TURN: 4.0, a.KIND_STT: 1.0, a.KIND_EOU: 0.3, a.KIND_LLM: 0.7, a.KIND_TTS: 0.45, a.KIND_TOOL: 0.12}
E2E_SECONDS = 0.92


def make_call(
    session: str, *, turns: int = 3, canary: str = "hello there", resource: Mapping[str, str] | None = None
) -> list[ReadableSpan]:
    """One ended call in the order in which its spans end: ``2 + turns * 8`` spans of one trace.

    ``canary`` stands wherever people's words, tool payloads, room names and exception messages do, on both layers.
    """
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "voice-agent", **(resource or {})}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    ours, native = provider.get_tracer(a.SCOPE, "0.1.0"), provider.get_tracer(a.NATIVE_SCOPE)
    start = time.time_ns() - 60 * SECOND
    root = _stage(ours, a.KIND_SESSION, session, None, start, {a.SESSION_REDACTED: False, a.SESSION_ROOM: canary})
    first = _stage(ours, a.KIND_SESSION_START, session, root, start, {a.journal_piece(0, pii=False): _piece(0, "[]")})
    first.end(start)
    for index in range(turns):
        _turn(ours, native, session, root, index, start + index * 5 * SECOND, canary)
    root.end(start + turns * 5 * SECOND)
    return list(memory.get_finished_spans())


def _stage(tracer: Tracer, kind: str, session: str, parent: Span | None, start: int, extra: Mapping[str, Any]) -> Span:
    common = {a.KIND: kind, a.SCHEMA: 1, a.SESSION_ID: session, a.BACKEND_SESSION_ID: session}
    attributes = {**common, a.CONVERSATION_ID: session, a.AGENT_NAME: "assistant", **extra}
    context = set_span_in_context(parent) if parent is not None else None
    return tracer.start_span(kind, context=context, attributes=attributes, start_time=start)


def _piece(batch: int, payload: str) -> str:
    return f"{batch}.0.1.{len(payload.encode())}|{payload}"


def _turn(ours: Tracer, native: Tracer, session: str, root: Span, index: int, start: int, canary: str) -> None:
    main = json.dumps([["b", True], ["e", {"type": "user_input_transcribed", "transcript": ""}]])
    turn = _stage(
        ours,
        a.KIND_TURN,
        session,
        root,
        start,
        {
            a.OPERATION_NAME: "invoke_agent",
            a.TURN_INDEX: index,
            a.TURN_SPEECH_IDS: [f"speech_{index}"],
            a.TURN_USER_TEXT: canary,
            a.TURN_AGENT_TEXT: canary,
            # Where both are there, the derived one counts.
            **({a.latency("e2e_latency"): E2E_SECONDS, a.reported("e2e_latency"): 9.9} if index % 2 else {}),
            **({} if index % 2 else {a.reported("e2e_latency"): E2E_SECONDS}),
            a.journal_piece(0, pii=False): _piece(index + 1, main),
            a.journal_piece(0, pii=True): _piece(index + 1, json.dumps([[1, ["transcript"], canary]])),
        },
    )
    usage = {
        a.USAGE_INPUT_TOKENS: TOKENS[0],
        a.USAGE_OUTPUT_TOKENS: TOKENS[1],
        a.USAGE_CACHE_READ: 23,
        a.USAGE_CACHE_WRITE: 7,
    }
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": canary}]}])
    content = {a.INPUT_MESSAGES: messages, a.OUTPUT_MESSAGES: messages, a.SYSTEM_INSTRUCTIONS: messages}
    stages: list[tuple[str, dict[str, Any]]] = [
        (a.KIND_STT, {a.REQUEST_MODEL: "ears-1", a.metric("stt", "audio_duration"): 1.5, a.STT_TEXT: canary}),
        (a.KIND_EOU, {a.metric("eou", "end_of_utterance_delay"): 0.3}),
        (a.KIND_LLM, {a.REQUEST_MODEL: "words-1", a.TIME_TO_FIRST_CHUNK: 0.25, **usage, **content}),
        (a.KIND_TOOL, {a.TOOL_NAME: "look_up", a.TOOL_CALL_ARGUMENTS: canary, a.TOOL_CALL_RESULT: canary}),
        (a.KIND_TTS, {a.REQUEST_MODEL: "voice-1", a.TTS_FIRST_BYTE: 0.125, a.TTS_TEXT: canary}),
    ]
    for number, (kind, extra) in enumerate(stages):
        begun = start + number * SECOND // 2
        span = _stage(ours, kind, session, turn, begun, extra)
        if kind == a.KIND_TOOL:
            span.set_status(Status(StatusCode.ERROR, f"ToolError: {canary}"))
            span.set_attributes({a.ERROR_TYPE: "ToolError", a.ERROR_MESSAGE: canary})
            span.add_event("exception", {"exception.type": "ToolError", "exception.message": canary}, begun)
        span.end(begun + round(SECONDS[kind] * SECOND))
    turn.end(start + round(SECONDS[a.KIND_TURN] * SECOND))
    theirs = {"lk.pii.user_input": canary, "lk.speech_id": f"speech_{index}", "gen_ai.tool.definitions": canary}
    context = set_span_in_context(root)
    agent_turn = native.start_span("agent_turn", context=context, attributes=theirs, start_time=start)
    request = native.start_span("llm_request", context=set_span_in_context(agent_turn), start_time=start)
    request.set_attributes({"gen_ai.input.messages": messages, "gen_ai.request.model": "words-1"})
    request.add_event("gen_ai.user.message", {"content": canary}, start)
    request.end(start + SECOND)
    agent_turn.end(start + 4 * SECOND)


def send(otlp_http: str, spans: Sequence[ReadableSpan], *, seconds: float = 10) -> bool:
    """Exports ``spans`` in one request; True when the server acknowledged them."""
    exporter = OTLPSpanExporter(endpoint=f"{otlp_http}/v1/traces", timeout=seconds)
    try:
        return exporter.export(spans) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()


def trace_id(spans: Sequence[ReadableSpan]) -> str:
    """The trace id of a call, as 32 hex digits."""
    return f"{spans[0].context.trace_id:032x}"


def by_id(records: Iterable[Record]) -> list[Record]:
    """Records in an order that does not depend on how they travelled."""
    return sorted(records, key=lambda record: record["id"])


def sent(spans: Iterable[ReadableSpan]) -> list[Record]:
    """What a server has to give back for ``spans``."""
    return by_id(
        {
            "id": f"{span.context.span_id:016x}",
            "parent": f"{span.parent.span_id:016x}" if span.parent else "",
            "name": span.name,
            "scope": span.instrumentation_scope.name,  # type: ignore[union-attr]
            "start": span.start_time,
            "end": span.end_time,
            "status": (span.status.status_code.value == 2, span.status.description or ""),
            "attributes": {key: list(v) if isinstance(v, tuple) else v for key, v in (span.attributes or {}).items()},
            "events": [(event.name, dict(event.attributes or {})) for event in span.events],
        }
        for span in spans
    )


def _value(value: Mapping[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_value(each) for each in value["arrayValue"].get("values", [])]
    (kind, plain), *_ = value.items()
    return int(plain) if kind == "intValue" else plain


def _attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def from_otlp_json(document: Mapping[str, Any]) -> Iterator[Record]:
    """Records of one OTLP JSON object."""
    for resource in document.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                status = span.get("status", {})
                yield {
                    "id": span["spanId"],
                    "parent": span.get("parentSpanId", ""),
                    "name": span["name"],
                    "scope": scope.get("scope", {}).get("name", ""),
                    "start": int(span["startTimeUnixNano"]),
                    "end": int(span["endTimeUnixNano"]),
                    "status": (status.get("code") in (2, "STATUS_CODE_ERROR"), status.get("message", "")),
                    "attributes": _attributes(span.get("attributes", [])),
                    "events": [
                        (each["name"], _attributes(each.get("attributes", []))) for each in span.get("events", [])
                    ],
                }


def from_jaeger(query: str, trace: str) -> list[Record]:
    """Records of one trace in Jaeger, with what is there twice; empty when it has none.

    Jaeger gives a span of no length a length of 1 ns and a warning that says so: that is undone here.
    """
    try:
        with urllib.request.urlopen(f"{query}/api/v3/traces/{trace}?raw_traces=true", timeout=10) as response:
            records = by_id(from_otlp_json(json.load(response)["result"]))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return []
        raise
    for record in records:
        if any("Negative duration" in warning for warning in record["attributes"].pop("@jaeger@warnings", [])):
            record["end"] = record["start"]
    return records
