"""A real call in a process of its own, to be killed: ``python -m tests.kit.killable TRACE TRUTH``.

The trace goes to TRACE through the official file exporter; every event that the session emits is written to TRUTH
at once, with the time and the number of history items, by a plain ``write`` that survives the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from livekit.agents import Agent, AgentSession, RunContext, function_tool
from livekit.agents.testing import fake_job_context
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import livekit_otel

from .voice import FakeLLM, last_text


class Logged(AgentSession[None]):
    """Tells the truth about what it emitted."""

    truth = -1

    def emit(self, event: Any, arg: Any) -> None:
        if event != "metrics_collected":
            line = {"at": time.time(), "type": arg.type, "created_at": arg.created_at, "items": len(self.history.items)}
            os.write(self.truth, (json.dumps(line) + "\n").encode())
        super().emit(event, arg)


class Shop(Agent):
    @function_tool
    async def weather(self, ctx: RunContext[Any]) -> str:
        """Weather."""
        await asyncio.sleep(0.05)
        return "sunny"


async def reply(stream: Any, items: list[Any]) -> None:
    if items[-1].type == "message" and "weather" in last_text(items):
        stream.call("weather", "{}", f"call_{len(items)}")
    else:
        await stream.text("an answer of some length in a few words", chunk_delay=0.01)
    stream.usage()


async def main(trace: str, truth: str) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(trace)))
    livekit_otel.set_tracer_provider(provider, native_spans="native" in sys.argv)
    Logged.truth = os.open(truth, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with fake_job_context():
        session = Logged(llm=FakeLLM(reply, delay=0.05), vad=None, turn_handling={"turn_detection": None})
        await session.start(Shop(instructions="Be brief."))
        for number in range(10_000):
            await session.run(user_input="weather please" if number % 3 == 2 else f"question {number}")
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
