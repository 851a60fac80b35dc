"""Made-up calls: LiveKit's report of each, and the pipeline spans that carry it.

An encoder of its own, written from the format's description and sharing no code with the library, so that a mistake
on one side shows. ``Call.report`` is what must come back; ``Call.spans`` are plain dictionaries, which ``lines`` turns
into OTLP JSON and ``records`` into span records.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

from livekit_otel.spans import SpanRecord

Span = dict[str, Any]
START = 1_790_000_000.0
_WORDS = ('ein zwei drei the weather in Zürich is fine, 東京 too; "quoted" and a \\ slash, 🙂 and so on').split()  # noqa: SIM905


class Pii(str):
    """A string that is content."""


class Call:
    """One session. Times are seconds from ``start``; ``content=False`` is a session that withholds what was said."""

    def __init__(
        self,
        session_id: str = "S-one",
        *,
        start: float = START,
        content: bool = True,
        piece_bytes: int = 1_900,
        pieces_per_span: int = 40,
        seed: int = 0,
    ) -> None:
        self.session_id = session_id
        self.random = random.Random(f"{session_id}/{seed}")
        self.start, self.content = start, content
        self.piece_bytes, self.pieces_per_span = piece_bytes, pieces_per_span
        self.trace_id = hashlib.sha256(session_id.encode()).hexdigest()[:32]
        self.spans: list[Span] = []
        self.now = 0.0
        self.turns = self.batches = 0
        self.events: list[dict[str, Any]] = []
        self.items: list[dict[str, Any]] = []
        self.usage: list[dict[str, Any]] = []
        self._entries: list[list[Any]] = []
        self.session = self._span("session", None)
        self.spans.clear()  # it ends last
        self.head: dict[str, Any] = {
            "job_id": "AJ_" + session_id,
            "room_id": "RM_" + session_id,
            "room": Pii("room of " + session_id),
            "events": None,
            "audio_recording_path": None,
            "audio_recording_started_at": None,
            "options": {
                "allow_interruptions": True,
                "min_endpointing_delay": 0.5,
                "recording_options": {"audio": False},
            },
            "chat_history": None,
            "timestamp": None,
            "usage": None,
            "sdk_version": "1.8.9",
            "agent_name": "clerk",
            "tags": ["a", "b"],
            "duration_ms": None,
            "user_turns": None,
            "errors": None,
            "close_reason": None,
        }
        self._entries.append(["h", dict(self.head)])
        first = self.span("session.start", attributes={"livekit_otel.session.started_at": start, **self._identity()})
        self.flush(first)

    def _identity(self) -> dict[str, Any]:
        found = {
            "livekit_otel.session.job_id": self.head["job_id"],
            "livekit_otel.session.room_id": self.head["room_id"],
            "livekit_otel.session.sdk_version": "1.8.9",
            "livekit_otel.session.redacted": not self.content,
        }
        return {**found, "livekit_otel.pii.session.room": str(self.head["room"])} if self.content else found

    # --- spans
    def _span(self, name: str, parent: str | None, start: float = 0.0, end: float = 0.0, **attributes: Any) -> Span:
        span = {
            "name": name,
            "trace_id": self.trace_id,
            "span_id": f"{self.random.getrandbits(64) or 1:016x}",
            "parent_id": parent,
            "start_ns": round((self.start + start) * 1e9),
            "end_ns": round((self.start + end) * 1e9),
            "attributes": {
                "livekit_otel.kind": name,
                "livekit_otel.schema": 2,
                "livekit_otel.session.id": self.session_id,
                "session.id": "RM_" + self.session_id,
                "gen_ai.conversation.id": "RM_" + self.session_id,
                **attributes,
            },
        }
        self.spans.append(span)
        return span

    def span(
        self,
        name: str,
        start: float | None = None,
        end: float | None = None,
        *,
        parent: Span | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> Span:
        """A pipeline span from ``start`` to ``end`` (both default to now)."""
        begin = self.now if start is None else start
        until = begin if end is None else end
        return self._span(name, (parent or self.session)["span_id"], begin, until, **(attributes or {}))

    # --- what LiveKit would report
    def event(self, type_: str, **fields: Any) -> dict[str, Any]:
        event = {"type": type_, **fields, "created_at": self.start + self.now}
        self.events.append(event)
        self._entries.append(["e", event])
        return event

    def item(self, **fields: Any) -> dict[str, Any]:
        """A history item that no event announces."""
        item = {"id": self._id("item"), **fields, "created_at": self.start + self.now}
        self._insert(item)
        self._entries.append(["i", self._before(item), form(item)])
        return item

    def message(self, role: str, text: str, **fields: Any) -> dict[str, Any]:
        item = {
            "id": self._id("item"),
            "type": "message",
            "role": role,
            "content": [Pii(text)],
            "interrupted": False,
            "transcript_confidence": None,
            "extra": {},
            "metrics": {"started_speaking_at": self.start + self.now},
            "created_at": self.start + self.now,
            "hash": None,
            **fields,
        }
        self._insert(item)
        event = {"type": "conversation_item_added", "item": item, "created_at": self.start + self.now}
        self.events.append(event)
        self._entries.append(["c", self._before(item), event])
        return item

    def add_usage(self, number: int, **change: Any) -> None:
        """A usage event; the values are added to the figures of the ``number``-th model."""
        before = [dict(one) for one in self.usage]
        while len(self.usage) <= number:
            self.usage.append(_new_usage(len(self.usage)))
        for name, value in change.items():
            self.usage[number][name] += value
        changes = [
            [at, {k: v for k, v in one.items() if at >= len(before) or before[at][k] != v}]
            for at, one in enumerate(self.usage)
        ]
        event: dict[str, Any] = {"type": "session_usage_updated", "usage": None, "created_at": self.start + self.now}
        self._entries.append(["u", dict(event), [change for change in changes if change[1]]])
        event["usage"] = {"model_usage": [dict(one) for one in self.usage]}
        self.events.append(event)

    def _insert(self, item: dict[str, Any]) -> None:
        at = len(self.items)
        while at and self.items[at - 1]["created_at"] > item["created_at"]:
            at -= 1
        self.items.insert(at, item)

    def _before(self, item: dict[str, Any]) -> str | None:
        at = next(n for n, one in enumerate(self.items) if one is item)
        return self.items[at - 1]["id"] if at else None

    def _id(self, kind: str) -> str:
        return f"{kind}_{self.random.getrandbits(48):012x}"

    # --- the journal
    def flush(self, span: Span) -> None:
        """Put what was recorded since the last flush on ``span``, and what it cannot hold on checkpoints."""
        if not self._entries:
            return
        pii: list[Any] = []
        main: list[Any] = [["b", False]]
        main += [_strip(entry, number, [], pii) for number, entry in enumerate(self._entries, 1)]
        self._entries = []
        if not self.content:
            pii = []
        main[0][1] = bool(pii)
        pieces = [("livekit_otel.journal.p", piece) for piece in self._cut(main)]
        if pii:
            pieces += [("livekit_otel.pii.journal.p", piece) for piece in self._cut(pii)]
        self.batches += 1
        for number, (prefix, piece) in enumerate(pieces):
            if number and number % self.pieces_per_span == 0:
                span = self.span("session.checkpoint")
            span["attributes"][f"{prefix}{number % self.pieces_per_span:03d}"] = piece

    def _cut(self, stream: list[Any]) -> Iterator[str]:
        text = json.dumps(stream, ensure_ascii=False, separators=(",", ":"))
        parts, part, size = [], [], 0  # type: ignore[var-annotated]
        for character in text:
            width = len(character.encode("utf-8", "surrogatepass"))
            if size + width > self.piece_bytes:
                parts.append("".join(part))
                part, size = [], 0
            part.append(character)
            size += width
        parts.append("".join(part))
        for number, payload in enumerate(parts):
            yield f"{self.batches}.{number}.{len(parts)}.{len(payload.encode('utf-8', 'surrogatepass'))}|{payload}"

    def correct(self, *entry: Any) -> None:
        """Record a final correction."""
        self._entries.append(list(entry))

    # --- scenes
    def words(self, count: int) -> str:
        return " ".join(self.random.choice(_WORDS) for _ in range(count))

    def turn(self, *, tool: bool = False, interrupted: bool = False) -> Span:
        """One exchange, with all its stages and events; ends with a flush onto the turn."""
        begin = self.now
        user, answer = self.words(9), self.words(25)
        speech = self._id("speech")
        turn = self._span("turn", self.session["span_id"])
        self.spans.remove(turn)

        def stage(name: str, start: float, end: float, **fields: Any) -> None:
            own = {f"livekit_otel.{name}.{key}": value for key, value in fields.items() if "." not in key}
            other = {key: value for key, value in fields.items() if "." in key}
            attributes = {
                **own,
                f"livekit_otel.{name}.label": f"some.plugin.{name.upper()}",
                f"livekit_otel.{name}.timestamp": self.start + end,
                **other,
            }
            self.span(name, start, end, parent=turn, attributes=attributes)

        self.event("user_state_changed", old_state="listening", new_state="speaking")
        for cut in (2, 5, 9):
            self.now += 0.4
            part = Pii(" ".join(user.split(" ")[:cut]))
            self.event(
                "user_input_transcribed",
                transcript=part,
                is_final=cut == 9,
                item_id=None,
                speaker_id=None,
                language="en",
            )
        self.now += 0.3
        stage("vad", begin, begin + 1.2, speech=True, idle_time=0.1, inference_duration_total=0.013, inference_count=33)
        stage(
            "stt",
            begin,
            begin + 1.4,
            request_id=self._id("r"),
            duration=0.0,
            audio_duration=1.2,
            streamed=True,
            input_tokens=0,
            output_tokens=0,
            acquire_time=0.01,
            **{"livekit_otel.pii.stt.text": user},
        )
        self.add_usage(1, audio_duration=1.25)
        self.event("user_state_changed", old_state="speaking", new_state="listening")
        self.event("agent_state_changed", old_state="listening", new_state="thinking")
        stage(
            "eou",
            begin + 1.2,
            self.now,
            end_of_utterance_delay=0.55,
            transcription_delay=0.2,
            on_user_turn_completed_delay=0.001,
            committed=True,
            **{"livekit_otel.speech_id": speech},
        )
        self.message("user", user, metrics={"started_speaking_at": self.start + begin, "transcription_delay": 0.2})
        self.event("speech_created", user_initiated=False, source="generate_reply", speech_handle=None)
        for _ in range(2):
            tokens = self.random.randrange(20, 90)
            stage(
                "llm",
                self.now,
                self.now + 0.7,
                ttft=0.31,
                duration=0.7,
                completion_tokens=tokens,
                prompt_tokens=800,
                total_tokens=800 + tokens,
                tokens_per_second=101.5,
                **{
                    "gen_ai.operation.name": "chat",
                    "gen_ai.response.time_to_first_chunk": 0.3125,
                    "livekit_otel.speech_id": speech,
                    "livekit_otel.outcome": "completed",
                },
            )
            self.now += 0.7
            self.add_usage(0, input_tokens=800, output_tokens=tokens)
            if tool:
                call, tool = self._id("call"), False
                arguments = Pii('{"city": "Zürich"}')
                self.item(type="function_call", call_id=call, name="weather", arguments=arguments, extra={})
                self.item(
                    type="function_call_output", call_id=call, name="weather", output=Pii("18 °C"), is_error=False
                )
                self.event("function_tools_executed", function_calls=[{"name": "weather", "arguments": arguments}])
                stage("tool", self.now, self.now + 0.1, **{"gen_ai.tool.name": "weather", "gen_ai.tool.call.id": call})
        self.event("agent_state_changed", old_state="thinking", new_state="speaking")
        stage(
            "tts",
            self.now,
            self.now + 0.4,
            ttfb=0.15,
            time_to_first_byte=0.14,
            characters_count=len(answer),
            audio_duration=3.5,
            cancelled=interrupted,
            **{"livekit_otel.speech_id": speech, "livekit_otel.pii.tts.text": answer},
        )
        stage(
            "playback",
            self.now + 0.2,
            self.now + 3.0,
            position=2.8,
            interrupted=interrupted,
            **{"livekit_otel.speech_id": speech},
        )
        self.now += 3.0
        self.add_usage(2, characters_count=len(answer), audio_duration=3.5)
        self.message("assistant", answer, interrupted=interrupted)
        self.event("agent_state_changed", old_state="speaking", new_state="listening")
        turn["start_ns"], turn["end_ns"] = (round((self.start + at) * 1e9) for at in (begin, self.now))
        turn["attributes"] |= {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "clerk",
            "gen_ai.agent.invocation.end_reason": "interrupted" if interrupted else "completed",
            "livekit_otel.turn.index": self.turns,
            "livekit_otel.turn.speech_ids": [speech],
            "livekit_otel.turn.models": ["acme/llm-1", "acme/tts-1"],
            "livekit_otel.turn.reported.e2e_latency": 1.234,
        }
        if self.content:
            turn["attributes"] |= {"livekit_otel.pii.turn.user_text": user, "livekit_otel.pii.turn.agent_text": answer}
        self.turns += 1
        self.spans.append(turn)
        self.flush(turn)
        self.now += 0.5
        return turn

    def close(self, reason: str = "user_initiated") -> Call:
        """The close event, the final corrections and the last two spans."""
        self.event("close", error=None, reason=reason)
        self.head |= {
            "timestamp": self.start + self.now + 0.5,
            "usage": self._final_usage(),
            "duration_ms": int(self.now * 1000),
        }
        self._entries += [["h", dict(self.head)], ["n", len(self.events), len(self.items)]]
        end = self.span("session.end", attributes={"livekit_otel.session.close_reason": reason})
        self.flush(end)
        self.session["end_ns"] = end["end_ns"]
        self.spans.append(self.session)
        end["attributes"] |= {
            "livekit_otel.journal.batches": self.batches,
            "livekit_otel.session.span_count": len(self.spans),
        }
        return self

    def _final_usage(self) -> list[dict[str, Any]] | None:
        return [
            {"type": one["type"], **{k: v for k, v in one.items() if k != "type" and v != 0}} for one in self.usage
        ] or None

    @property
    def report(self) -> dict[str, Any]:
        """LiveKit's report of this call."""
        reasons = [e["reason"] for e in self.events if e["type"] == "close"]
        names = {"task_completed": "CR_COMPLETED"}
        errors = [e["error"]["type"] for e in self.events if e["type"] == "error"]
        kinds = {
            "llm_error": "llm",
            "stt_error": "stt",
            "tts_error": "tts",
            "realtime_model_error": "realtime",
            "interruption_detection_error": "interruption",
        }
        values = {
            **self.head,
            "events": self.events,
            "chat_history": {"items": [form(item) for item in self.items]},
            "user_turns": sum(item.get("role") == "user" for item in self.items),
            "errors": {name: errors.count(kind) for kind, name in kinds.items()},
            "close_reason": names.get(reasons[-1], "CR_" + reasons[-1].upper()) if reasons else None,
        }
        plain = values if self.content else _strip(values, 0, [], [])
        found: dict[str, Any] = json.loads(json.dumps({name: plain[name] for name in self.head}))
        return found


def call(session_id: str = "S-one", turns: int = 3, **options: Any) -> Call:
    """A closed call: a greeting, then ``turns`` exchanges with a tool and an interruption among them."""
    made = Call(session_id, **options)
    made.message("assistant", "Grüezi! 🙂")
    made.flush(made.span("session.checkpoint"))
    for number in range(turns):
        made.turn(tool=number == 1, interrupted=number == 2)
    return made.close()


def form(item: dict[str, Any]) -> dict[str, Any]:
    """What the history shows of an item."""
    shown = {name: value for name, value in item.items() if value is not None}
    if "content" in shown:
        hidden = ("image_content", "audio_content")
        shown["content"] = [c for c in shown["content"] if not (isinstance(c, dict) and c.get("type") in hidden)]
    return shown


def bucket(item_id: str, buckets: int) -> int:
    return crc32(item_id.encode()) % buckets


def _strip(value: Any, entry: int, path: list[Any], pii: list[Any]) -> Any:
    if isinstance(value, Pii):
        pii.append([entry, path, str(value)])
        return ""
    if isinstance(value, dict):
        return {name: _strip(one, entry, [*path, name], pii) for name, one in value.items()}
    if isinstance(value, list):
        return [_strip(one, entry, [*path, number], pii) for number, one in enumerate(value)]
    return value


def _new_usage(number: int) -> dict[str, Any]:
    tokens = {"input_tokens": 0, "output_tokens": 0}
    return [
        {
            "type": "llm_usage",
            "provider": "acme",
            "model": "llm-1",
            **tokens,
            "input_cached_tokens": 0,
            "session_duration": 0.0,
        },
        {"type": "stt_usage", "provider": "", "model": "stt-1", **tokens, "audio_duration": 0.0},
        {
            "type": "tts_usage",
            "provider": "acme",
            "model": "tts-1",
            **tokens,
            "characters_count": 0,
            "audio_duration": 0.0,
        },
    ][number]


# --- how the spans are stored -------------------------------------------------------------------------
def records(spans: Iterable[Span], *, stringified: bool = False) -> list[SpanRecord]:
    """The spans as records; ``stringified`` as a store does it that keeps text only."""
    return [
        SpanRecord(
            **{
                **span,
                "attributes": {
                    name: (json.dumps(value) if not isinstance(value, str) else value) if stringified else value
                    for name, value in span["attributes"].items()
                },
            }
        )
        for span in spans
    ]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}


def otlp(span: Span) -> dict[str, Any]:
    """One span as OTLP JSON."""
    return {
        "traceId": span["trace_id"],
        "spanId": span["span_id"],
        **({"parentSpanId": span["parent_id"]} if span["parent_id"] else {}),
        "flags": 256,
        "name": span["name"],
        "kind": 1,
        "startTimeUnixNano": str(span["start_ns"]),
        "endTimeUnixNano": str(span["end_ns"]),
        "attributes": [{"key": name, "value": _value(value)} for name, value in span["attributes"].items()],
        "status": {},
    }


def document(spans: Iterable[Span], *, scope: str = "livekit_otel", root: str = "resourceSpans") -> dict[str, Any]:
    """The spans as one OTLP JSON message."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "clerk"}}]}
    scopes = [{"scope": {"name": scope, "version": "0.1.0"}, "spans": [otlp(span) for span in spans]}]
    return {root: [{"resource": resource, "scopeSpans": scopes}]}


def lines(spans: list[Span], batch: int = 512, **options: Any) -> list[str]:
    """One message per ``batch`` spans, each a line, as the SDK's and the collector's file exporters write."""
    starts = range(0, len(spans), batch)
    return [json.dumps(document(spans[at : at + batch], **options), separators=(",", ":")) + "\n" for at in starts]
