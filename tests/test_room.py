"""Who is in a job's room, how the call came about, and what became of its connection: on spans, and in the report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, CloseReason, JobContext
from livekit.agents.testing import fake_job_context
from livekit.rtc._proto import participant_pb2, track_pb2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.report.render_json import to_document
from livekit_otel.report.verdict import verdict
from livekit_otel.report.view import facts
from livekit_otel.spans import from_sdk
from tests.kit import clock
from tests.kit.run import Call, quiet
from tests.kit.trace import record, switch_off
from tests.kit.voice import FakeLLM

NUMBER = "+15105550123"


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    switch_off()
    yield
    switch_off()


class HereRoom(rtc.Room):
    """LiveKit's room without a server: who is there is decided here, events are the room's own."""

    connected = True

    def isconnected(self) -> bool:
        return self.connected

    @property
    def metadata(self) -> str:
        return "shop floor"

    def join(self, identity: str, **more: Any) -> rtc.RemoteParticipant:
        info = participant_pb2.ParticipantInfo(**{"sid": f"PA_{identity}", "identity": identity, **more})
        participant = rtc.RemoteParticipant(participant_pb2.OwnedParticipant(info=info))
        self._remote_participants[identity] = participant
        return participant

    def switches(
        self, who: rtc.RemoteParticipant, *, on: bool, source: Any = rtc.TrackSource.SOURCE_MICROPHONE
    ) -> None:
        """Somebody's microphone (or what else makes sound) is switched on or off."""
        info = track_pb2.TrackPublicationInfo(sid="TR_1", kind=rtc.TrackKind.KIND_AUDIO, source=source, muted=not on)
        track = rtc.RemoteTrackPublication(track_pb2.OwnedTrackPublication(info=info))
        who._track_publications[track.sid] = track
        self.emit("track_unmuted" if on else "track_muted", who, track)

    def enters(self, identity: str, **more: Any) -> rtc.RemoteParticipant:
        participant = self.join(identity, **more)
        self.emit("participant_connected", participant)
        return participant

    def leaves(self, participant: rtc.RemoteParticipant, reason: int) -> None:
        participant._info.disconnect_reason = reason  # type: ignore[assignment]
        del self._remote_participants[participant.identity]
        self.emit("participant_disconnected", participant)


Script = Callable[[JobContext, HereRoom, AgentSession[Any]], Awaitable[None]]


def text_session(call: Call) -> AgentSession[Any]:
    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text("an answer")

    return AgentSession(llm=FakeLLM(reply), vad=None, turn_handling={"turn_detection": None})


def hold(
    script: Script,
    *,
    session: Callable[[Call], AgentSession[Any]] = text_session,
    build: Callable[[list[SpanRecord]], Any] = livekit_otel.build_report,
    **options: Any,
) -> Any:
    """The spans of a call in a room, in the order in which they ended, and the job's report."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    livekit_otel.set_tracer_provider(provider, native_spans=False, **options)

    async def main() -> None:
        room = HereRoom()
        with fake_job_context(room=room, job_metadata="of the dispatch") as ctx:
            ctx._info.worker_id = "AW_7"
            ctx.job.dispatch_id = "AD_7"
            await script(ctx, room, session(Call(ctx)))

    with quiet():
        clock.run(main())
    spans = [from_sdk(span) for span in exporter.get_finished_spans()]
    return spans, build(spans)


def test_who_comes_back_is_one_person() -> None:
    """After an outage, everybody in the room is a new participant: the header counts people."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        await session.start(Agent(instructions="Answer."))
        for who in ("bob", "mallory"):
            room.enters(who)
        await asyncio.sleep(1)
        for who in ("bob", "mallory"):
            room.leaves(room._remote_participants[who], rtc.DisconnectReason.SIGNAL_CLOSE)
            room.enters(who, sid=f"PA_{who}_again")
        await asyncio.sleep(1)
        await session.aclose()

    _, report = hold(script)
    assert len(report.room_info.participants) == 4
    assert facts(report)["caller"] == "bob, standard, and 1 more in the room"


async def _deletes_the_room(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
    await session.start(Agent(instructions="Answer."))
    room.enters("bob")
    await asyncio.sleep(1)
    session.on("close", lambda _: room.emit("disconnected", rtc.DisconnectReason.ROOM_DELETED))
    await session.aclose()


async def _everybody_left(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
    await session.start(Agent(instructions="Answer."))
    await asyncio.sleep(1)
    session.on("close", lambda _: room.emit("disconnected", rtc.DisconnectReason.ROOM_CLOSED))
    await session.aclose()


async def _people(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
    room.join("agent", kind=rtc.ParticipantKind.PARTICIPANT_KIND_AGENT)
    await session.start(Agent(instructions="Answer."))
    await asyncio.sleep(1)
    sip = {"sip.callID": "SCL_1", "sip.phoneNumber": NUMBER, "sip.hostname": "pbx.bob.example", "tier": "gold"}
    caller = room.enters(
        "bob", name="Bob", metadata="vip", attributes=sip, kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP
    )
    await asyncio.sleep(0.1)
    listener = room.enters("mallory")
    await session.run(user_input="a question")
    caller._info.attributes["tier"] = "silver"
    room.emit("participant_attributes_changed", {"tier": "silver"}, caller)
    await asyncio.sleep(1)
    room.emit("reconnecting")
    await asyncio.sleep(7)
    room.emit("reconnected")
    room.leaves(caller, rtc.DisconnectReason.CLIENT_INITIATED)
    room.leaves(listener, rtc.DisconnectReason.PARTICIPANT_REMOVED)
    await session.aclose()


def test_everyone_is_known() -> None:
    """The report has everybody with joins, changes and departures, and says whom the session listened to."""
    spans, report = hold(_people)
    people = {one.identity: one for one in report.room_info.participants}
    assert {name: (one.kind, one.caller, one.disconnect_reason) for name, one in people.items()} == {
        "agent": ("agent", False, ""),
        "bob": ("sip", True, "client_initiated"),
        "mallory": ("standard", False, "participant_removed"),
    }
    bob = report.caller
    assert bob is not None
    assert (bob.name, bob.metadata, bob.attributes["tier"]) == ("Bob", "vip", "silver")
    assert bob.sip == {"sip.callID": "SCL_1", "sip.phoneNumber": NUMBER, "sip.hostname": "pbx.bob.example"}
    assert (bob.left_at or 0) - (bob.joined_at or 0) == pytest.approx(8.0, abs=1.0)
    room = report.room_info
    assert (room.metadata, room.dispatch_id, room.dispatch_metadata, room.worker_id) == (
        "shop floor",
        "AD_7",
        "of the dispatch",
        "AW_7",
    )
    (session,) = [span for span in spans if span.kind == attr.KIND_SESSION]
    assert session.attributes[attr.PARTICIPANT_IDENTITY] == "bob"
    assert session.attributes[attr.PARTICIPANT_REASON] == "client_initiated"
    assert session.attributes[attr.SIP["sip.callID"]] == "SCL_1"


def test_an_outage_is_a_span() -> None:
    """The seconds without a connection are a span of their own, and a line of the report."""
    _, report = hold(_people)
    (outage,) = report.room_info.outages
    assert (outage.event, outage.ended_at - outage.started_at) == ("reconnected", pytest.approx(7.0, abs=0.01))
    assert facts(report)["outages"].endswith("7.0 s, reconnected")


def test_what_readers_see() -> None:
    """The header names the caller, the dispatch and the reason; JSON has everything."""
    _, report = hold(_people)
    shown = facts(report)
    assert shown["caller"] == f"Bob (bob), {NUMBER}, SIP call SCL_1, vip, and 1 more in the room"
    assert (shown["dispatch"], shown["left"]) == ("AD_7, of the dispatch", "client initiated")
    document = to_document(report, full=True)["livekit_otel"]["room"]
    assert [one["identity"] for one in document["participants"]] == ["agent", "bob", "mallory"]


def test_without_content_nobody_is_named() -> None:
    """Without content there are ids, kinds and reasons, and no names, numbers or metadata."""
    spans, report = hold(_people, allow_pii=False)
    written = repr([dict(span.attributes) for span in spans]).replace("PA_bob", "").replace("PA_mallory", "")
    assert not [
        word for word in ("bob", "Bob", "mallory", NUMBER, "vip", "gold", "shop floor", "of the d") if word in written
    ]
    assert report.caller is not None
    assert (report.caller.kind, report.caller.sip) == ("sip", {"sip.callID": "SCL_1"})
    assert report.room_info.dispatch_id == "AD_7"


def test_names_go_through_redact() -> None:
    """With redact, identity, number, metadata and attributes are recorded as it returns them."""
    spans, _ = hold(_people, redact=lambda text, kind: text.replace(NUMBER, "[PHONE]").replace("vip", "[X]"))
    written = repr([dict(span.attributes) for span in spans])
    assert NUMBER not in written
    assert "vip" not in written
    assert "[PHONE]" in written


async def _mutes(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
    caller = room.join("bob")
    room.switches(caller, on=False)
    await session.start(Agent(instructions="Answer."))
    await asyncio.sleep(2)
    room.switches(caller, on=True)
    await asyncio.sleep(1)
    room.switches(caller, on=False, source=rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO)
    room.switches(caller, on=False)
    await asyncio.sleep(4)
    await session.aclose()


def test_a_microphone_that_is_off() -> None:
    """The report says when the caller could not be heard, also from before the session; other tracks do not count."""
    spans, report = hold(_mutes, allow_pii=False)
    assert report.caller is not None
    (first, until), (second, never) = report.caller.muted
    assert (until - first, second - first, never) == (pytest.approx(2.0, abs=0.01), pytest.approx(3.0, abs=0.01), None)
    assert facts(report)["muted"] == "0:00, 2.0 s; 0:03, until the end"
    events = [span.attributes[attr.PARTICIPANT_EVENT] for span in spans if span.kind == attr.KIND_PARTICIPANT]
    assert events == ["joined", "muted", "unmuted", "muted"]


def test_who_mutes_all_the_time() -> None:
    """However often somebody mutes: the number of spans is bounded, and that the caller left is among them."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        await session.start(Agent(instructions="Answer."))
        caller = room.enters("bob")
        await asyncio.sleep(0.1)
        for number in range(700):
            room.switches(caller, on=number % 2 == 1)
        room.leaves(caller, rtc.DisconnectReason.CLIENT_INITIATED)
        await session.aclose()

    spans, report = hold(script)
    assert report.caller is not None
    assert (report.caller.identity, report.caller.disconnect_reason) == ("bob", "client_initiated")
    assert len([span for span in spans if span.kind == attr.KIND_PARTICIPANT]) == 501


def test_where_a_hosted_agent_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The region of an agent that LiveKit Cloud hosts is on the session and in the report, and so is its deployment."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        ctx.job.deployment = "blue"
        await _mutes(ctx, room, session)

    monkeypatch.setenv("LIVEKIT_REGION_NAME", "ca-central")
    spans, report = hold(script, allow_pii=False)
    assert (report.room_info.region, report.room_info.deployment) == ("ca-central", "blue")
    assert facts(report)["region"] == "ca-central"
    (session,) = [span for span in spans if span.kind == attr.KIND_SESSION]
    assert session.attributes[attr.JOB_REGION] == "ca-central"
    monkeypatch.delenv("LIVEKIT_REGION_NAME")
    assert "region" not in facts(hold(script)[1])


class Io:
    """LiveKit's connection of a session to a room, as far as it says whom the session listens to."""

    linked_participant: rtc.RemoteParticipant | None = None


def test_whom_the_session_listens_to() -> None:
    """The caller is the participant that LiveKit chose, though another one came first; nobody takes over later."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        room.join("early")
        await session.start(Agent(instructions="Answer."))
        session._room_io = io = Io()  # type: ignore[assignment]
        io.linked_participant = room.enters("chosen")
        await asyncio.sleep(0.1)
        room.leaves(io.linked_participant, rtc.DisconnectReason.CLIENT_INITIATED)
        io.linked_participant = None
        room.enters("late")
        await asyncio.sleep(0.1)
        session._room_io = None
        await session.aclose()

    _, report = hold(script)
    people = {one.identity: one.caller for one in report.room_info.participants}
    assert report.caller is not None
    assert (report.caller.identity, people["late"]) == ("chosen", False)


@pytest.mark.parametrize(
    ("left", "gone", "reason", "said"),
    [
        (rtc.DisconnectReason.CLIENT_INITIATED, None, "participant_disconnected", "The caller left after"),
        (rtc.DisconnectReason.ROOM_DELETED, None, "participant_disconnected", "The room was deleted after"),
        (rtc.DisconnectReason.USER_REJECTED, None, "participant_disconnected", "The callee rejected the call after"),
        (None, None, "user_initiated", "The agent's code ended the call after"),
        (None, rtc.DisconnectReason.ROOM_DELETED, "user_initiated", "The room was deleted after"),
        (None, rtc.DisconnectReason.STATE_MISMATCH, "user_initiated", "The agent's connection to the room was lost"),
        (rtc.DisconnectReason.CLIENT_INITIATED, None, "job_shutdown", "The job was shut down after"),
    ],
)
def test_who_ended_the_call(left: Any, gone: Any, reason: str, said: str) -> None:
    """The verdict says what the room knows of the end, where LiveKit's reason is the same for several ends."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        await session.start(Agent(instructions="Answer."))
        caller = room.enters("bob")
        await asyncio.sleep(1)
        if left is not None:
            room.leaves(caller, left)
        if gone is not None:
            room.emit("disconnected", gone)
            await asyncio.sleep(0.1)
        await session._aclose_impl(reason=CloseReason(reason))

    _, report = hold(script)
    assert verdict(report).sentences[0].text.startswith(said)


def test_a_room_that_goes_after_the_close() -> None:
    """Code that closes the session and then deletes the room has ended the call; an empty room's server ends the job,
    before or after the agent's process knows that the room was closed."""
    _, report = hold(_deletes_the_room)
    assert verdict(report).sentences[0].text.startswith("The agent's code ended the call after")
    _, report = hold(_everybody_left)
    assert verdict(report).sentences[0].text.startswith("The room was closed after")


@pytest.mark.parametrize("content", [True, False])
def test_an_entrypoint_that_raises(content: bool) -> None:
    """The session's span has the exception, and so has the report; who only closes a session raises nothing."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        async def entrypoint() -> None:
            await session.start(Agent(instructions="Answer."))
            raise RuntimeError("a bug of Bob's")

        ctx._on_setup()
        task = asyncio.create_task(entrypoint(), name="job_user_entrypoint")
        await asyncio.wait([task])
        assert task.exception() is not None
        await session.aclose()

    spans, report = hold(script, allow_pii=content)
    (session,) = [span for span in spans if span.kind == attr.KIND_SESSION]
    assert (session.status, session.attributes[attr.ERROR_TYPE]) == ("error", "RuntimeError")
    assert session.attributes[attr.SESSION_ENTRYPOINT_FAILED] is True
    end, failed = verdict(report).sentences[:2]
    assert end.level == "bad"
    assert end.text.startswith("The agent's entrypoint failed after")
    assert failed.text == f"The entrypoint failed (RuntimeError{': a bug of Bob' + chr(39) + 's' if content else ''})."
    (closed,) = [span for span in hold(_mutes)[0] if span.kind == attr.KIND_SESSION]
    assert attr.SESSION_ENTRYPOINT_FAILED not in closed.attributes


def test_a_killed_call_has_its_caller() -> None:
    """What is there of a call that broke off says who called."""
    spans, whole = hold(_people)
    left = next(span for span in spans if span.attributes.get(attr.PARTICIPANT_EVENT) == "left")
    report = livekit_otel.build_report([span for span in spans if span.end_ns < left.start_ns])
    assert report.caller is not None
    assert (report.caller.identity, report.caller.left_at) == ("bob", None)
    assert report.room_info.dispatch_metadata == whole.room_info.dispatch_metadata


# --- session_attributes ---------------------------------------------------------------------------------------------


def _asks(asked: list[str]) -> Callable[[Any, Any], dict[str, str]]:
    def attributes(job: JobContext, session: AgentSession[Any]) -> dict[str, str]:
        asked.append(",".join(job.room.remote_participants) if job.room.isconnected() else "not connected")
        return {"user.id": asked[-1], "session.id": "of the user"}

    return attributes


def test_without_a_room_the_user_is_asked_at_once() -> None:
    """A room that is connected, or none, is not waited for."""
    asked: list[str] = []
    spans, _ = hold(_people, session_attributes=_asks(asked))
    assert asked == ["agent"]
    assert {span.attributes["user.id"] for span in spans} == {"agent"}


# --- start-up -------------------------------------------------------------------------------------------------------


def spoken(call: Call) -> AgentSession[Any]:
    call.caller.says("hello there", 2.0)
    return call.session()


def started(spans: list[SpanRecord]) -> SpanRecord:
    (span,) = [span for span in spans if span.kind == attr.KIND_SESSION_STARTUP]
    return span


def test_from_dispatch_to_the_first_word() -> None:
    """The stages from the dispatch to the first audio are those of the job, the room and the session, and sum up."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        now = clock.EPOCH
        info = ctx._info
        info.received_at, info.accepted_at, info.assigned_at, info.launched_at = now, now + 0.1, now + 0.3, now + 0.6
        await asyncio.sleep(1.0)
        ctx._on_setup()
        await asyncio.sleep(0.25)
        await session.start(Agent(instructions="Answer."))
        session.say("good day")
        await asyncio.sleep(3.0)
        await session.aclose()

    spans, report = hold(script, session=lambda call: call.session())
    startup = report.startup
    assert startup is not None
    (playback,) = [span for span in spans if span.kind == attr.KIND_PLAYBACK]
    assert startup.total == pytest.approx(playback.start_ns / 1e9 - clock.EPOCH, abs=1e-6)
    assert sum(startup.stages.values()) == pytest.approx(startup.total, abs=1e-9)
    expected = {"accept": 0.1, "assign": 0.2, "process": 0.3, "job": 0.4, "setup": 0.25}
    assert {name: startup.stages[name] for name in expected} == pytest.approx(expected, abs=1e-3)
    assert (startup.user_first, list(startup.stages)[-1]) == (False, "first_audio")
    assert facts(report)["startup"].startswith("first word ")
    early = livekit_otel.build_report([span for span in spans if span.kind == attr.KIND_SESSION_START])
    assert early.startup is not None, "also after a crash"
    assert early.startup.stages.keys() >= expected.keys()
    shown: dict[str, Any] = to_document(report, full=True)["livekit_otel"]["startup"]
    assert json.loads(json.dumps(shown))["total"] == startup.total


def test_a_second_session_starts_up_on_its_own() -> None:
    """A later session of a job counts from its own start(): its caller has been there for a while."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        ctx._info.received_at = clock.EPOCH
        ctx._on_setup()
        await session.start(Agent(instructions="Answer."))
        await asyncio.sleep(20.0)
        await session.aclose()
        second = text_session(Call(ctx))
        await second.start(Agent(instructions="Answer."))
        await second.aclose()

    spans, _ = hold(script, build=livekit_otel.build_reports)
    first, second = [span for span in spans if span.kind == attr.KIND_SESSION_STARTUP]
    assert attr.startup("setup") in first.attributes
    assert not {attr.startup(stage) for stage in ("setup", "job", "room")} & second.attributes.keys()


def test_a_session_in_which_nothing_was_heard() -> None:
    """Where nobody hears anything there is no total."""
    spans, report = hold(_people)
    assert report.startup is not None
    assert (report.startup.total, report.startup.user_first) == (None, None)
    assert attr.STARTUP_TOTAL not in started(spans).attributes


def test_the_user_spoke_first() -> None:
    """Where the first audio answers the user, the start-up says so: it has the user's words in it."""

    async def script(ctx: JobContext, room: HereRoom, session: AgentSession[Any]) -> None:
        await session.start(Agent(instructions="Answer."))
        await asyncio.sleep(8.0)
        await session.aclose()

    _, report = hold(script, session=spoken)
    assert report.startup is not None
    assert report.startup.user_first is True


@pytest.mark.parametrize(("name", "who"), [("amd_human", "human"), ("amd_machine", "machine")])
def test_who_answered(name: str, who: str) -> None:
    """LiveKit's verdict on who answered the telephone is in the report, and how long it took."""
    trace = record(name)
    report = livekit_otel.build_report(trace.pipeline)
    assert report.room_info.answered_by.startswith(who)
    assert facts(report)["answered"] == report.room_info.answered_by
    (session,) = trace.of(attr.KIND_SESSION)
    assert isinstance(session.attributes[attr.AMD_DELAY], float)
