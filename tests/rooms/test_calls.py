"""Calls in rooms: the reports that are rebuilt from the traces are LiveKit's own, and no call has a part of another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from livekit_otel import SessionReport, SpanRecord, Turn
from livekit_otel.demo import script
from tests.backends.process import wait_until

from .caller import Caller, open_room
from .server import LiveKitServer
from .worker import Worker, together

pytestmark = pytest.mark.room

EXECUTORS = ("forkserver", "spawn", "thread")
#: how many calls a worker takes one after the other, and how many at once after that
IN_A_ROW, AT_ONCE = 10, 5


@dataclass
class Held:
    """The calls of one worker."""

    running: Worker
    callers: list[Caller]


@pytest.fixture(scope="module")
def held(livekit: LiveKitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Held]]:
    """Calls on three workers, one for each executor: those in a row side by side, those at once worker by worker."""
    folder = tmp_path_factory.mktemp("calls")
    calls = {executor: Held(Worker(livekit, folder / executor, executor), []) for executor in EXECUTORS}
    with together(*(one.running for one in calls.values())):
        asyncio.run(hold_all(calls))
        yield calls


async def hold_all(calls: dict[str, Held]) -> None:
    async def row(executor: str, held: Held) -> None:
        for number in range(IN_A_ROW):
            held.callers.append(await hold(held.running, f"{executor}-{number}"))

    await asyncio.gather(*(row(executor, held) for executor, held in calls.items()))
    for executor, held in calls.items():
        rooms = [f"{executor}-together-{number}" for number in range(AT_ONCE)]
        held.callers += await asyncio.gather(*(hold(held.running, room) for room in rooms))


async def hold(running: Worker, room: str) -> Caller:
    """A short call: the greeting, a question that needs a tool, its answer."""
    await open_room(running, room)
    async with Caller(running.server, room, identity=f"caller of {room}") as one:
        # five calls at once may be too much for the machine: who is not heard hangs up, and that is a call, too
        with contextlib.suppress(AssertionError):
            await one.listen(silence=0.3, seconds=30)
            said = await one.say(script.QUESTION)
            await one.listen(said.end, silence=0.3, seconds=20)
    return one


@pytest.mark.parametrize("executor", EXECUTORS)
def test_calls_in_a_row_and_at_once(executor: str, held: dict[str, Held]) -> None:
    """Whatever runs the jobs: every report equals LiveKit's last one, to the digit, each call is one trace of its own,
    and every root arrives."""
    running, callers = held[executor].running, held[executor].callers
    rooms = [caller.room for caller in callers]
    running.wait_until_over(*rooms)
    wait_until("every root has arrived", lambda: roots(running.spans()) == len(rooms), 30.0)
    spans = running.spans()
    reports = running.rebuilt()
    assert sorted(reports) == sorted(rooms)
    for room in rooms:
        check_report(reports[room], running.report_of(room), room)
    check_traces(spans, rooms)
    # a machine that is too busy hears badly: who was not understood, or hung up too early, has no answer to measure
    answered = [caller for caller in callers if heard_more(caller) and answer_of(reports[caller.room])]
    assert len(answered) >= IN_A_ROW // 2
    parts = [measured(caller, reports[caller.room], running.log_of(caller.room)) for caller in answered]
    check_and_print(executor, parts)


def check_report(report: SessionReport, theirs: dict[str, Any], room: str) -> None:
    # of five at once, one may hang up before the agent's process has seen it: then the job ends with the room
    left = report.caller is not None and report.caller.left_at is not None
    assert left or "together" in room
    reason = "CR_PARTICIPANT_DISCONNECTED" if left else "CR_USER_INITIATED"
    assert (report.complete, report.warnings, report.close_reason) == (True, [], reason)
    ours = json.loads(json.dumps(report.to_dict(), default=lambda _: None))
    assert ours == theirs
    assert ours["tags"] == ["early", "late", "lk.success"]
    assert report.caller is None or report.caller.identity == f"caller of {room}"
    said = [turn.agent_text for turn in report.turns]
    # who hangs up early does not hear the end of it
    mine = (f"Hello, this is {room}.", "I have looked it up. Order number 7 is on its way.", script.UNKNOWN)
    assert all(any(whole.startswith(words) for whole in mine) for words in said), said


def roots(spans: list[SpanRecord]) -> int:
    """How many of LiveKit's root spans are there."""
    return sum(span.name == "job_entrypoint" for span in spans)


def check_traces(spans: list[SpanRecord], rooms: list[str]) -> None:
    """One trace for each call, with one root and every parent; ids of spans, jobs and speeches in one call alone."""
    traces = defaultdict(list)
    for span in spans:
        traces[span.trace_id].append(span)
    assert len(traces) == len(rooms)
    assert len({span.span_id for span in spans}) == len(spans)
    seen: set[Any] = set()
    for trace in traces.values():
        ids = {span.span_id for span in trace}
        assert [span.name for span in trace if span.parent_id not in ids] == ["job_entrypoint"]
        own = {span.attributes.get("livekit_otel.session.id") for span in trace if span.scope == "livekit_otel"}
        assert len(own) == 1
        own |= {
            span.attributes["livekit_otel.speech_id"] for span in trace if "livekit_otel.speech_id" in span.attributes
        }
        assert not own & seen
        seen |= own


@dataclass
class Parts:
    """What a caller heard beyond what is derived, seconds: the user's last sample on its way to the agent, from there
    to T0, from playback's start to the first sample on the track, from there to the caller's ear."""

    way_in: float
    back_dating: float
    to_track: float
    way_out: float
    whole: float


def heard_more(caller: Caller) -> bool:
    """Whether a caller heard anything after the question."""
    return bool(caller.said) and any(piece.start > caller.said[0].end for piece in caller.heard)


def answer_of(report: SessionReport) -> Turn | None:
    """The turn in which the question was answered."""
    return next((turn for turn in report.turns if turn.answered == "yes"), None)


def measured(caller: Caller, report: SessionReport, log: list[dict[str, Any]]) -> Parts:
    """The parts of the wait for the answer of one call."""
    answer = answer_of(report)
    assert answer is not None
    stopped, e2e = answer.latency.stopped_speaking_at, answer.latency.e2e_latency
    assert stopped is not None
    assert e2e is not None
    said = caller.said[0].end
    heard = next(piece.start for piece in caller.heard if piece.start > said)
    arrived = max(line["sample"] for line in log if line["what"] == "user ends" and line["sample"] < heard)
    handed = max(line["sample"] for line in log if line["what"] == "agent starts" and line["sample"] < heard)
    return Parts(arrived - said, stopped - arrived, handed - (stopped + e2e), heard - handed, heard - said - e2e)


def check_and_print(executor: str, parts: list[Parts]) -> None:
    for name in Parts.__annotations__:
        values = [getattr(one, name) for one in parts]
        print(f"{executor} {name}: median {statistics.median(values):+.3f}, largest {max(values, key=abs):+.3f}")
    for one in parts:
        assert one.whole == pytest.approx(one.way_in + one.back_dating + one.to_track + one.way_out, abs=1e-6)
    assert max(abs(one.to_track) for one in parts) < 0.02
