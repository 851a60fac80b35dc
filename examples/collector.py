"""Send every call to an OpenTelemetry Collector beside the worker, which stores it on disk until the gateway has it.

Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of your project, then run:

    GATEWAY_ENDPOINT=gateway:4317 otelcol-contrib --config collector-config/agent.yaml
    pip install '.[instruments]'  # in a checkout of livekit_otel
    python examples/collector.py dev

The worker sends only to the collector on its own machine (OTEL_EXPORTER_OTLP_ENDPOINT, default http://localhost:4318).
The gateway decides where the calls go from there and which data is removed: see collector-config/README.md.
"""

import os
import socket

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel

# a gateway receives the calls of many workers: identify this one
resource = Resource.create(
    {
        "service.name": "flower-shop",
        "service.instance.id": socket.gethostname(),
        "deployment.environment.name": os.environ.get("DEPLOYMENT", "development"),
    }
)
provider = TracerProvider(resource=resource)
# The collector is local, so export often: a killed process loses half a second of spans instead of five seconds.
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=500))
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


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(stt="deepgram/nova-3", llm="openai/gpt-4.1-mini", tts="cartesia/sonic-3")
    await session.start(FlowerShop(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
