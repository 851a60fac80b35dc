"""Tools of a real MCP server over stdio: an answer, bad arguments, a failure, a time-out, a server that dies."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from livekit_otel import attributes as attr
from tests.kit import clock
from tests.kit.run import INSTRUCTIONS, Call, quiet
from tests.kit.voice import last_text

from . import checks
from .bench import Bench, Result, from_memory
from .conftest import need
from .forked import Cases
from .rows import _installed

pytestmark = pytest.mark.company

MISSING = [name for name in ("mcp",) if not _installed(name)]
#: seconds for the server's start, and for each of its answers
TIMEOUT = 4.0
#: question -> tool and arguments
ASKED = {
    "add": ("add", '{"a": 2, "b": 3}'),
    "bad arguments": ("add", '{"a": "two"}'),
    "fail": ("fail", "{}"),
    "wait": ("wait", '{"seconds": 60}'),
    "die": ("die", "{}"),
    "add again": ("add", '{"a": 1, "b": 1}'),
}


def run(native: bool) -> Result:
    """A typed session in real time: the server is a process."""
    bench = Bench(native_spans=native)
    memory = bench.memory()
    provider = bench.provider(memory)

    def set_up(bench: Bench) -> Any:
        bench.ours(provider)
        return lambda: from_memory(memory)

    return bench.run(set_up, play=play)


def play(tracer: trace.Tracer) -> list[Any]:
    started = time.monotonic()
    clock.elapsed = lambda: time.monotonic() - started
    with quiet():
        return asyncio.run(_job())


async def _job() -> list[Any]:
    from livekit import rtc
    from livekit.agents import Agent, mcp
    from livekit.agents.testing import fake_job_context

    async def reply(stream: Any, items: list[Any]) -> None:
        if items[-1].type == "message":
            stream.call(*ASKED[last_text(items)], call_id=f"call_{len(items)}")
        else:
            await stream.text("That is it.")
        stream.usage()

    server = mcp.MCPServerStdio(
        command=sys.executable,
        args=[str(Path(__file__).with_name("mcp_server.py"))],
        client_session_timeout_seconds=TIMEOUT,
    )
    with fake_job_context(room=rtc.Room(), agent_identity="agent") as context:
        call = Call(context)
        session = call.session(
            reply, llm_delay=0.01, audio=None, tts=None, stt=None, vad=None, turn_handling={"turn_detection": None}
        )
        # the first start of a server is slower than any of its answers
        server._read_timeout = 10.0
        agent = Agent(instructions=INSTRUCTIONS, tools=[mcp.MCPToolset(id="tools", mcp_server=server)])
        await call.start(session, agent)
        for question in ASKED:
            await session.run(user_input=question)
        await call.close(session)
        return call.outcomes


_cases = Cases(run, [(False,), (True,)] if not MISSING else [])
both_modes = pytest.mark.parametrize("native", [False, True], ids=["pipeline", "native"])


def result(native: bool) -> Result:
    need(*MISSING)
    return _cases.result(native)  # type: ignore[no-any-return]


@both_modes
def test_the_report_equals_livekits(native: bool) -> None:
    """Whatever the MCP server does, the report is LiveKit's own."""
    checks.report_equals(result(native))


@both_modes
def test_each_call_is_a_tool_span_with_its_outcome(native: bool) -> None:
    """Each call is one `tool` span in its turn; those that failed say so."""
    found = result(native)
    tools = [span for span in found.sent if span.kind == attr.KIND_TOOL]
    by_id = {span.span_id: span for span in found.sent}
    assert [span.attributes[attr.TOOL_NAME] for span in tools] == [tool for tool, _ in ASKED.values()]
    assert [span.status for span in tools] == ["unset", "error", "error", "error", "error", "error"]
    assert {by_id[span.parent_id or ""].name for span in tools} == {"turn"}
    checks.no_orphans(found.sent)
    assert found.log == []
