"""How calls end in a real room: whoever dies, the trace says how it ended, and is complete only where it is."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from livekit import api

from livekit_otel import SessionReport
from livekit_otel import attributes as attr
from livekit_otel.demo import script
from livekit_otel.report.verdict import verdict
from livekit_otel.report.view import facts
from tests.backends.fixtures import need
from tests.backends.process import wait_until

from .agent import CRASH, STAY
from .caller import Caller, ask, open_room
from .server import KEY, SECRET, LiveKitServer
from .worker import ROOT, Worker, together

pytestmark = pytest.mark.room

BROKE_OFF = "session.end is missing"


@pytest.fixture(scope="module")
def running(livekit: LiveKitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Calls that end in eight ways, at once on one worker."""
    with Worker(livekit, tmp_path_factory.mktemp("endings")) as worker:
        asyncio.run(_all(worker))
        worker.wait_until_over(*CLOSED)
        yield worker


@pytest.fixture(scope="module")
def calls(running: Worker) -> dict[str, SessionReport]:
    """The reports by room."""
    return running.rebuilt()


#: the calls whose job came to its end
CLOSED = ("silent", "two", "dropped", "muted", "deleted", "stays", "crashed")


async def _all(running: Worker) -> None:
    await open_room(running, "dropped")
    command = [sys.executable, "-m", "tests.rooms.test_endings", running.server.http, "dropped"]
    dead = await asyncio.create_subprocess_exec(*command, cwd=ROOT)

    async def drop() -> None:
        await asyncio.to_thread(running.wait_for, "dropped", "speaking", 120.0)
        dead.kill()
        await dead.wait()

    calls = (_silent(running), _two(running), _muted(running), _killed(running), _others(running))
    await asyncio.gather(drop(), *calls)


async def _silent(running: Worker) -> None:
    await open_room(running, "silent")
    async with Caller(running.server, "silent") as caller:
        await caller.listen()
        await asyncio.to_thread(running.wait_for, "silent", "listening", 60.0, 2)


async def _two(running: Worker) -> None:
    await open_room(running, "two")
    async with Caller(running.server, "two", identity="first") as first:
        await first.listen()
        async with Caller(running.server, "two", identity="second"):
            await first.listen(await ask(running, first, script.QUESTION))


async def _muted(running: Worker) -> None:
    """The caller speaks into a microphone that is off, notices it, and asks again."""
    await open_room(running, "muted")
    async with Caller(running.server, "muted") as caller:
        await caller.listen()
        caller.mute()
        await caller.say(script.STORY)
        await asyncio.sleep(1.0)
        caller.mute(on=False)
        await asyncio.sleep(0.5)
        await caller.listen(await ask(running, caller, script.QUESTION))


async def _others(running: Worker) -> None:
    """One after the other: the room is deleted; a caller leaves an agent that stays; the agent's code fails."""
    server = running.server
    await open_room(running, "deleted")
    async with Caller(server, "deleted") as caller:
        await caller.listen()
        async with api.LiveKitAPI(server.http, KEY, SECRET) as client:
            await client.room.delete_room(api.DeleteRoomRequest(room="deleted"))
        await asyncio.sleep(0.5)
    await open_room(running, "stays", dispatch=STAY)
    async with Caller(server, "stays", identity="first") as caller:
        await caller.listen()
        async with Caller(server, "stays", identity="second"):
            await caller.leave()
            await asyncio.sleep(1.0)
    await open_room(running, "crashed", dispatch=CRASH)
    async with Caller(server, "crashed") as caller:
        await caller.listen()
        await caller.is_alone()


async def story(running: Worker, room: str, act: Callable[[], Awaitable[None]]) -> None:
    """The agent speaks its long story; ``act`` in the middle of it."""
    await open_room(running, room)
    async with Caller(running.server, room) as caller:
        await caller.listen()
        await ask(running, caller, script.STORY)
        await asyncio.sleep(3.0)
        await act()


async def _killed(running: Worker) -> None:
    async def kill() -> None:
        os.kill(running.pid_of("killed"), signal.SIGKILL)

    await story(running, "killed", kill)


def words_under_way(report: SessionReport) -> None:
    """The story is the last turn's, as far as its voice was given it, with the wait before it."""
    turn = report.turns[-1]
    assert (turn.user_text, turn.agent_text, turn.unfinished) == (script.STORY, script.HISTORY, True)
    assert turn.latency.e2e_latency is not None
    assert 0.5 < turn.latency.e2e_latency < 4.0
    assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency, abs=1e-6)


def test_a_caller_who_drops_dead(calls: dict[str, SessionReport]) -> None:
    """A caller whose process is killed leaves with a reason, and the call is closed and complete."""
    report = calls["dropped"]
    assert report.caller is not None
    assert report.caller.left_at is not None
    assert report.caller.disconnect_reason not in ("", "client_initiated")
    assert (report.complete, report.close_reason is not None) == (True, True), report.warnings


def test_a_job_that_is_killed(calls: dict[str, SessionReport]) -> None:
    """A job that is killed while the agent speaks: its words under way are there, and that the end is missing."""
    report = calls["killed"]
    assert (report.complete, report.close_reason) == (False, None)
    assert any(BROKE_OFF in warning for warning in report.warnings)
    words_under_way(report)
    assert report.to_dict()["duration_ms"] > 5_000
    assert report.to_dict()["tags"] == ["early"]


def test_a_caller_who_never_speaks(calls: dict[str, SessionReport]) -> None:
    """Who only listens to the greeting was in a whole call with one turn."""
    report = calls["silent"]
    assert (report.complete, report.close_reason) == (True, "CR_PARTICIPANT_DISCONNECTED"), report.warnings
    assert [turn.agent_text for turn in report.turns] == ["Hello, this is silent."]
    assert report.startup is not None
    assert report.startup.total is not None
    assert report.startup.stages.keys() >= {"accept", "assign", "process", "job", "room", "session", "first_audio"}


def test_two_callers_in_one_room(calls: dict[str, SessionReport]) -> None:
    """Both are known, and which of them the session listened to."""
    report = calls["two"]
    assert report.complete, report.warnings
    people = {one.identity: one.caller for one in report.room_info.participants if one.kind == "standard"}
    assert people == {"first": True, "second": False}
    assert report.turns[-1].user_text == script.QUESTION


def test_a_caller_who_mutes(calls: dict[str, SessionReport]) -> None:
    """When the microphone was off is in the report; nothing of what was said meanwhile is, and the rest is answered."""
    report = calls["muted"]
    assert report.caller is not None
    ((since, until),) = report.caller.muted
    assert until is not None
    assert until - since > 1.5
    heard = [turn.user_text for turn in report.turns if turn.user_text]
    assert heard
    assert all(script.QUESTION.startswith(words) for words in heard), heard
    assert report.turns[-1].answered == "yes"


@pytest.mark.parametrize(
    ("room", "why", "reason"),
    [
        ("silent", "The caller left", "CR_PARTICIPANT_DISCONNECTED"),
        ("deleted", "The room was deleted", "CR_PARTICIPANT_DISCONNECTED"),
        ("stays", "The room was closed", "CR_USER_INITIATED"),
        ("crashed", "The agent's entrypoint failed", "CR_USER_INITIATED"),
    ],
)
def test_who_ended_the_call(room: str, why: str, reason: str, calls: dict[str, SessionReport]) -> None:
    """The verdict says who ended the call, where LiveKit says that the caller left, or the agent's code closed."""
    report = calls[room]
    first, *others = [one.text for one in verdict(report).sentences]
    assert report.close_reason == reason
    assert first.startswith(why)
    assert ("The entrypoint failed (RuntimeError: a bug of the user)." in others) == (room == "crashed")


def test_an_agent_that_stays(calls: dict[str, SessionReport]) -> None:
    """The caller is the one whom the session listened to; LiveKit listens to nobody else after that one has left."""
    people = {one.identity: one.caller for one in calls["stays"].room_info.participants if one.kind == "standard"}
    assert people == {"first": True, "second": False}


@pytest.mark.parametrize("room", CLOSED)
def test_a_call_that_came_to_its_end(room: str, running: Worker, calls: dict[str, SessionReport]) -> None:
    """However the caller left, and whatever they did: the report is LiveKit's own."""
    assert json.loads(json.dumps(calls[room].to_dict(), default=lambda _: None)) == running.report_of(room)


@pytest.fixture(scope="module")
def signalled(livekit: LiveKitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """Three workers that get SIGTERM in the middle of the agent's story, in three ways: at once."""
    workers = {how: Worker(livekit, tmp_path_factory.mktemp(how)) for how in ("drained", "twice", "group")}
    with together(*workers.values()):
        asyncio.run(_signal_all(workers))
        workers["drained"].wait_until_over("drained")
        yield workers


async def _signal_all(workers: dict[str, Worker]) -> None:
    async def once(running: Worker) -> None:
        os.kill(running.pid, signal.SIGTERM)

    async def twice(running: Worker) -> None:
        job = running.pid_of("twice")
        os.kill(running.pid, signal.SIGTERM)
        await asyncio.sleep(1.0)
        os.kill(running.pid, signal.SIGTERM)
        # the job notices that its worker is gone; the caller stays as long
        await asyncio.to_thread(wait_until, "the job is gone", lambda: _is_zombie(job), 30.0)

    async def group(running: Worker) -> None:
        for process in (psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)):
            process.send_signal(signal.SIGTERM)

    acts = {"drained": once, "twice": twice, "group": group}
    await asyncio.gather(*(story(running, how, partial(acts[how], running)) for how, running in workers.items()))


@pytest.mark.parametrize("how", ["drained", "twice", "group"])
def test_a_worker_that_is_told_to_end(how: str, signalled: dict[str, Worker]) -> None:
    """SIGTERM once: the call continues to its end, and is complete. Twice, or to the whole group: the job dies while
    the agent speaks, and the trace has what it said, and is not complete."""
    running = signalled[how]
    wait_until("the worker is gone", lambda: _is_zombie(running.pid), 30.0)
    wait_until("the job is gone", lambda: _is_zombie(running.pid_of(how)), 30.0)
    report = running.rebuilt()[how]
    if how == "drained":
        assert (report.complete, report.close_reason) == (True, "CR_PARTICIPANT_DISCONNECTED"), report.warnings
        assert json.loads(json.dumps(report.to_dict(), default=lambda _: None)) == running.report_of(how)
        return
    assert (report.complete, report.close_reason) == (False, None)
    words_under_way(report)
    assert report.to_dict()["duration_ms"] > 5_000
    assert len(report.warnings) == 1, report.warnings


def _is_zombie(pid: int) -> bool:
    """Whether a process is gone, or waits to be."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# LiveKit's client library of the caller, whose server was gone, drops a handle that is not there any more
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_restarts(tmp_path: Path) -> None:
    """The server is gone for seconds in the middle of a call, which then continues: the outage is in the trace, the
    caller who is back is one person, and the report is complete and LiveKit's own."""
    need("livekit")
    with LiveKitServer(tmp_path / "server") as server, Worker(server, tmp_path / "worker") as running:

        def outage_is_over() -> bool:
            return any(span.kind == attr.KIND_CONNECTION for span in running.spans())

        async def hold() -> None:
            await open_room(running, "room")
            async with Caller(server, "room") as caller:
                await caller.listen()
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(3.0)
                # a process ends with the thread that launched it: this one
                server.launch()
                await asyncio.to_thread(server.wait)
                await asyncio.to_thread(wait_until, "the agent is back", outage_is_over, 60.0, 0.5)
                await asyncio.sleep(1.0)
                await caller.listen(await ask(running, caller, script.QUESTION))

        asyncio.run(hold())
        gc.collect()
        running.wait_until_over("room")
        (report,) = running.rebuilt().values()
        assert json.loads(json.dumps(report.to_dict(), default=lambda _: None)) == running.report_of("room")
    outage = report.room_info.outages[0]
    assert outage.event == "reconnected"
    assert outage.ended_at - outage.started_at > 1.0
    assert (report.complete, report.close_reason) == (True, "CR_PARTICIPANT_DISCONNECTED"), report.warnings
    assert report.turns[-1].answered == "yes"
    assert facts(report)["caller"] == "caller, standard"


async def _speak_until_killed(url: str, room: str) -> None:
    """A caller in a process of its own, which somebody kills."""
    server = LiveKitServer.__new__(LiveKitServer)
    server.http, server.url = url, url.replace("http", "ws")
    async with Caller(server, room):
        await asyncio.sleep(120)


if __name__ == "__main__":
    asyncio.run(_speak_until_killed(*sys.argv[1:]))
