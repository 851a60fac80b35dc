"""Runs an agent file as LiveKit does, with local models and a caller: ``python -m tests.local_job FILE [--typed]``.

The file is imported unchanged. Its own server starts a real job process, only without a LiveKit server; the models that
it names are the demo's local ones. A caller asks one question, aloud or by text, hears the answer and hangs up. So the
examples need no switch for tests, and what is tested is what users copy.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from livekit.agents import AgentServer, AgentSession, JobContext, inference

from livekit_otel.demo.call import Caller
from livekit_otel.demo.devices import Loudspeaker, Microphone
from livekit_otel.demo.espeak import EspeakTTS
from livekit_otel.demo.rules import RuleLLM
from livekit_otel.demo.script import QUESTION, SENTENCES
from livekit_otel.demo.sphinx import SphinxSTT

ROOT = Path(__file__).parent.parent
ANSWER = "I have looked it up. Order number 7 is on its way."
PATIENCE = 60.0
#: What the environment may not bring into a test; and a proxy that is not there, so that nothing leaves the machine.
_FOREIGN = ("OTEL_", "LIVEKIT_", "LANGFUSE_")
_NO_NETWORK = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}


def hold_call(example: str, *, typed: bool = False, launcher: tuple[str, ...] = (), **env: str) -> str:
    """Have a call with an example; returns what it wrote. An error in its log fails the test."""
    command = [*launcher, sys.executable, "-m", "tests.local_job", str(ROOT / example), *(["--typed"] if typed else [])]
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    run = subprocess.run(
        command, cwd=ROOT, env={**own, **_NO_NETWORK, **env}, capture_output=True, text=True, timeout=2 * PATIENCE
    )
    wrote = run.stdout + run.stderr
    assert run.returncode == 0, wrote
    assert not [line for line in wrote.splitlines() if line.startswith(("ERROR:", "CRITICAL:"))], wrote
    return wrote


def _load(path: str) -> Any:
    """The file as a module. A job process does this, too, and finds its functions by their names."""
    spec = importlib.util.spec_from_file_location("example", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["example"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _use_local_models() -> None:
    """LiveKit looks names like ``openai/gpt-4.1-mini`` up here; these need no key and no network."""
    inference.STT.from_model_string = staticmethod(lambda name: SphinxSTT(SENTENCES))  # type: ignore[assignment]
    inference.TTS.from_model_string = staticmethod(lambda name: EspeakTTS())  # type: ignore[assignment]
    inference.llm_from_model_string = lambda name: RuleLLM()  # type: ignore[assignment]


async def _talk(session: AgentSession[Any]) -> None:
    """Ask aloud, and listen to the whole answer."""
    rate = EspeakTTS().sample_rate
    microphone = Microphone(rate)
    session.input.audio = microphone
    session.output.audio = Loudspeaker(rate)
    caller = Caller(session, microphone)
    await caller.say(QUESTION)
    await caller.agent("speaking")
    await caller.agent("listening")


async def _write(session: AgentSession[Any]) -> None:
    """Ask by text, where the voices do not matter: it takes half the time."""
    session.input.audio = session.output.audio = None
    await session.run(user_input=QUESTION)


async def entrypoint(ctx: JobContext) -> None:
    """The file's own entrypoint, and then the call."""
    await example_entrypoint(ctx)
    try:
        await (_write if "--typed" in sys.argv else _talk)(ctx.primary_session)
    finally:
        ctx.shutdown(reason="the caller hung up")


async def _serve(server: AgentServer) -> None:
    """One job, from its start until its process is gone."""
    server._host = "127.0.0.1"
    server._entrypoint_fnc = entrypoint
    server.update_options(num_idle_processes=0)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await asyncio.wait([running, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    await server.simulate_job("flower-shop", fake_job=True)
    deadline = time.monotonic() + PATIENCE
    while jobs := [process for process in server._proc_pool.processes if process.running_job]:
        assert time.monotonic() < deadline, f"the call did not end: {jobs}"
        await asyncio.sleep(0.05)
    await server.aclose()
    await asyncio.wait([running], timeout=20)


if __name__ in ("__main__", "__mp_main__"):
    _use_local_models()
    example = _load(sys.argv[1])
    example_entrypoint = example.server._entrypoint_fnc

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_serve(example.server))
