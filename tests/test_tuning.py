"""What people tune by: how the end of a turn was decided, how sure the recognizer was, and what exactly failed."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import Agent, APIConnectionError, APIError, APIStatusError, function_tool
from livekit.agents import stt as lk_stt
from opentelemetry.sdk.trace import ReadableSpan

from livekit_otel import attributes as attr
from tests.kit.run import Call, ScenarioFunction, plain_reply
from tests.kit.trace import record
from tests.kit.voice import FakeBatchSTT, FakeSTT, FakeTTS
from tests.scenarios.failures import NO_PATIENCE
from tests.test_failures import named, spans_of

BUSY = APIStatusError("too many requests", status_code=429, request_id="req-1")
WRONG = APIStatusError("no such voice", status_code=400, request_id="req-2")
DROPPED = APIStatusError("connection closed", status_code=1011)


def said(span: ReadableSpan, *names: str) -> tuple[Any, ...]:
    return tuple((span.attributes or {}).get(name) for name in names)


ERROR = (attr.ERROR_TYPE, attr.HTTP_STATUS, attr.ERROR_CLOSE_CODE, attr.ERROR_RETRYABLE, attr.ERROR_REQUEST_ID)


def asks(until: float = 8.0, **changes: Any) -> ScenarioFunction:
    """One question, with these models."""

    async def script(call: Call) -> None:
        call.caller.says("are you there", 1.0, 1.0)
        made = {name: one(call) if callable(one) else one for name, one in changes.items() if name != "reply"}
        session = call.session(changes.get("reply"), conn_options=NO_PATIENCE, **made)
        await call.start(session)
        await call.until(until)
        await call.close(session)

    return script


def raising(*errors: Exception) -> Any:
    """Raises these, one a request, then answers."""
    left = list(errors)

    async def reply(stream: Any, items: list[Any]) -> None:
        if left:
            raise left.pop(0)
        await plain_reply(stream, items)

    return reply


# --- what failed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([WRONG], ("APIStatusError", 400, None, False, "req-2")),
        # after three attempts LiveKit raises its own error from the last one
        ([BUSY, BUSY, BUSY], ("APIConnectionError", 429, None, True, "req-1")),
        ([DROPPED, DROPPED, DROPPED], ("APIConnectionError", None, 1011, True, None)),
        ([ValueError("mistake")], ("ValueError", None, None, None, None)),
    ],
)
def test_a_request_that_failed_says_how(errors: list[Exception], expected: tuple[Any, ...]) -> None:
    """Type, status or close code, whether it can be retried, and request id: on the request and on its turn."""
    spans = spans_of(asks(reply=raising(*errors)))
    (request,), (turn,) = named(spans, "llm"), named(spans, "turn")
    assert said(request, *ERROR) == said(turn, *ERROR) == expected
    assert said(request, attr.PROVIDER_NAME) == ("kit",)
    assert said(turn, attr.END_REASON) == ("failed",)


class _Described:
    """An error as a client library parses it."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (APIStatusError("no", status_code=429, body={"code": "insufficient_quota", "type": "x"}), "insufficient_quota"),
        (APIStatusError("no", status_code=429, body={"error": {"code": "rate_limit_exceeded"}}), "rate_limit_exceeded"),
        (APIError("no", body={"error": "quota_exceeded", "code": 1008}), "quota_exceeded"),
        (APIError("no", body={"err_code": "DATA-0000"}), "DATA-0000"),
        (APIError("no", body=_Described(code=None, type="insufficient_quota")), "insufficient_quota"),
        (APIError("no", body={"error": "Maria asked for too much"}), None),
        (APIError("no", body="insufficient_quota"), None),
        (BUSY, None),
    ],
)
def test_a_failure_has_the_providers_own_code(error: Exception, expected: str | None) -> None:
    """A rate limit and an empty account are distinguished by the code in the answer, wherever it stands there;
    words of the answer, or of a tool's error, are no code."""
    (request,) = named(spans_of(asks(reply=raising(error, error, error))), "llm")
    assert said(request, attr.ERROR_CODE) == (expected,)


class NoSuchCustomer(Exception):
    code = "Maria"


def test_a_tools_error_has_no_code() -> None:
    """The code of an exception of the user's own may be anything, so it is not recorded."""

    class Shop(Agent):
        @function_tool
        async def find(self) -> str:
            """Finds the customer."""
            raise NoSuchCustomer

    async def reply(stream: Any, items: list[Any]) -> None:
        if any(getattr(item, "type", "") == "function_call_output" for item in items):
            await stream.text("Nobody.")
        else:
            stream.call("find", "{}", "call_1")
        stream.usage()

    async def script(call: Call) -> None:
        call.caller.says("find me", 1.0)
        session = call.session(reply)
        await call.start(session, Shop(instructions=""))
        await call.until(6.0)
        await call.close(session)

    (tool,) = named(spans_of(script), "tool")
    assert said(tool, attr.ERROR_TYPE, attr.ERROR_CODE) == ("NoSuchCustomer", None)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (WRONG, ("APIStatusError", 400, None, False, "req-2")),
        (DROPPED, ("APIStatusError", None, 1011, True, None)),
    ],
)
def test_a_voice_that_failed_says_how(error: Exception, expected: tuple[Any, ...]) -> None:
    """The same of a synthesis."""
    spans = spans_of(asks(tts=lambda call: FakeTTS(truth=call.truth, error=error)))
    for span in (*named(spans, "tts"), *named(spans, "turn")):
        assert said(span, *ERROR) == expected
    assert [said(span, attr.PROVIDER_NAME) for span in named(spans, "tts")] == [("kit",)]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([BUSY], ("APIStatusError",)),
        ([BUSY, APIConnectionError("gone")], ("APIStatusError", "APIConnectionError")),
        ([], None),
    ],
)
def test_an_attempt_that_was_repeated_says_why(errors: list[Exception], expected: Any) -> None:
    """The error types of the repeated attempts, in order, and the codes that there are; nothing without any."""
    (request,) = named(spans_of(asks(reply=raising(*errors))), "llm")
    assert said(request, attr.LLM_RETRIED_FOR, attr.LLM_ATTEMPTS) == (expected, len(errors) + 1 if errors else None)
    assert said(request, attr.LLM_RETRIED_CODES) == ((BUSY.status_code,) if errors else None,)
    assert said(request, *ERROR) == (None,) * 5


def test_a_recognizer_that_connects_again_says_why() -> None:
    """A socket that drops between two utterances is on the next one, with its type, and is no failure."""

    async def script(call: Call) -> None:
        call.caller.says("first words", 1.0).recognizer_fails(4.0, DROPPED).says("more words", 5.0)
        session = call.session()
        await call.start(session)
        await call.until(10.0)
        await call.close(session)

    names = (attr.STT_TEXT, attr.STT_RETRIED_FOR, attr.STT_RETRIED_CODES, attr.OUTCOME)
    found = [said(span, *names) for span in named(spans_of(script), "stt")]
    assert found == [
        ("first words", None, None, None),
        ("more words", ("APIStatusError",), (DROPPED.status_code,), None),
    ]


# --- the recognizer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recognizer", "expected"),
    [
        (lambda call: FakeSTT(call.caller), (0.93, ("stt1",), "kit", "fake-stt")),
        (lambda call: FakeSTT(call.caller, usage=False), (0.93, ("stt1",), "kit", "fake-stt")),
        (lambda call: FakeBatchSTT(call.caller), (0.9, ("batch",), "kit", "fake-batch-stt")),
    ],
    ids=["streaming", "without usage", "batch"],
)
def test_a_transcript_says_how_sure_and_who(recognizer: Any, expected: tuple[Any, ...]) -> None:
    """Confidence, request ids, provider and model are there also before the recognizer reports usage."""
    names = (attr.STT_CONFIDENCE, attr.STT_REQUEST_IDS, attr.PROVIDER_NAME, attr.REQUEST_MODEL)
    spans = named(spans_of(asks(stt=recognizer)), "stt")
    assert [said(span, *names) for span in spans if said(span, attr.STT_TEXT) != (None,)] == [expected]


def test_the_recognizer_that_served_is_named() -> None:
    """Under a fallback adapter whose first recognizer failed, the transcript names the second."""

    async def script(call: Call) -> None:
        from tests.test_failures import broken

        call.caller.says("are you there", 3.0, 1.0)
        healthy = FakeSTT(call.caller, model="healthy-stt", usage=False)
        session = call.session(stt=lk_stt.FallbackAdapter([broken(call, 0.5), healthy], max_retry_per_stt=0))
        await call.start(session)
        await call.until(9.0)
        await call.close(session)

    found = [said(span, attr.STT_TEXT, attr.REQUEST_MODEL) for span in named(spans_of(script), "stt")]
    assert ("are you there", "healthy-stt") in found


# --- the end of a turn ---------------------------------------------------------------------------------

END = (
    attr.EOU_DETECTION, attr.EOU_TRIGGER, attr.EOU_DETECTOR, attr.EOU_PROBABILITY, attr.EOU_THRESHOLD,
    attr.EOU_DELAY, attr.EOU_MIN_DELAY, attr.EOU_MAX_DELAY,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("question_and_answer", [("vad", "vad", None, None, None, 0.3, 0.3, 1.0)]),
        ("end_of_turn_model", [("model", "vad", "fake-eot", 0.9, 0.5, 0.3, 0.3, 1.0)]),
    ],
)
def test_a_turns_end_says_how_it_was_decided(name: str, expected: list[tuple[Any, ...]]) -> None:
    """What asked, the detector's probability and threshold, and the delay that LiveKit chose between which bounds."""
    spans = [one for one in record(name).of(attr.KIND_EOU) if one.attributes.get(attr.EOU_COMMITTED)]
    assert [tuple(span.attributes.get(key) for key in END) for span in spans] == expected


def test_an_unlikely_end_waits_longer() -> None:
    """Below the threshold the delay is the longest, and the span lasts as long."""
    from tests.scenarios.turns import FakeTurnDetector

    class Doubts(FakeTurnDetector):
        async def predict_end_of_turn(self, chat_ctx: Any, *, timeout: float | None = None) -> float:
            return 0.1

    spans = named(spans_of(asks(turn_handling={"turn_detection": Doubts()})), "eou")
    (span,) = [one for one in spans if said(one, attr.EOU_COMMITTED) == (True,)]
    assert said(span, *END) == ("model", "vad", "fake-eot", 0.1, 0.5, 1.0, 0.3, 1.0)
    assert ((span.end_time or 0) - (span.start_time or 0)) / 1e9 == pytest.approx(1.0, abs=0.01)
