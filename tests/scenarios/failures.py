"""Models that fail, and adapters that save the call."""

from __future__ import annotations

from typing import Any

from livekit.agents import APIConnectOptions, APIStatusError, llm
from livekit.agents import tts as lk_tts
from livekit.agents.voice.agent_session import SessionConnectOptions

from tests.kit.run import CANARY, Call, plain_reply, scenario
from tests.kit.voice import FakeLLM, FakeTTS, failure

QUICK = APIConnectOptions(max_retry=2, retry_interval=0.1, timeout=5.0)
NO_PATIENCE = SessionConnectOptions(llm_conn_options=QUICK, tts_conn_options=QUICK, max_unrecoverable_errors=0)


def fails(times: int, *, retryable: bool = True) -> Any:
    left = [times]

    async def reply(stream: Any, items: list[Any]) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise failure(f"the {CANARY} model is down", retryable=retryable)
        await plain_reply(stream, items)

    return reply


@scenario()
async def llm_recovers(call: Call) -> None:
    """The first attempt fails, the second succeeds."""
    call.caller.says(f"try again {CANARY}", 1.0)
    session = call.session(fails(1), conn_options=NO_PATIENCE)
    await call.start(session)
    await call.until(7.0)
    await call.close(session)


@scenario()
async def llm_fails_for_good(call: Call) -> None:
    """The model never answers; LiveKit closes the session with an error."""
    call.caller.says(f"are you there {CANARY}", 1.0)
    session = call.session(fails(99), conn_options=NO_PATIENCE)
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def llm_falls_back(call: Call) -> None:
    """The first model fails, a second one answers."""
    first = FakeLLM(fails(99, retryable=False), truth=call.truth, model="first-llm")
    second = FakeLLM(plain_reply, truth=call.truth, model="second-llm")
    call.caller.says(f"fall back {CANARY}", 1.0)
    session = call.session(llm=llm.FallbackAdapter([first, second], max_retry_per_llm=0))
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def tts_fails(call: Call) -> None:
    """There is an answer, but no voice."""
    call.caller.says(f"speak up {CANARY}", 1.0)
    voice = FakeTTS(truth=call.truth, error=failure("no voice", retryable=False))
    session = call.session(tts=voice, conn_options=NO_PATIENCE)
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def tts_falls_back(call: Call) -> None:
    """The first voice fails, a second one speaks."""
    first = FakeTTS(truth=call.truth, error=failure("no voice", retryable=False), model="first-tts")
    second = FakeTTS(truth=call.truth, model="second-tts")
    call.caller.says(f"speak anyway {CANARY}", 1.0)
    session = call.session(tts=lk_tts.FallbackAdapter([first, second], max_retry_per_tts=0))
    await call.start(session)
    await call.until(10.0)
    await call.close(session)


@scenario()
async def stt_fails(call: Call) -> None:
    """The recognizer breaks down for good in the middle of the call."""
    call.caller.says(f"hello {CANARY}", 1.0).recognizer_fails(6.0, failure("line is dead", retryable=False))
    session = call.session(conn_options=NO_PATIENCE)
    await call.start(session)
    await call.until(9.0)
    await call.close(session)


@scenario()
async def providers_refuse(call: Call) -> None:
    """Each provider fails once, with its own code: the recognizer's socket drops, the first model and the first
    voice refuse, and others answer."""
    quota = {"message": f"too much of {CANARY}", "type": "insufficient_quota", "code": "insufficient_quota"}
    busy = APIStatusError("too many requests", status_code=429, request_id="req-1", body=quota)
    dropped = APIStatusError("connection closed", status_code=1011)

    async def refuses(stream: Any, items: list[Any]) -> None:
        raise busy

    models: list[llm.LLM[Any]] = [
        FakeLLM(refuses, truth=call.truth, model="first-llm"),
        FakeLLM(plain_reply, truth=call.truth, model="second-llm"),
    ]
    voices: list[lk_tts.TTS[Any]] = [
        FakeTTS(truth=call.truth, error=dropped, model="first-tts"),
        FakeTTS(truth=call.truth, model="second-tts"),
    ]
    call.caller.recognizer_fails(0.5, dropped).says(f"anybody there {CANARY}", 2.0)
    session = call.session(
        llm=llm.FallbackAdapter(models, max_retry_per_llm=1, retry_interval=0.1),
        tts=lk_tts.FallbackAdapter(voices, max_retry_per_tts=1),
    )
    await call.start(session)
    await call.until(12.0)
    await call.close(session)
