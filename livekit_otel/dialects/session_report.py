"""LiveKit's own session report as a session: its document in the form of the Python SDK, and the turns in it.

agents-js writes the same document with milliseconds for times and options, camelCase in places, and without some keys.
Keys that a release lacks are worked out from events and history as LiveKit does it; else they are null.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, number, text
from .report_turns import turn_records

__all__ = ["REPORT", "ReportedCall", "is_report", "read_report"]

REPORT = "livekit report"
#: unix milliseconds are above this (seconds of the year 5138), unix seconds below it
_MILLISECONDS = 1e11
#: options that agents-js has in milliseconds
_DELAYS = ("min_interruption_duration", "min_endpointing_delay", "max_endpointing_delay", "max_speech_duration")
Dict = dict[str, Any]


class ReportedCall(msgspec.Struct, kw_only=True):
    """One session, as LiveKit's own report has it.

    Attributes:
        session_id: made of the report's content, as it has none.
        document: the report with the keys of LiveKit's Python SDK, in seconds.
        known: keys of the document that the file says, or whose values follow from it.
        history, events: its items and events; ``events`` is None where the report was written without them.
        started_at, ended_at: unix seconds; None where nothing in it has a time.
        spans: a ``turn`` record for each exchange, and a ``playback`` record for each speech whose times it has.
    """

    session_id: str
    document: Dict
    known: frozenset[str]
    history: list[Dict]
    events: list[Dict] | None
    started_at: float | None
    ended_at: float | None
    spans: list[SpanRecord]

    @property
    def known_events(self) -> list[Dict]:
        """The events; none where they are unknown."""
        return self.events or []


def is_report(span: SpanRecord) -> bool:
    """Whether a record carries a session report."""
    return span.scope == attr.REPORT_SCOPE


def read_report(
    span: SpanRecord, keys: Iterable[str], worked_out: Mapping[str, Callable[[list[Dict], list[Dict] | None], Any]]
) -> ReportedCall:
    """The session of a record that carries a report.

    Args:
        span: the record.
        keys: all keys of LiveKit's report, in its order.
        worked_out: for keys that the report may lack, how LiveKit computes them of items and events.
    """
    said: Dict = json.loads(text(span.attributes, attr.REPORT_DOCUMENT))
    if (number(said, "timestamp") or 0.0) > _MILLISECONDS:
        said = _as_python(said)
    items: list[Dict] = [_in_seconds(one) for one in said["chat_history"]["items"]]
    events = _objects(said["events"]) if isinstance(said.get("events"), list) else None
    document = _ordered(said, keys)
    document |= {name: make(items, events) for name, make in worked_out.items() if name not in said}
    document["events"], document["chat_history"] = events, {**said["chat_history"], "items": items}
    started, ended = _bounds(document, items, events or [])
    return ReportedCall(
        session_id=span.trace_id,
        document=document,
        known=frozenset({*said, *(name for name in worked_out if document[name] is not None)}),
        history=items,
        events=events,
        started_at=started,
        ended_at=ended,
        spans=list(turn_records(items, span.trace_id)),
    )


def _ordered(said: Dict, keys: Iterable[str]) -> Dict:
    """The report's own order where it has all keys; what it lacks follows as null."""
    return {**said, **{name: None for name in keys if name not in said}}


def _as_python(said: Dict) -> Dict:
    """A report of agents-js with the units and names of Python's."""
    found = {name: _in_seconds(value) for name, value in said.items()}
    if isinstance(options := found.get("options"), dict):
        options = {**options, "preemptive_generation": _snake(options.get("preemptive_generation"))}
        found["options"] = _delays(options)
    if isinstance(found.get("events"), list):
        found["events"] = [_event(one) for one in _objects(found["events"])]
    for name in ("timestamp", "audio_recording_started_at"):
        found[name] = _moment(found.get(name))
    return found


def _delays(options: Dict) -> Dict:
    """Options with their delays in seconds."""
    found = dict(options)
    for name, value in options.items():
        if isinstance(value, dict):
            found[name] = _delays(value)
        elif name in _DELAYS and isinstance(value, int | float):
            found[name] = value / 1000
    return found


def _snake(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {"".join(f"_{one.lower()}" if one.isupper() else one for one in name): value[name] for name in value}


def _event(event: Dict) -> Dict:
    """An event whose error is an object of JavaScript: Python's is its text."""
    error = event.get("error")
    if isinstance(error, dict) and isinstance(inner := error.get("error"), dict):
        words = ": ".join(str(inner[name]) for name in ("name", "message") if inner.get(name))
        return {**event, "error": {**error, "error": words}}
    return event


def _in_seconds(value: Any) -> Any:
    """A part of a report with its times in unix seconds."""
    if isinstance(value, list):
        return [_in_seconds(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _moment(one) if name == "timestamp" or name.endswith("_at") else _in_seconds(one)
        for name, one in value.items()
    }


def _moment(value: Any) -> Any:
    return value / 1000 if isinstance(value, int | float) and value > _MILLISECONDS else value


def _objects(value: list[Any]) -> list[Dict]:
    return [one for one in value if isinstance(one, dict)]


def _bounds(document: Dict, items: list[Dict], events: list[Dict]) -> tuple[float | None, float | None]:
    """When the session began and ended: by the report, else by what it holds."""
    moments = [at for one in (*items, *events) if (at := number(one, "created_at")) is not None]
    made, length = number(document, "timestamp"), number(document, "duration_ms")
    closed = [at for one in events if one.get("type") == "close" and (at := number(one, "created_at")) is not None]
    started = made - length / 1000 if made is not None and length is not None else min(moments, default=None)
    ended = closed[-1] if closed else made if made is not None else max(moments, default=None)
    return started, ended
