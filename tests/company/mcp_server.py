"""An MCP server over stdio whose tools work, fail, take long, and end the process."""

from __future__ import annotations

import asyncio
import os

from mcp.server import MCPServer

server = MCPServer("shop")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fail on purpose."""
    raise RuntimeError("out of order")


@server.tool()
async def wait(seconds: float) -> str:
    """Take long."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def die() -> str:
    """End the process in the middle of a call."""
    os._exit(1)


if __name__ == "__main__":
    server.run()
