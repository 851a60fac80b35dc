"""Converts LiveKit's spans of Node.js to the form of Python's.

On Node.js, delays of the user are in milliseconds, metrics have names like ``ttftMs``, each step of a speech has its
own ``agent_turn`` span, and a speech requested with ``say()`` has no ``agent_turn`` span.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .. import attributes as attr
from ..spans import finite
from .names import NativeSpan, decoded, objects

__all__ = ["as_python", "is_node"]

_DELAYS = ("transcription_delay", "end_of_turn_delay", "on_user_turn_completed_delay", "eou_delay")
_METRICS = ("llm_metrics", "tts_metrics", "realtime_metrics")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MILLI = "_ms"
_MARK = '"durationMs"'
#: speech IDs look like ``speech_0123abcd-456`` on Node.js; in Python they have no dash
_SPEECH = re.compile(r"speech_[0-9a-f]+-[0-9a-f]+")
#: nanoseconds by which the time of the first audio can differ between a context and the span
_SAME_MOMENT = 100_000_000
#: nanoseconds that can lie between two readings of the clock for one event
_SAME_EVENT = 20_000_000
_MILLISECOND = 1_000_000


def is_node(spans: Iterable[NativeSpan]) -> bool:
    """Whether a session ran on Node.js, even if a backend lost the resource with that information."""
    return any(one.node or _looks_so(one) for one in spans)


def _looks_so(span: NativeSpan) -> bool:
    metrics = next((span.fields[name] for name in _METRICS if name in span.fields), None)
    if metrics is not None:
        return (
            _MARK in metrics if isinstance(metrics, str) else isinstance(metrics, Mapping) and "durationMs" in metrics
        )
    return bool(_SPEECH.fullmatch(span.text("speech_id")))


def as_python(spans: Sequence[NativeSpan]) -> list[NativeSpan]:
    """The spans of a session in the form of the SDK for Python."""
    return _with_ends(_with_speeches(_with_calls(_joined([_converted(one) for one in spans]))))


def _converted(span: NativeSpan) -> NativeSpan:
    fields = dict(span.fields)
    for name in _DELAYS:
        if (value := finite(fields.get(name))) is not None:
            fields[name] = value / 1e3
    if span.name == "user_turn":
        # they repeat the label of the STT
        for name in (attr.REQUEST_MODEL, attr.PROVIDER_NAME):
            fields.pop(name, None)
    for name in _METRICS:
        if name in fields:
            fields[name] = _metrics(decoded(fields[name]))
    if fields.get(attr.TIME_TO_FIRST_CHUNK) is not None and (finite(fields[attr.TIME_TO_FIRST_CHUNK]) or 0) < 0:
        del fields[attr.TIME_TO_FIRST_CHUNK]
    return msgspec.structs.replace(span, fields=fields, node=True)


def _metrics(value: Any) -> Any:
    """Metrics in seconds, under Python's names. Node.js uses -1 for absent values."""
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        name = _CAMEL.sub("_", key).lower()
        seconds = finite(one) if name.endswith(_MILLI) or name == "timestamp" else None
        if seconds is None:
            found[name] = _metrics(one)
        elif seconds >= 0:
            found[name.removesuffix(_MILLI)] = seconds / 1e3
    return found


def _joined(spans: Sequence[NativeSpan]) -> list[NativeSpan]:
    """Merge the steps of each speech into one ``agent_turn``."""
    steps: defaultdict[str, list[NativeSpan]] = defaultdict(list)
    for one in spans:
        if one.name == "agent_turn" and (speech := one.text("speech_id")):
            steps[speech].append(one)
    into: dict[str, str] = {}
    merged: dict[str, NativeSpan] = {}
    for found in steps.values():
        found.sort(key=lambda one: (one.start_ns, one.end_ns))
        first = found[0]
        into.update((one.span_id, first.span_id) for one in found[1:])
        merged[first.span_id] = _merged(found)
    return [
        msgspec.structs.replace(merged.get(one.span_id, one), parent_id=into.get(one.parent_id or "", one.parent_id))
        for one in spans
        if one.span_id not in into
    ]


def _merged(steps: Sequence[NativeSpan]) -> NativeSpan:
    fields: dict[str, Any] = {}
    for one in steps:
        fields |= {name: value for name, value in one.fields.items() if name != "e2e_latency" or name not in fields}
    if "response_text" not in steps[-1].fields:
        fields.pop("response_text", None)  # the last step had no text, and earlier texts belong to their steps
    end = max(one.end_ns for one in steps)
    return msgspec.structs.replace(steps[0], fields=fields, end_ns=end, failed=any(one.failed for one in steps))


def _with_calls(spans: list[NativeSpan]) -> list[NativeSpan]:
    """Add the IDs of calls, which tool spans lack before 1.8, from the request of the same speech."""
    asked: defaultdict[tuple[str | None, str, str], list[str]] = defaultdict(list)
    ordered = sorted(spans, key=lambda one: one.start_ns)
    for one in ordered:
        for call in objects(one.fields.get("function_calls")):
            if isinstance(own := call.get("call_id"), str):
                asked[one.parent_id, str(call.get("name")), str(call.get("arguments"))].append(own)
    named: dict[str, str] = {}
    for one in ordered:
        nameless = one.name == "function_tool" and "tool_call_id" not in one.fields
        if nameless and (known := asked[one.parent_id, one.text("tool_name"), one.text("tool_arguments")]):
            named[one.span_id] = known.pop(0)
    return [
        msgspec.structs.replace(one, fields={**one.fields, "tool_call_id": named[one.span_id]})
        if one.span_id in named
        else one
        for one in spans
    ]


def _with_speeches(spans: list[NativeSpan]) -> list[NativeSpan]:
    """Add an ``agent_turn`` for each speech that code requested: for each playout outside of an ``agent_turn``."""
    by_id = {one.span_id: one for one in spans}
    loose = [
        one for one in spans if one.name in ("agent_speaking", "tts_node") and not _above(one, by_id, "agent_turn")
    ]
    loose.sort(key=lambda one: one.start_ns)
    voices = [one for one in loose if one.name == "tts_node"]
    said = [one for one in loose if one.name == "agent_speaking"]
    words = _unexplained(spans, said)
    moved: dict[str, str] = {}
    made = []
    for one in said:
        own = [voice for voice in voices if voice.parent_id == one.parent_id and voice.start_ns <= one.start_ns]
        voices = [voice for voice in voices if voice not in own]
        name = f"say-{one.span_id}"
        moved.update((part.span_id, name) for part in (*own, one))
        start = min(part.start_ns for part in (*own, one))
        text = words.get(one.span_id)
        fields = {} if text is None else {"response_text": text}
        above = {"name": "agent_turn", "span_id": name, "start_ns": start, "fields": fields, "failed": False}
        made.append(msgspec.structs.replace(one, **above))
    return [msgspec.structs.replace(one, parent_id=moved.get(one.span_id, one.parent_id)) for one in spans] + made


def _with_ends(spans: list[NativeSpan]) -> list[NativeSpan]:
    """Let ``user_speaking`` end where the e2e latency of the answer begins. agents-js reads its clock, which has
    milliseconds, once for the span and once for its latencies."""
    by_id = {one.span_id: one for one in spans}
    moments: list[int] = []
    taken: set[str] = set()
    for one in sorted(spans, key=lambda one: one.start_ns):
        above = by_id.get(one.parent_id or "") if one.name == "agent_speaking" else None
        if above is not None and above.span_id not in taken:
            taken.add(above.span_id)
            if (latency := above.number("e2e_latency")) is not None:
                moments.append(round((one.start_ns - round(latency * 1e9)) / _MILLISECOND) * _MILLISECOND)
    moments.sort()
    found = []
    for one in spans:
        if one.name == "user_speaking":
            near = bisect_left(moments, max(one.end_ns - _SAME_EVENT, one.start_ns))
            if near < len(moments) and moments[near] <= one.end_ns + _SAME_EVENT:
                one = msgspec.structs.replace(one, end_ns=moments[near])
        found.append(one)
    return found


def _above(span: NativeSpan, by_id: Mapping[str, NativeSpan], name: str) -> bool:
    at, steps = by_id.get(span.parent_id or ""), 0
    while at is not None and at.name != name and steps < 64:
        at, steps = by_id.get(at.parent_id or ""), steps + 1
    return at is not None and at.name == name


def _unexplained(spans: Sequence[NativeSpan], said: Sequence[NativeSpan]) -> dict[str, str]:
    """Texts of speeches that no span has, from the contexts of later requests, which have them with their times."""
    found: dict[str, str] = {}
    for moment, text in _heard(spans):
        for one in said:
            if abs(one.start_ns - moment) <= _SAME_MOMENT:
                found.setdefault(one.span_id, text)
    return found


def _heard(spans: Sequence[NativeSpan]) -> Iterator[tuple[float, str]]:
    for one in spans:
        for item in objects(one.fields.get("chat_ctx")):
            if item.get("role") != "assistant":
                continue
            metrics, content = item.get("metrics"), item.get("content")
            at = finite(metrics.get("started_speaking_at")) if isinstance(metrics, Mapping) else None
            if at is not None and isinstance(content, list):
                yield at * 1e9, "\n".join(part for part in content if isinstance(part, str))
