"""Runs the worker. Job processes, which run the module of the command again, import :mod:`tests.rooms.agent` alone."""

from __future__ import annotations

import logging
import sys

from livekit.agents import cli

if __name__ == "__main__":
    from tests.rooms import agent

    logging.getLogger("asyncio").setLevel(logging.WARNING)
    sys.argv[1:] = sys.argv[1:] or ["start"]
    cli.run_app(agent.make_server())
