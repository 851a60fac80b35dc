"""Runs jobs in real job processes, without a LiveKit server: ``python -m tests.jobs.server CONTEXT COUNT``.

CONTEXT is forkserver, spawn or thread. Jobs run two at a time; the server closes when all have ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from livekit.agents import AgentServer, JobExecutorType

from tests.jobs import agent


async def main(context: str, count: int) -> None:
    threads = context == "thread"
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD if threads else JobExecutorType.PROCESS,
        multiprocessing_context="spawn" if threads else context,  # type: ignore[arg-type]
        setup_fnc=agent.setup_fnc,
        ws_url="ws://127.0.0.1:1",
        api_key="key",
        api_secret="secret" * 8,
        host="127.0.0.1",
        port=0,
        num_idle_processes=0,
        initialize_process_timeout=60.0,
    )
    server.rtc_session()(agent.entrypoint)
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await asyncio.sleep(0.5)
    for first in range(0, count, 2):
        batch = range(first, min(count, first + 2))
        await asyncio.gather(*(server.simulate_job(f"room-{number}", fake_job=True) for number in batch))
        deadline = asyncio.get_running_loop().time() + 60
        while server._proc_pool.processes and any(p.running_job for p in server._proc_pool.processes):
            assert asyncio.get_running_loop().time() < deadline, "a job did not end"
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.0)
    await server.aclose()
    await asyncio.wait([running], timeout=20)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if os.environ.get("JOBS_DEBUG"):
        logging.getLogger("livekit").setLevel(logging.DEBUG)
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
