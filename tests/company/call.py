"""The call that every combination is tried with: a greeting, a spoken question, a tool, an answer.

The language model is a real client of the ``openai`` package, so that what instruments it makes real spans. The
agent's code makes spans of its own in the tool, and in the transport of the model's HTTP client.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, RunContext, function_tool, llm
from livekit.agents.testing import fake_job_context
from opentelemetry import trace

from tests.kit import clock
from tests.kit.run import INSTRUCTIONS, SCENARIOS, Call, Outcome, Scenario, quiet, run_scenario
from tests.kit.voice import FakeSTT

from . import openai_server

OWN_TOOL, OWN_HTTP = "own span in the tool", "own span in the HTTP client"
#: what makes the language model of the call, from the address of the server and a tracer
MakeLLM = Callable[[str, trace.Tracer], llm.LLM]
NAME = "beside others"


class Shop(Agent):
    """Greets, and knows the weather; ``fetch`` is what the tool does over HTTP."""

    def __init__(self, tracer: trace.Tracer, url: str) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._tracer = tracer
        self._url = url

    async def on_enter(self) -> None:
        self.session.say("Hello, what can I do for you?")

    @function_tool
    async def weather(self, ctx: RunContext[Any], city: str) -> str:
        """Weather of a city."""
        import httpx

        with self._tracer.start_as_current_span(OWN_TOOL):
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"{self._url}/weather")
        return f"sunny in {answer.json()['city']}"


def openai_llm(url: str, tracer: trace.Tracer) -> llm.LLM:
    """LiveKit's OpenAI plugin; its HTTP client's transport makes a span of the user's."""
    import httpx2
    import openai
    from livekit.plugins import openai as plugin

    class Traced(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            with tracer.start_as_current_span(OWN_HTTP):
                return await super().handle_async_request(request)

    http = httpx2.AsyncClient(transport=Traced())
    client = openai.AsyncClient(api_key="k", base_url=f"{url}/v1", http_client=http, max_retries=0)
    return plugin.LLM(model=openai_server.MODEL, client=client)


def langgraph_llm(url: str, tracer: trace.Tracer) -> llm.LLM:
    """LiveKit's LangChain plugin around a graph of one node, which asks ``ChatOpenAI``."""
    import httpx
    from langchain_openai import ChatOpenAI
    from langgraph.graph import START, MessagesState, StateGraph
    from livekit.plugins import langchain

    class Traced(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            with tracer.start_as_current_span(OWN_HTTP):
                return await super().handle_async_request(request)

    model = ChatOpenAI(
        model=openai_server.MODEL,
        api_key="k",
        base_url=f"{url}/v1",
        http_async_client=httpx.AsyncClient(transport=Traced()),
        stream_usage=True,
    )

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    return langchain.LLMAdapter(graph.compile())


def run(make_llm: MakeLLM, tracer: trace.Tracer, *, times: int = 1, real_time: bool = False) -> list[Outcome]:
    """Run the call ``times`` times in one job; LiveKit's own reports."""

    async def script(call: Call) -> None:
        async with openai_server.serving() as server:
            for number in range(times):
                call.caller.says("how is the weather in Oslo", 8.0 * number + 2.5)
                # a recognizer without tokens: what is summed below is the language model's
                ears = FakeSTT(call.caller, usage=False)
                session = call.session(llm=make_llm(server.url, tracer), stt=ears)
                await call.start(session, Shop(tracer, server.url))
                await call.until(8.0 * number + 7.0)
                await _answered(session)
                await call.close(session)

    SCENARIOS[NAME] = Scenario(NAME, "A greeting, a question, a tool and an answer.", script)
    try:
        return _in_real_time(script) if real_time else run_scenario(NAME)
    finally:
        del SCENARIOS[NAME]


async def _answered(session: AgentSession[Any]) -> None:
    """A busy machine needs longer, in real time."""
    for _ in range(100):
        said = [item for item in session.history.items if item.type == "message" and item.role == "assistant"]
        if len(said) > 1:
            return
        await asyncio.sleep(0.1)


def _in_real_time(script: Callable[[Call], Awaitable[None]]) -> list[Outcome]:
    """For those who took hold of the clock before the virtual one could be installed."""

    async def main() -> list[Outcome]:
        with fake_job_context(room=rtc.Room(), agent_identity="agent") as context:
            call = Call(context)
            started = time.monotonic()
            clock.elapsed = lambda: time.monotonic() - started
            await script(call)
            return call.outcomes

    # imported before the caller speaks, which is by the clock
    for module in ("httpx", "httpx2", "openai", "livekit.plugins.openai"):
        importlib.import_module(module)
    with quiet():
        return asyncio.run(main())
