"""Who called, and what the call was dispatched with: all of it is in the report, and only with content."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from livekit_otel.demo import script

from .caller import Caller, ask, open_room
from .server import LiveKitServer
from .worker import Worker, together

pytestmark = pytest.mark.room

NUMBER, CALLED = "+15105550123", "+18005550199"
ATTRIBUTES = {
    "sip.callID": "SCL_one",
    "sip.trunkID": "ST_two",
    "sip.ruleID": "SDR_three",
    "sip.callStatus": "active",
    "sip.phoneNumber": NUMBER,
    "sip.trunkPhoneNumber": CALLED,
    "sip.hostname": "canary.example",
    "sip.h.x-name": "canary of a header",
    "customer": "canary attribute",
}
CONTENT = (NUMBER, CALLED, "canary", "Canary")
#: what LiveKit's own spans have of it without content, as docs/privacy.md says
LIVEKITS_OWN = {"lk.sip.trunkPhoneNumber", "lk.sip.hostname", "lk.sip.h.x-name"}


MODES = [(content, native) for content in ("content", "no content") for native in ("native", "pipeline")]


@pytest.fixture(scope="module")
def workers(
    livekit: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Worker]]:
    """The same call with and without content, with and without LiveKit's own spans, all four at once."""
    running: dict[tuple[str, str], Worker] = {}
    for content, native in MODES:
        options = {
            "ROOMS_PII": str(int(content == "content")),
            "ROOMS_ATTRIBUTES": str(int(content == "content")),
            "ROOMS_NATIVE": str(int(native == "native")),
        }
        running[content, native] = Worker(livekit, tmp_path_factory.mktemp("meta"), **options)
    with together(*running.values()):
        asyncio.run(hold_all(running))
        for mode, worker in running.items():
            worker.wait_until_over(room_of(*mode))
        yield running


def room_of(content: str, native: str) -> str:
    return f"canary of a room: {content}, {native}"


async def hold_all(running: dict[tuple[str, str], Worker]) -> None:
    await asyncio.gather(*(hold(worker, room_of(*mode)) for mode, worker in running.items()))


async def hold(running: Worker, room: str) -> None:
    """A call by telephone, in which the caller's attributes change."""
    await open_room(running, room, metadata="canary of the room", dispatch="canary of the dispatch")
    caller = Caller(
        running.server,
        room,
        identity="canary-identity",
        name="Canary Name",
        metadata="canary metadata",
        attributes=ATTRIBUTES,
        kind="sip",
    )
    async with caller:
        await caller.listen()
        await caller.client.local_participant.set_attributes({"customer": "canary changed"})
        await caller.listen(await ask(running, caller, script.QUESTION))


@pytest.mark.parametrize(("content", "native"), MODES)
def test_who_called(content: str, native: str, workers: dict[tuple[str, str], Worker]) -> None:
    """In both layers' modes the report knows the caller, the dispatch, the room's metadata and all tags; without
    content only ids, kinds and reasons."""
    running = workers[content, native]
    (report,) = running.rebuilt().values()
    assert (report.complete, report.close_reason) == (True, "CR_PARTICIPANT_DISCONNECTED"), report.warnings
    room, caller = report.room_info, report.caller
    assert caller is not None
    assert (caller.kind, caller.disconnect_reason) == ("sip", "client_initiated")
    assert caller.joined_at is not None
    assert caller.left_at is not None
    assert report.started_at is not None
    assert report.started_at < caller.joined_at < caller.left_at
    assert {name: caller.sip[name] for name in ("sip.callID", "sip.trunkID", "sip.ruleID", "sip.callStatus")} == {
        name: ATTRIBUTES[name] for name in ("sip.callID", "sip.trunkID", "sip.ruleID", "sip.callStatus")
    }
    assert room.dispatch_id.startswith("AD_")
    assert room.worker_id.startswith("AW_")
    ours = [span for span in running.spans() if span.scope == "livekit_otel"]
    if content == "no content":
        found = {name for name, value in running.written() if any(word in value for word in CONTENT)}
        assert found <= (LIVEKITS_OWN if native == "native" else set())
        assert report.to_dict()["tags"] == []
        return
    assert (caller.identity, caller.name, caller.metadata) == ("canary-identity", "Canary Name", "canary metadata")
    assert caller.attributes == {**ATTRIBUTES, "customer": "canary changed"}
    assert (caller.sip["sip.phoneNumber"], caller.sip["sip.trunkPhoneNumber"]) == (NUMBER, CALLED)
    assert caller.sip["sip.hostname"] == "canary.example"
    assert (room.metadata, room.dispatch_metadata) == ("canary of the room", "canary of the dispatch")
    assert report.to_dict()["tags"] == ["early", "late", "lk.success"]
    assert report.to_dict()["tags"] == running.report_of(room_of(content, native))["tags"]
    # asked once, when the room was connected; every span says it
    assert {span.attributes["callers"] for span in ours} == {"1"}
    assert {span.attributes["user.id"] for span in ours} == {"canary-identity"}
