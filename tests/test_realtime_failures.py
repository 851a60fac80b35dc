"""Responses of realtime models that fail, are refused or get lost, by stand-ins for their servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIError, llm

from livekit_otel import attributes as attr
from livekit_otel import build_report
from livekit_otel.spans import outcome
from tests.kit.realtime import Answer, FakeRealtimeModel, Step
from tests.kit.run import Call, ScenarioFunction
from tests.kit.story import script_name
from tests.kit.trace import play

BY_SERVER = {"turn_detection": "realtime_llm"}


async def _served(call: Call, steps: list[Step], work: Callable[[FakeRealtimeModel, Any], Awaitable[None]]) -> None:
    model = FakeRealtimeModel(steps, reply=Answer("Hello"), truth=call.truth)
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling=BY_SERVER)
    await call.start(session)
    await work(model, session)
    await call.until(8.0)
    await call.close(session)


def _question(answer: Answer) -> list[Step]:
    return [Step(1.0, "start"), Step(1.8, "stop"), Step(1.9, "transcript", "hello"), Step(2.0, "answer", answer=answer)]


REFUSED = APIError("refused", retryable=False)


async def failed_at_once(call: Call) -> None:
    """The server creates the response and ends it as failed in the same moment, before LiveKit has taken it up."""

    async def work(model: FakeRealtimeModel, _: Any) -> None:
        respond = model.server._respond

        def fails(answer: Answer, *, user_initiated: bool) -> llm.GenerationCreatedEvent:
            created = respond(answer, user_initiated=user_initiated)
            loop = asyncio.get_running_loop()
            loop.call_soon(model.server.ends, 1, "failed")
            loop.call_soon(model.server.errs, REFUSED)
            return created

        model.server._respond = fails  # type: ignore[method-assign]

    await _served(call, _question(Answer(usage_after=None)), work)


async def failed_in_the_middle(call: Call) -> None:
    """Half of an answer is heard when the server ends it as failed."""

    async def work(model: FakeRealtimeModel, _: Any) -> None:
        await call.until(2.5)
        model.server.ends(1, "failed")
        model.server.errs(REFUSED)

    await _served(call, _question(Answer("Half an", 2.0)), work)


async def lost_in_the_middle(call: Call) -> None:
    """The connection goes within an answer."""

    async def work(model: FakeRealtimeModel, _: Any) -> None:
        await call.until(2.5)
        model.server.errs(APIConnectionError("gone"))

    await _served(call, _question(Answer("Half an", 2.0, usage_after=None)), work)


async def lost_after_the_answer(call: Call) -> None:
    """The server is done with an answer, which is still being played, when the connection goes."""

    async def work(model: FakeRealtimeModel, _: Any) -> None:
        await call.until(2.7)
        model.server.errs(APIConnectionError("gone"))

    await _served(call, _question(Answer("All of it", 2.0, usage_after=0.5)), work)


async def another_error(call: Call) -> None:
    """The server complains of something else while an answer is played."""

    async def work(model: FakeRealtimeModel, _: Any) -> None:
        await call.until(2.5)
        model.server.errs(APIError("no such item"))

    await _served(call, _question(Answer("All of it", 2.0, usage_after=None)), work)


async def reply_refused(call: Call) -> None:
    """The model refuses to greet, and nothing but the speech says so."""

    async def work(model: FakeRealtimeModel, session: Any) -> None:
        model.server.refusal = llm.RealtimeError("timed out")
        session.generate_reply(instructions="greet")

    await _served(call, [], work)


#: why the turn ended, its error type, and each response's outcome and error type
ENDS: dict[ScenarioFunction, tuple[str, str | None, list[tuple[str, str | None]]]] = {
    failed_at_once: ("failed", "APIError", [("error", "APIError")]),
    failed_in_the_middle: ("failed", None, [("error", "APIError")]),
    lost_in_the_middle: ("failed", None, [("error", "APIConnectionError")]),
    lost_after_the_answer: ("completed", None, [("completed", None)]),
    another_error: ("completed", None, [("completed", None)]),
    reply_refused: ("failed", "RealtimeError", []),
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("script", ENDS, ids=script_name)
def test_a_response_that_fails_says_so(script: ScenarioFunction, native: bool) -> None:
    """What its server refuses, fails or loses is an error of the response and of its turn, and nothing else is."""
    (turn,) = build_report(play(script, native_spans=native).pipeline).turns
    responses = [one.attributes for one in turn.stages if one.kind == attr.KIND_REALTIME]
    assert turn.span is not None
    found = [(outcome(one), one.get(attr.ERROR_TYPE)) for one in responses]
    assert (turn.end_reason, turn.span.attributes.get(attr.ERROR_TYPE), found) == ENDS[script]
