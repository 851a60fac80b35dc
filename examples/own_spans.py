"""Put your own spans, and those of an instrumented HTTP client, below the tool call that they belong to.

Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of your project, start a service at ORDERS_URL that responds
to ``GET /orders/7`` with ``{"status": "on its way"}``, then run:

    pip install '.[instruments]' httpx opentelemetry-instrumentation-httpx  # in a checkout of livekit_otel
    ORDERS_URL=http://localhost:8000 python examples/own_spans.py dev

The trace (sent to OTEL_EXPORTER_OTLP_ENDPOINT, default http://localhost:4318) contains, for a question about an order:

    turn > tool > look order up > GET

The client passes the trace id on, so the service's own spans appear below GET.
"""

import os

import httpx
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel

ORDERS_URL = os.environ.get("ORDERS_URL", "http://localhost:8000")

provider = TracerProvider(resource=Resource.create({"service.name": "flower-shop"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
# Your spans nest below the current span: livekit_otel's without native spans, LiveKit's with them.
livekit_otel.set_tracer_provider(provider, native_spans=False)
HTTPXClientInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer("flower-shop")

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
        with tracer.start_as_current_span("look order up", attributes={"flower_shop.order": number}):
            async with httpx.AsyncClient(base_url=ORDERS_URL) as client:
                response = await client.get(f"/orders/{number}")
            response.raise_for_status()
            return f"Order number {number} is {response.json()['status']}."


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(stt="deepgram/nova-3", llm="openai/gpt-4.1-mini", tts="cartesia/sonic-3")
    await session.start(FlowerShop(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
