"""Calls in rooms: the reports that are rebuilt from the traces are LiveKit's own, and no call has a part of another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from livekit_otel.demo import script

from .caller import Caller, open_room
from .server import LiveKitServer
from .worker import Worker

pytestmark = pytest.mark.room


async def hold(server: LiveKitServer, room: str, **caller: Any) -> Caller:
    """A short call: the greeting, a question that needs a tool, its answer."""
    await open_room(server, room)
    async with Caller(server, room, **caller) as one:
        await one.listen(1)
        await one.say(script.QUESTION)
        await one.listen(2)
    return one


@pytest.mark.parametrize("executor", ["forkserver", "spawn", "thread"])
def test_one_call(executor: str, livekit: LiveKitServer, worker: Callable[..., Worker]) -> None:
    """Whatever runs the job, one call is one whole trace, with the words of both sides."""
    running = worker(executor)
    asyncio.run(hold(livekit, "room-1"))
    running.wait_until_over("room-1")
    reports = running.rebuilt()
    assert list(reports) == ["room-1"]
    report = reports["room-1"]
    assert (report.complete, report.warnings, report.close_reason) == (True, [], "CR_PARTICIPANT_DISCONNECTED")
    ours = json.loads(json.dumps(report.to_dict(), default=lambda _: None))
    theirs = running.report_of("room-1")
    assert ours == theirs
    assert len({span.trace_id for span in running.spans()}) == 1
