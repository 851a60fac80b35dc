"""The Langfuse preset: real spans of scripted calls, sent over HTTP to a server that does what Langfuse does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tests.scenarios  # noqa: F401
from livekit_otel import OptionError, SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.exporters import langfuse

from .json_server import Failing, JsonServer, Reply
from .kit.trace import record
from .langfuse_double import PUBLIC, SECRET, Langfuse

CALLS = (
    "one_tool",
    "realtime_conversation",
    "barge_in",
    "llm_fails_for_good",
    "preemptive_generation_discarded",
    "failing_tools",
    "end_of_turn_model",
)
TYPES = {"turn": "AGENT", "llm": "GENERATION", "realtime": "GENERATION", "tool": "TOOL"}


@dataclass
class Sent:
    """What one call of ``send`` made of its spans."""

    langfuse: Langfuse

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.langfuse.observations if one["metadata"]["attributes"].get(attr.KIND) == kind]


Send = Callable[..., Sent]


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Iterator[Send]:
    """Sends spans through the preset; keyword arguments are the preset's."""
    for name in ("PUBLIC_KEY", "SECRET_KEY", "HOST", "BASE_URL", "TRACING_ENVIRONMENT", "RELEASE"):
        monkeypatch.delenv(f"LANGFUSE_{name}", raising=False)
    double = Langfuse()
    server = JsonServer(double)

    def sending(spans: Sequence[ReadableSpan], **options: Any) -> Sent:
        double.observations, double.requests = [], []
        processor = preset(server, **options)
        for span in spans:
            processor.on_end(span)
        processor.shutdown()
        return Sent(Langfuse(observations=double.observations, requests=double.requests))

    yield sending
    server.close()


def preset(server: JsonServer, **options: Any) -> SpanProcessor:
    return langfuse(**{"public_key": PUBLIC, "secret_key": SECRET, "host": server.url, **options})


def own(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if (span.attributes or {}).get(attr.KIND)]


def tokens(span: SpanRecord) -> int:
    """All tokens of a span, as LiveKit counted them."""
    fields = {
        "llm": ("prompt_tokens", "completion_tokens"),
        "realtime": ("input_tokens", "output_tokens"),
        "stt": ("input_tokens", "output_tokens"),
        "tts": ("input_tokens", "output_tokens"),
    }[span.kind]
    return sum(int(span.attributes.get(attr.metric(span.kind, field), 0)) for field in fields)  # type: ignore[arg-type, call-overload]


@pytest.mark.parametrize("name", CALLS)
def test_every_kind_of_span_has_its_type(name: str, send: Send) -> None:
    """Turns are agents, model requests generations, tools tools, and all else plain spans, whatever they carry."""
    trace = record(name)
    sent = send(trace.exported)
    assert len(sent.langfuse.observations) == len(trace.pipeline)
    for span in trace.pipeline:
        found = next(one for one in sent.langfuse.observations if one["id"] == span.span_id)
        speech = "GENERATION" if span.attributes.get(attr.REQUEST_MODEL) else "SPAN"
        expected = speech if span.kind in ("stt", "tts") else TYPES.get(span.kind, "SPAN")
        assert found["type"] == expected, span.kind


@pytest.mark.parametrize("name", CALLS)
def test_session_and_trace_name_are_on_every_span(name: str, send: Send) -> None:
    """Langfuse filters by what each span says, so each says its session, trace name, tags, environment and release."""
    trace = record(name)
    sent = send(trace.exported, environment="staging-1", release="v7", tags=["voice", "eu"], trace_name="support line")
    session_id = trace.pipeline[0].attributes[attr.BACKEND_SESSION_ID]
    common = ("sessionId", "traceName", "tags", "environment", "release")
    found = {json.dumps([one[key] for key in common]) for one in sent.langfuse.observations}
    assert found == {json.dumps([session_id, "support line", ["voice", "eu"], "staging-1", "v7"])}


@pytest.mark.parametrize("name", CALLS)
def test_usage_is_the_true_total_in_parts_that_do_not_overlap(name: str, send: Send) -> None:
    """The total that Langfuse sums up is LiveKit's, span by span; nothing else counts tokens."""
    trace = record(name)
    sent = send(trace.exported)
    spans = {span.span_id: span for span in trace.pipeline}
    for one in sent.langfuse.observations:
        span, usage = spans[one["id"]], one["usageDetails"]
        if span.kind not in ("llm", "realtime", "stt", "tts"):
            assert sum(usage.values()) == 0, span.kind
            continue
        buckets = {bucket: count for bucket, count in usage.items() if bucket != "total"}
        assert sum(buckets.values()) == tokens(span)
        assert usage.get("total", 0) == tokens(span)


def test_buckets_are_the_ones_of_the_price_list(send: Send) -> None:
    """Tokens are apart where the model has a price for them; a realtime model's are apart by modality."""
    plain = send(record("one_tool").exported).of("llm")
    assert [one["usageDetails"] for one in plain] == [{"input": 30, "output": 8, "total": 38}] * 2
    own = {"fake-*": ["input", "output", "input_cached_tokens", "input_cache_creation", "output_reasoning_tokens"]}
    split = send(record("one_tool").exported, price_buckets=own).of("llm")
    assert [one["usageDetails"] for one in split] == [
        {
            "input": 17,
            "input_cached_tokens": 10,
            "input_cache_creation": 3,
            "output": 6,
            "output_reasoning_tokens": 2,
            "total": 38,
        }
    ] * 2
    realtime = send(record("realtime_conversation").exported).of("realtime")
    assert realtime[0]["usageDetails"] == {
        "input_text_tokens": 6,
        "input_cached_text_tokens": 2,
        "output_text_tokens": 5,
        "input_audio_tokens": 20,
        "input_cached_audio_tokens": 10,
        "output_audio_tokens": 20,
        "input_image_tokens": 2,
        "total": 65,
    }


def test_units_that_speech_is_billed_by_stay_out_of_the_total(send: Send) -> None:
    """With ``units`` characters and milliseconds of audio are there for costs, and token totals stay what they were."""
    sent = send(record("one_tool").exported, units=True)
    (tts,), (stt,) = sent.of("tts"), sent.of("stt")
    assert tts["usageDetails"] == {"milliseconds": 1410, "characters": 28, "total": 0}
    assert stt["usageDetails"] == {"input": 12, "output": 3, "milliseconds": 1250, "total": 15}


@pytest.mark.parametrize("native", ["drop", "keep"])
@pytest.mark.parametrize("name", ["one_tool", "realtime_conversation"])
def test_tokens_count_once_beside_native_spans(name: str, native: str, send: Send) -> None:
    """Where LiveKit's own spans are there too, the sum over a trace is still the true one, with and without them."""
    trace = record(name, native_spans=True)
    sent = send(trace.exported, native=native)
    total = sum(one["usageDetails"].get("total", 0) for one in sent.langfuse.observations)
    assert total == sum(tokens(span) for span in trace.pipeline if span.kind in ("llm", "realtime", "stt", "tts"))
    scopes = {one["metadata"]["scope"]["name"] for one in sent.langfuse.observations}
    assert scopes == ({attr.SCOPE} if native == "drop" else {attr.SCOPE, attr.NATIVE_SCOPE})
    assert {one["sessionId"] for one in sent.langfuse.observations} == {
        trace.pipeline[0].attributes[attr.BACKEND_SESSION_ID]
    }


def test_a_session_below_a_dropped_span_is_the_root_of_its_trace(send: Send) -> None:
    """With LiveKit's spans left out, Langfuse still finds one root, which holds the first and the last words."""
    trace = record("one_tool", native_spans=True)
    spans = own(trace.exported)
    session = next(span for span in spans if span.name == "session")
    session._parent = next(span for span in trace.exported if span not in spans).get_span_context()
    try:
        sent = send(trace.exported)
    finally:
        session._parent = None
    roots = [one for one in sent.langfuse.observations if one["isRoot"]]
    assert [one["name"] for one in roots] == ["session"]
    assert roots[0]["input"] == "weather please kanarienvogel"
    assert roots[0]["output"] == "Here you are, kanarienvogel."


def test_words_go_in_and_out(send: Send) -> None:
    """Each observation shows what went in and what came out: words, messages, arguments and results."""
    sent = send(record("one_tool").exported)
    assert [(one["input"], one["output"]) for one in sent.of("turn")] == [
        ("weather please kanarienvogel", "Here you are, kanarienvogel.")
    ]
    assert [(one["input"], one["output"]) for one in sent.of("stt")] == [(None, "weather please kanarienvogel")]
    assert [(one["input"], one["output"]) for one in sent.of("tts")] == [("Here you are, kanarienvogel.", None)]
    assert [(one["name"], one["input"], one["output"]) for one in sent.of("tool")] == [
        ("weather", '{"city": "kanarienvogelville"}', "It is sunny in kanarienvogelville, says the kanarienvogel.")
    ]
    first = sent.of("llm")[0]
    assert [(one["role"], one["parts"][0]["content"]) for one in json.loads(first["input"])] == [
        ("system", "You are a kanarienvogel of few words."),
        ("user", "weather please kanarienvogel"),
    ]
    assert json.loads(first["output"])[0]["parts"][0]["name"] == "weather"


def test_the_first_token_has_a_time_with_zone(send: Send) -> None:
    """Langfuse's time to first token is the span's: its start plus the time to the first chunk, audio or byte."""
    for name, kind, seconds in (
        ("one_tool", "llm", attr.TIME_TO_FIRST_CHUNK),
        ("one_tool", "tts", attr.TTS_FIRST_BYTE),
        ("realtime_conversation", "realtime", attr.REALTIME_FIRST_AUDIO),
    ):
        trace = record(name)
        found = {one["id"]: one["completionStartTime"] for one in send(trace.exported).of(kind)}
        for span in trace.of(kind):
            moment = datetime.fromisoformat(found[span.span_id].replace("Z", "+00:00"))
            assert moment.timestamp() == pytest.approx(span.start_ns / 1e9 + float(span.attributes[seconds]), abs=1e-5)  # type: ignore[arg-type]
    silent = send(record("llm_fails_for_good").exported).of("llm")
    assert [one["completionStartTime"] for one in silent] == [None] * len(silent)


def test_failures_have_a_level_and_a_message(send: Send) -> None:
    """What raised is an error with its reason, what was cancelled a warning, all else has the default level."""
    failed = send(record("llm_fails_for_good").exported).of("llm")
    assert {one["level"] for one in failed} == {"ERROR"}
    assert all(one["statusMessage"].startswith("API") for one in failed)
    barge_in = send(record("barge_in").exported)
    cancelled = {
        one["id"]
        for one in barge_in.langfuse.observations
        if one["metadata"]["attributes"].get(attr.OUTCOME) == "cancelled"
    }
    warned = {one["id"] for one in barge_in.langfuse.observations if one["level"] == "WARNING"}
    assert cancelled
    assert warned == cancelled
    (discarded,) = (
        one
        for one in send(record("preemptive_generation_discarded").exported).of("llm")
        if one["metadata"]["attributes"].get(attr.OUTCOME) == "discarded"
    )
    assert (discarded["level"], discarded["statusMessage"]) == ("DEFAULT", "discarded: the user's turn continued")


def test_bookkeeping_is_for_debugging(send: Send) -> None:
    """The spans with which a session starts, ends and sends its journal have level DEBUG, and no others have."""
    trace = record("barge_in")
    kinds = {span.span_id: span.kind for span in trace.pipeline}
    levels = {one["id"]: one["level"] for one in send(trace.exported).langfuse.observations}
    hidden = {kinds[span_id] for span_id, level in levels.items() if level == "DEBUG"}
    assert hidden == attr.BOOKKEEPING_KINDS & set(kinds.values())
    assert {attr.KIND_SESSION_START, attr.KIND_SESSION_END} <= hidden
    assert {"DEFAULT", "WARNING"} <= set(levels.values())


def test_without_content_nothing_is_shown_as_words(send: Send) -> None:
    """A call recorded without content has no input and output in Langfuse either."""
    sent = send(record("one_tool", allow_pii=False).exported)
    assert {(one["input"], one["output"]) for one in sent.langfuse.observations} == {(None, None)}
    assert "kanarienvogel" not in json.dumps(sent.langfuse.observations)


def test_spans_of_others_are_left_as_they_are(send: Send) -> None:
    """The mapping works on copies: what other exporters get of the same spans does not change."""
    trace = record("one_tool", native_spans=True)
    before = [(span.name, dict(span.attributes or {}), span.status.status_code) for span in trace.exported]
    send(trace.exported, native="keep")
    assert [(span.name, dict(span.attributes or {}), span.status.status_code) for span in trace.exported] == before


def test_users_own_spans_and_attributes(send: Send) -> None:
    """A user's span in a call joins its session; the session's user id and tags count; numbers fit JavaScript."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "agent"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    ours, theirs = provider.get_tracer(attr.SCOPE), provider.get_tracer("httpx")
    common = {attr.SESSION_ID: "s1", attr.BACKEND_SESSION_ID: "RM_1", attr.USER_ID: "ada"}
    common |= {attr.LANGFUSE_TRACE_TAGS: ["gold"], attr.LANGFUSE_ENVIRONMENT: "canary"}  # type: ignore[dict-item]
    with ours.start_as_current_span("session", attributes={**common, attr.KIND: "session"}):
        ours.start_span("session.start", attributes={**common, attr.KIND: "session.start"}).end()
        with theirs.start_as_current_span("GET", attributes={"big": 2**60, "nan": float("nan"), "ok": 1.5}):
            pass
    theirs.start_span("elsewhere").end()
    sent = send(memory.get_finished_spans(), tags=["voice"], environment="staging")
    found = {one["name"]: one for one in sent.langfuse.observations}
    shown = ("sessionId", "userId", "tags", "environment", "traceName")
    call = ["RM_1", "ada", ["voice", "gold"], "canary", "voice call"]
    assert [found["session"][key] for key in shown] == call
    assert [found["GET"][key] for key in shown] == [*call[:3], "staging", "voice call"]
    assert [found["elsewhere"][key] for key in shown] == [None, None, [], "staging", None]
    assert found["GET"]["metadata"]["attributes"]["big"] == str(2**60)
    assert "nan" not in found["GET"]["metadata"]["attributes"]


def test_a_large_batch_is_sent_in_parts(send: Send) -> None:
    """A batch of large spans becomes several requests, each of a size that proxies pass."""
    trace = record("long_tool_result")
    sent = send(list(trace.exported) * 12)
    assert len(sent.langfuse.observations) == 12 * len(trace.exported)
    assert len(sent.langfuse.requests) > 1
    assert max(sent.langfuse.requests) < 2_500_000


def test_a_span_that_cannot_be_mapped_is_sent_as_it_is(
    send: Send, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of the mapping is logged once, by place and type and without its message, and loses no span."""

    def fail(*args: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("livekit_otel.exporters.langfuse_preset.spans.SpanMapping._observation", fail)
    trace = record("one_tool")
    with caplog.at_level(logging.WARNING, logger="livekit_otel"):
        sent = send(trace.exported)
    assert len(sent.langfuse.observations) == len(trace.exported)
    (logged,) = [one.message for one in caplog.records if one.name == "livekit_otel"]
    assert logged.startswith("livekit_otel: a span could not be mapped for Langfuse\n")
    assert logged.endswith('in fail\n    raise RuntimeError("boom")\nRuntimeError')


def test_too_many_requests_are_waited_out() -> None:
    """A 429 with Retry-After delays the batch, and loses nothing."""
    double = Langfuse()
    server = JsonServer(Failing(double, {0: Reply({"message": "slow down"}, 429, {"Retry-After": "0"})}))
    try:
        processor = preset(server)
        spans = record("one_tool").exported
        for span in spans:
            processor.on_end(span)
        processor.shutdown()
        assert len(double.observations) == len(spans)
    finally:
        server.close()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, address, environment and release are taken from Langfuse's own variables."""
    double = Langfuse()
    server = JsonServer(double)
    try:
        monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", PUBLIC)
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET)
        monkeypatch.setenv("LANGFUSE_BASE_URL", server.url + "/")
        monkeypatch.setenv("LANGFUSE_TRACING_ENVIRONMENT", "prod")
        monkeypatch.setenv("LANGFUSE_RELEASE", "abc")
        processor = langfuse()
        processor.on_end(record("one_tool").exported[0])
        processor.shutdown()
        assert [(one["environment"], one["release"]) for one in double.observations] == [("prod", "abc")]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"public_key": None}, "no public_key; pass it, or set LANGFUSE_PUBLIC_KEY"),
        ({"secret_key": " "}, "no secret_key; pass it, or set LANGFUSE_SECRET_KEY"),
        ({"public_key": "sk-lf-1", "secret_key": "pk-lf-1"}, "swapped"),
        ({"public_key": "a:b"}, "colon"),
        ({"environment": "Prod!"}, "environment 'Prod!' is not 1 to 40 of a-z, 0-9, _ and -"),
        ({"environment": "x" * 41}, "environment"),
        ({"environment": "langfuse-x"}, "must not begin with 'langfuse'"),
        ({"host": "cloud.langfuse.com"}, "host 'cloud.langfuse.com' is not an address"),
        ({"host": "https://pk:hidden@cloud.langfuse.com"}, "pass keys as public_key and secret_key"),
        ({"native": "both"}, "native must be 'drop' or 'keep'"),
        ({"timeout": 0}, "timeout must be a positive number of seconds"),
        ({"foreign_usage": "some"}, "foreign_usage must be 'drop' or 'keep'"),
        ({"price_buckets": ["gpt"]}, "price_buckets must be a mapping"),
        ({"price_buckets": {"gpt": [1]}}, "price_buckets['gpt'] must be the names of the model's prices"),
        ({"tags": [1]}, "tag 1 is not a string"),
        ({"trace_name": ""}, "trace_name must be a string"),
    ],
)
def test_what_cannot_work_is_said_at_once(options: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key or a bad value is one clear error, which shows no secret."""
    for name in ("PUBLIC_KEY", "SECRET_KEY"):
        monkeypatch.delenv(f"LANGFUSE_{name}", raising=False)
    with pytest.raises(OptionError) as error:
        langfuse(**{"public_key": PUBLIC, "secret_key": SECRET, **options})
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert "hidden" not in str(error.value)
    assert SECRET not in str(error.value)
