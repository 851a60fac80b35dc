"""The real OpenAI instrumentations beside the preset; each where its package is installed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import Agent
from opentelemetry.sdk.trace import TracerProvider

from .json_server import Asked, JsonServer, Reply
from .kit.run import Call
from .langfuse_kit import observed, total

pytestmark = pytest.mark.slow
PACKAGES = ["opentelemetry.instrumentation.openai_v2", "opentelemetry.instrumentation.openai"]
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4.1-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200},
}


def answers(asked: Asked) -> Reply:
    return Reply(ANSWER)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    "options",
    [{"native_spans": False}, {"native_spans": True}, {"native_spans": True, "native": "keep"}],
    ids=["pipeline", "drop", "keep"],
)
def test_a_request_counts_once_beside_it(
    package: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 200 tokens of a request are 200 in Langfuse, and 400 only where the user keeps both counts."""
    openai = pytest.importorskip("openai")
    instrumentor = pytest.importorskip(package).OpenAIInstrumentor()
    server = JsonServer(answers)

    async def script(call: Call, provider: TracerProvider) -> None:
        instrumentor.instrument(tracer_provider=provider)
        client = openai.OpenAI(api_key="none", base_url=f"{server.url}/v1")

        async def reply(stream: Any, items: list[Any]) -> None:
            request = [{"role": "user", "content": "a question"}]
            answer = client.chat.completions.create(model="gpt-4.1-mini", messages=request)
            await stream.text(answer.choices[0].message.content)
            stream.usage(100, 100, cached=0)
            await asyncio.sleep(0.05)

        session = call.session(reply, tts=None)
        await call.start(session, Agent(instructions="x"))
        await session.run(user_input="hi")
        await call.close(session)
        instrumentor.uninstrument()

    try:
        assert total(observed(monkeypatch, script, **options)) == 200
        assert total(observed(monkeypatch, script, foreign_usage="keep", **options)) == 400
    finally:
        server.close()
