"""Build the report of a call as soon as it is over, in the job itself: without an exporter or a backend.

Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of your project, then run:

    pip install '.[instruments]'  # in a checkout of livekit_otel
    python examples/report_on_session_end.py dev

It writes LiveKit's session report as JSON to the directory REPORTS (default ``reports``), and logs the caller's waits.
"""

import asyncio
import json
import logging
import os
from pathlib import Path

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool
from opentelemetry.sdk.trace import TracerProvider

import livekit_otel

logger = logging.getLogger("flower-shop")

kept = livekit_otel.SessionSpans()
provider = TracerProvider()
provider.add_span_processor(kept)  # in addition to any exporters
livekit_otel.set_tracer_provider(provider)

server = AgentServer()


class FlowerShop(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You answer the telephone of a flower shop. Look orders up with order_status.")

    @function_tool
    async def order_status(self, number: int) -> str:
        """Tell where an order is.

        Args:
            number: the number of the order
        """
        return f"Order number {number} is on its way."


async def on_session_end(ctx: JobContext) -> None:
    for report in livekit_otel.build_reports(await kept.when_ended(ctx.job.id)):
        await asyncio.to_thread(save, report)
        for turn in report.turns:
            logger.info("turn %d: %r -> %r", turn.index, turn.user_text, turn.agent_text)
            if turn.silence:
                stage, seconds = max(turn.silence.items(), key=lambda item: item[1])
                logger.info("  waited %.2f s, %.2f s of it %s", turn.latency.e2e_latency, seconds, stage)


def save(report: livekit_otel.SessionReport) -> None:
    folder = Path(os.environ.get("REPORTS", "reports"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{report.job_id}.json").write_text(json.dumps(report.to_dict(), indent=2), encoding="utf-8")


@server.rtc_session(on_session_end=on_session_end)
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(stt="deepgram/nova-3", llm="openai/gpt-4.1-mini", tts="cartesia/sonic-3")
    await session.start(FlowerShop(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
