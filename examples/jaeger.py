"""Send every call to Jaeger, by OTLP and without any special set-up.

Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of your project, then run:

    docker run -p 127.0.0.1:16686:16686 -p 127.0.0.1:4318:4318 jaegertracing/jaeger:latest
    pip install '.[instruments]'  # in a checkout of livekit_otel
    python examples/jaeger.py dev

For a Jaeger on another host, set OTEL_EXPORTER_OTLP_ENDPOINT=http://host:4318. Jaeger's page (http://localhost:16686)
lists the calls under the service flower-shop, operation session. ``report_from_backend.py`` reads them back.
"""

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel

# at module level: each job process imports this file, so tracing starts with the job
provider = TracerProvider(resource=Resource.create({"service.name": "flower-shop"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
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
