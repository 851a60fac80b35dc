"""A real agent for real job processes: a short typed conversation, then the job ends by itself.

The environment says where the provider is set (``JOBS_PLACE``: module, setup_fnc or entrypoint), whether LiveKit's
own spans go to it (``JOBS_NATIVE``), how it is flushed (``JOBS_FLUSH``: ours or documented), and where the files go
(``JOBS_FOLDER``). Each process writes its trace behind a batch processor that never exports by itself, the ids of all
spans that ended, and when its job asked to end. With ``JOBS_ENDPOINT`` the trace goes there instead.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from livekit.agents import Agent, AgentSession, JobContext, JobProcess
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel
from tests.kit.voice import FakeLLM

_provider: TracerProvider | None = None
_lock = threading.Lock()
FLUSH_TIMEOUT = 5.0
_NEVER = 10 * 60 * 1000


class Ended(SpanProcessor):
    """Writes what ended, at once and unbuffered."""

    def __init__(self, folder: str) -> None:
        self._file = os.open(f"{folder}/ended-{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None:
            os.write(self._file, f"{span.context.span_id:016x} {span.name}\n".encode())


def set_up(place: str) -> None:
    """Set the provider if this is the place for it; jobs in threads take turns."""
    with _lock:
        _set_up(place)


def _set_up(place: str) -> None:
    global _provider
    folder = os.environ.get("JOBS_FOLDER")
    if folder is None or os.environ["JOBS_PLACE"] != place or (_provider is not None and place != "entrypoint"):
        return
    if _provider is None:
        # the provider's own exit handler, where one runs (spawn), waits for the exporter by a measure of its own
        _provider = TracerProvider(shutdown_on_exit=False)
        _provider.add_span_processor(Ended(folder))
        endpoint = os.environ.get("JOBS_ENDPOINT")
        exporter: Any = FileSpanExporter(f"{folder}/trace-{os.getpid()}.jsonl")
        if endpoint:
            exporter = OTLPSpanExporter(f"{endpoint}/v1/traces")
        _provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_NEVER))
    livekit_otel.set_tracer_provider(
        _provider,
        native_spans=os.environ["JOBS_NATIVE"] == "1",
        flush_timeout=FLUSH_TIMEOUT if os.environ["JOBS_FLUSH"] == "ours" else 0.0,
    )


async def reply(stream: Any, items: list[Any]) -> None:
    await stream.text("an answer")
    stream.usage()


def setup_fnc(process: JobProcess) -> None:
    set_up("setup_fnc")


async def entrypoint(ctx: JobContext) -> None:
    set_up("entrypoint")
    if os.environ["JOBS_FLUSH"] == "documented" and _provider is not None:
        provider = _provider

        async def flush() -> None:
            provider.force_flush()

        ctx.add_shutdown_callback(flush)
    session: AgentSession[None] = AgentSession(
        llm=FakeLLM(reply, delay=0.01), vad=None, turn_handling={"turn_detection": None}
    )
    await session.start(Agent(instructions=f"Work for {ctx.job.room.name}."))
    for number in range(2):
        await session.run(user_input=f"question {number} of {ctx.job.room.name}")
    if folder := os.environ.get("JOBS_FOLDER"):
        with open(f"{folder}/done-{os.getpid()}.txt", "w") as file:  # noqa: ASYNC230 (read by another process)
            file.write(str(time.time()))
    ctx.shutdown(reason="done")


if os.environ.get("JOBS_PLACE") == "module":
    set_up("module")
