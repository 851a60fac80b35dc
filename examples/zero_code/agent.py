"""An agent without tracing code; README.md describes how to trace it."""

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool

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
