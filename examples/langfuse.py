"""Send every call to Langfuse: turns with the words of both sides, models with their usage and cost, tools.

Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of your project, then run:

    export LANGFUSE_PUBLIC_KEY=pk-lf-... LANGFUSE_SECRET_KEY=sk-lf-... LANGFUSE_HOST=https://cloud.langfuse.com
    pip install '.[instruments]'  # in a checkout of livekit_otel
    python examples/langfuse.py dev

Each call is a trace named "voice call" in a session of its own, with the caller's user id.
"""

import json

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import livekit_otel
from livekit_otel.exporters import langfuse


def caller(ctx: JobContext | None, session: AgentSession) -> dict[str, str]:
    """The caller's user id, from the metadata of the dispatched job."""
    metadata = json.loads(ctx.job.metadata or "{}") if ctx is not None else {}
    return {"user.id": metadata.get("user_id", "anonymous")}


provider = TracerProvider(resource=Resource.create({"service.name": "flower-shop"}))
provider.add_span_processor(langfuse(tags=["flower-shop"]))
livekit_otel.set_tracer_provider(provider, session_attributes=caller)

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


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(stt="deepgram/nova-3", llm="openai/gpt-4.1-mini", tts="cartesia/sonic-3")
    await session.start(FlowerShop(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
