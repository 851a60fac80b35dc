"""What Langfuse makes of a span: type, level, words, usage and costs.

This follows ``OtelIngestionProcessor``, ``ObservationTypeMapper`` and ``IngestionService`` of Langfuse 4.16, rule by
rule, as far as spans of voice agents meet them.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_IO_KEYS = {
    "langfuse.observation.input",
    "langfuse.observation.output",
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "lk.input_text",
    "lk.user_transcript",
    "lk.chat_ctx",
    "lk.response.text",
    "input",
    "output",
}
_PRICES = {
    one["model"]: one
    for one in json.loads((Path(__file__).parent / "fixtures" / "langfuse_prices.json").read_text())["models"]
}
_TYPES = {"span", "generation", "event", "embedding", "agent", "tool", "chain", "retriever", "guardrail", "evaluator"}
_OPERATIONS = {
    "chat": "GENERATION",
    "text_completion": "GENERATION",
    "embeddings": "EMBEDDING",
    "create_agent": "AGENT",
    "generate_content": "GENERATION",
    "invoke_agent": "AGENT",
    "execute_tool": "TOOL",
}
_OPENINFERENCE = {"CHAIN", "RETRIEVER", "EMBEDDING", "AGENT", "TOOL", "GUARDRAIL", "EVALUATOR"}
#: LiveKit's spans by name: three that have a type, and those that are of interest only for debugging.
_NATIVE_TYPES = {"agent_turn": "AGENT", "start_agent_activity": "AGENT", "function_tool": "TOOL"}
_NATIVE_DEBUG = {
    *(
        "user_speaking",
        "eou_detection",
        "llm_request_run",
        "tts_node",
        "tts_request",
        "tts_request_run",
        "agent_speaking",
    ),
    *("tts_stream_adapter", "drain_agent_activity", "on_exit", "on_enter", "llm_fallback_adapter"),
    *("tts_fallback_adapter", "start_agent_activity"),
}
_MODELS = (
    "langfuse.observation.model.name",
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "model",
)
#: Names under which a count may come, first match first.
_INPUT = ("prompt_tokens", "input_tokens", "prompt")
_OUTPUT = ("completion_tokens", "output_tokens", "completion")
_TOTAL = ("total_tokens", "total")
_CACHED = ("cache_read.input_tokens", "cache_read_input_tokens", "cache_read_tokens", "input_cached_tokens")
_WRITTEN = ("cache_creation.input_tokens", "cache_creation_input_tokens", "cache_write_tokens", "input_cache_creation")
_REASONING = ("reasoning.output_tokens", "completion_details.reasoning")
_AUDIO = ("completion_details.audio",)


def observation(span: Any, scope: str, resource: dict[str, Any]) -> dict[str, Any]:
    attributes = plain_attributes(span.attributes)
    agent = attributes.get("gen_ai.operation.name") == "invoke_agent"
    model = None if agent else _first(attributes, *_MODELS)
    words_in, words_out = _words(attributes)
    level = attributes.get("langfuse.observation.level") or (
        "ERROR" if span.status.code == 2 else "DEBUG" if _is_debug(span.name, scope) else "DEFAULT"
    )
    counts, costs = ({}, {}) if agent else _billed(attributes, model, level, (words_in, words_out))
    return {
        "id": span.span_id.hex(),
        "traceId": span.trace_id.hex(),
        "parentObservationId": span.parent_span_id.hex() or None,
        "name": attributes.get("gen_ai.tool.name") or span.name,
        "type": _type(attributes, scope, span.name),
        "startTime": _iso(span.start_time_unix_nano),
        "endTime": _iso(span.end_time_unix_nano),
        "completionStartTime": _first_token(attributes),
        "level": level,
        "statusMessage": attributes.get("langfuse.observation.status_message") or span.status.message or None,
        "environment": attributes.get("langfuse.environment", "default"),
        "release": attributes.get("langfuse.release"),
        "sessionId": _first(attributes, "langfuse.session.id", "session.id", "gen_ai.conversation.id"),
        "userId": _first(attributes, "langfuse.user.id", "user.id"),
        "traceName": attributes.get("langfuse.trace.name"),
        "tags": attributes.get("langfuse.trace.tags", []),
        "isRoot": not span.parent_span_id or attributes.get("langfuse.internal.as_root") is True,
        "model": model,
        "usageDetails": counts,
        "costDetails": costs,
        "input": words_in,
        "output": words_out,
        "metadata": {
            "attributes": {name: value for name, value in attributes.items() if name not in _IO_KEYS},
            "resourceAttributes": resource,
            "scope": {"name": scope, "attributes": {}},
        },
    }


def _first_token(attributes: dict[str, Any]) -> str | None:
    moment = attributes.get("langfuse.observation.completion_start_time")
    if moment is None:
        return None
    moment = moment.strip('"')  # LiveKit quotes it twice, which Langfuse knows
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", moment), moment
    return str(moment)


def _billed(
    attributes: dict[str, Any], model: str | None, level: str, words: tuple[Any, Any]
) -> tuple[dict[str, int], dict[str, float]]:
    """Tokens by bucket with their total, and costs: what is given, else by the price list."""
    usage, costs = _usage(attributes), _given_costs(attributes)
    if not usage and not costs and level != "ERROR":
        usage = _counted_words(model, *words)
    counts = {name: n for name, n in usage.items() if isinstance(n, int) and n >= 0}
    if counts and "total" not in counts:
        counts["total"] = sum(counts.values())
    return counts, costs or _costs(model, counts)


def _type(attributes: dict[str, Any], scope: str, name: str) -> str:
    own = attributes.get("langfuse.observation.type")
    if own in _TYPES:
        return str(own).upper()
    if (kind := attributes.get("openinference.span.kind")) == "LLM" or kind in _OPENINFERENCE:
        return "GENERATION" if kind == "LLM" else str(kind)
    if (operation := attributes.get("gen_ai.operation.name")) in _OPERATIONS:
        return _OPERATIONS[operation]
    if attributes.get("gen_ai.tool.name") or attributes.get("gen_ai.tool.call.id"):
        return "TOOL"
    if scope == "livekit-agents" and name in _NATIVE_TYPES:
        return _NATIVE_TYPES[name]
    return "GENERATION" if _first(attributes, *_MODELS) else "SPAN"


def _is_debug(name: str, scope: str) -> bool:
    return scope == "livekit-agents" and name in _NATIVE_DEBUG


def _words(attributes: dict[str, Any]) -> tuple[Any, Any]:
    given = attributes.get("langfuse.observation.input"), attributes.get("langfuse.observation.output")
    if given != (None, None):
        return given
    messages, answer = attributes.get("gen_ai.input.messages"), attributes.get("gen_ai.output.messages")
    if instructions := attributes.get("gen_ai.system_instructions"):
        messages = _with_instructions(messages, instructions)
    if messages or answer:
        return messages, answer
    return attributes.get("gen_ai.tool.call.arguments"), attributes.get("gen_ai.tool.call.result")


def _with_instructions(messages: Any, instructions: str) -> Any:
    """The instructions as one text in a first message, if there are messages and none is the system's."""
    found = json_parse(messages) if isinstance(messages, str) else None
    if not isinstance(found, list) or any(one.get("role") == "system" for one in found):
        return messages
    parts = json_parse(instructions)
    content = "\n".join(str(part.get("content")) for part in parts) if isinstance(parts, list) else str(parts)
    return json.dumps([{"role": "system", "content": content}, *found])


def _usage(attributes: dict[str, Any]) -> dict[str, Any]:
    """What is said outright, else what GenAI and OpenInference attributes say; all that is unknown is a bucket, too."""
    if given := attributes.get("langfuse.observation.usage_details"):
        return dict(json.loads(given))
    raw: dict[str, Any] = {}
    for prefix in ("gen_ai.usage.", "llm.token_count."):
        raw |= {name.removeprefix(prefix): n for name, n in attributes.items() if name.startswith(prefix)}
    raw.pop("cost", None)
    counted = {name: _first_count(raw, names) for name, names in _GENERIC.items()}
    usage = {
        name.removeprefix("details."): n for name, n in raw.items() if not any(name in g for g in _GENERIC.values())
    }
    if counted["input"] is not None:
        counted["input"] -= (counted["input_cached_tokens"] or 0) + (counted["input_cache_creation"] or 0)
    if counted["output"] is not None:
        counted["output"] -= (counted["output_reasoning_tokens"] or 0) + (counted["output_audio_tokens"] or 0)
    return usage | {name: max(n, 0) for name, n in counted.items() if n is not None}


_GENERIC = {
    "input": _INPUT,
    "output": _OUTPUT,
    "total": _TOTAL,
    "input_cached_tokens": _CACHED,
    "input_cache_creation": _WRITTEN,
    "output_reasoning_tokens": _REASONING,
    "output_audio_tokens": _AUDIO,
}


def _first_count(raw: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((int(raw[name]) for name in names if name in raw), None)


def _given_costs(attributes: dict[str, Any]) -> dict[str, float]:
    if given := attributes.get("langfuse.observation.cost_details"):
        return dict(json.loads(given))
    total = attributes.get("gen_ai.usage.cost", attributes.get("llm.cost.total"))
    return {} if total in (None, "") else {"total": float(total)}


def _priced(model: str | None) -> dict[str, Any] | None:
    return _PRICES.get(str(model).lower().rpartition("/")[2])


def _counted_words(model: str | None, *texts: Any) -> dict[str, int]:
    """Without any usage Langfuse counts the texts of a model whose tokeniser it has (here: four characters a token)."""
    priced = _priced(model)
    if priced is None or not priced["tokenizer"]:
        return {}
    names = ("input", "output")
    return {name: len(text) // 4 + 1 for name, text in zip(names, texts, strict=True) if isinstance(text, str) and text}


def _costs(model: str | None, counts: dict[str, int]) -> dict[str, float]:
    """Each bucket times the price of that name, in dollars; a bucket without a price costs nothing."""
    prices = (_priced(model) or {"prices": {}})["prices"]
    costs = {name: n * prices[name] / 1e6 for name, n in counts.items() if name in prices}
    return {**costs, "total": sum(costs.values())} if costs else {}


def plain_attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    found = getattr(value, kind)
    # a JavaScript number
    return float(found) if kind == "int_value" and abs(found) > 2**53 else found


def _first(attributes: dict[str, Any], *names: str) -> Any:
    return next((attributes[name] for name in names if attributes.get(name)), None)


def _iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000 % 1000:03d}Z"


def json_parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
