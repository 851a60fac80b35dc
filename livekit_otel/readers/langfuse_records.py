"""Converts Langfuse's observations into span records, and restores the types of attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..otlp.repair import without_lone_surrogates
from ..spans import AttributeValue, SpanRecord
from .remote import restored

__all__ = ["Observation", "to_record"]

_EXACT = re.compile(r"(\d{1,19})-(\d{1,19})")
_ATTRIBUTES, _RESOURCE = "attributes", "resourceAttributes"


class Observation(msgspec.Struct):
    """The fields that are read from an observation, in both versions of the API; from a trace only its ID."""

    id: str
    traceId: str | None = None
    parentObservationId: str | None = None
    name: str | None = None
    startTime: str = ""
    endTime: str | None = None
    level: str | None = None
    statusMessage: str | None = None
    metadata: Any = None
    input: Any = None
    output: Any = None


def to_record(observation: Observation) -> SpanRecord:
    """Convert an observation into a record.

    Raises:
        ValueError: the observation is not a span: its IDs or times have another form.
    """
    trace_id, span_id = (observation.traceId or "").lower(), observation.id.lower()
    if not re.fullmatch(r"[0-9a-f]{32}", trace_id) or not re.fullmatch(r"[0-9a-f]{16}", span_id):
        raise ValueError(f"observation {observation.id[:40]!r} did not come from OpenTelemetry")
    metadata = _dict(observation.metadata)
    found = _part(metadata, _ATTRIBUTES)
    kind = str(found.get(attr.KIND, ""))
    attributes = restored({name: one for name, one in found.items() if not name.startswith(attr.LANGFUSE_PREFIX)})
    attributes.update(_words(kind, observation))
    start, end = _times(observation, found)
    scope = _part(metadata, "scope").get("name")
    failed = observation.level == "ERROR"
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=observation.parentObservationId or None,
        # our preset names spans of tools after the tool
        name=kind or observation.name or "",
        start_ns=start,
        end_ns=end,
        attributes=attributes,
        status="error" if failed else "unset",
        status_message=_message(observation, attributes) if failed else "",
        scope=attr.SCOPE if kind else str(scope or ""),
        resource=restored(_part(metadata, _RESOURCE)),
    )


def _dict(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except NOT_JSON:
            return {}
    return value if isinstance(value, dict) else {}


def _part(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Version 3 nests (``{"attributes": {"a.b": 1}}``), version 4 is flat (``{"attributes.a.b": 1}``)."""
    prefix = f"{name}."
    flat = {key[len(prefix) :]: value for key, value in metadata.items() if key.startswith(prefix)}
    return {**_dict(metadata.get(name)), **flat}


def _words(kind: str, observation: Observation) -> dict[str, AttributeValue]:
    """Input and output, which Langfuse moves out of the metadata or parses as JSON."""
    found: dict[str, AttributeValue] = {}
    name_in, name_out = attr.LANGFUSE_WORDS.get(kind, (None, None))
    if name_in == attr.INPUT_MESSAGES and observation.input:
        found.update(_request(observation.input))
    elif name_in is not None and observation.input not in (None, ""):
        found[name_in] = _text(observation.input)
    if name_out is not None and observation.output not in (None, ""):
        found[name_out] = _text(observation.output)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _request(value: Any) -> dict[str, AttributeValue]:
    """Messages of a request. A leading system message is the instructions, inserted by our exporter or by Langfuse."""
    try:
        messages = msgspec.json.decode(without_lone_surrogates(value.encode())) if isinstance(value, str) else value
    except NOT_JSON:
        return {attr.INPUT_MESSAGES: str(value)}
    if not isinstance(messages, list) or not messages:
        return {}
    first = messages[0]
    if not isinstance(first, dict) or first.get("role") != "system":
        return {attr.INPUT_MESSAGES: _text(value)}
    parts = first.get("parts") or [{"type": "text", "content": str(first.get("content", ""))}]
    found: dict[str, AttributeValue] = {attr.SYSTEM_INSTRUCTIONS: _text(parts)}
    if messages[1:]:
        found[attr.INPUT_MESSAGES] = _text(messages[1:])
    return found


def _times(observation: Observation, found: Mapping[str, Any]) -> tuple[int, int]:
    """Start and end in Unix nanoseconds; exact if our preset exported the span, else to the millisecond."""
    exact = _EXACT.fullmatch(str(found.get(attr.LANGFUSE_EXACT, "")))
    if exact:
        return int(exact[1]), int(exact[2])
    start = _moment(observation.startTime)
    return start, _moment(observation.endTime) if observation.endTime else start


def _moment(text: str) -> int:
    plain = re.sub(r"\.(\d{1,6})\d*", lambda digits: "." + digits[1].ljust(6, "0"), text.replace("Z", "+00:00"))
    moment = datetime.fromisoformat(plain)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return round(aware.timestamp() * 1e6) * 1_000


def _message(observation: Observation, attributes: Mapping[str, AttributeValue]) -> str:
    """The status message of the span; empty if our preset built it from the error's attributes."""
    message = observation.statusMessage or ""
    kind = str(attributes.get(attr.ERROR_TYPE, ""))
    return "" if kind and (message == kind or message.startswith(f"{kind}: ")) else message
