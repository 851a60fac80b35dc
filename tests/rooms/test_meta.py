"""Who called, and what the call was dispatched with: all of it is in the report, and only with content."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from livekit_otel.demo import script

from .caller import Caller, open_room
from .server import LiveKitServer
from .worker import Worker

pytestmark = pytest.mark.room

NUMBER, CALLED = "+15105550123", "+18005550199"
ATTRIBUTES = {
    "sip.callID": "SCL_one",
    "sip.trunkID": "ST_two",
    "sip.ruleID": "SDR_three",
    "sip.callStatus": "active",
    "sip.phoneNumber": NUMBER,
    "sip.trunkPhoneNumber": CALLED,
    "customer": "canary attribute",
}
CONTENT = (NUMBER, CALLED, "canary")


async def hold(server: LiveKitServer, room: str) -> None:
    """A call by telephone, in which the caller's attributes change."""
    await open_room(server, room, metadata="canary of the room", dispatch="canary of the dispatch")
    caller = Caller(
        server,
        room,
        identity="canary-identity",
        name="Canary Name",
        metadata="canary metadata",
        attributes=ATTRIBUTES,
        kind="sip",
    )
    async with caller:
        await caller.listen(1)
        await caller.client.local_participant.set_attributes({"customer": "canary changed"})
        await caller.say(script.QUESTION)
        await caller.listen(2)


@pytest.mark.parametrize("native", ["1", "0"], ids=["native", "pipeline"])
@pytest.mark.parametrize("content", ["1", "0"], ids=["content", "no content"])
def test_who_called(content: str, native: str, livekit: LiveKitServer, worker: Callable[..., Worker]) -> None:
    """In both layers' modes the report knows the caller, the dispatch, the room's metadata and all tags; without
    content only ids, kinds and reasons."""
    running = worker(ROOMS_PII=content, ROOMS_NATIVE=native, ROOMS_ATTRIBUTES=content)
    asyncio.run(hold(livekit, "room-canary"))
    running.wait_until_over("room-canary")
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
    if content == "0":
        spans = running.spans() if native == "0" else ours
        assert not [word for word in CONTENT for span in spans if word in repr(span.attributes)]
        assert report.to_dict()["tags"] == []
        return
    assert (caller.identity, caller.name, caller.metadata) == ("canary-identity", "Canary Name", "canary metadata")
    assert caller.attributes == {**ATTRIBUTES, "customer": "canary changed"}
    assert (caller.sip["sip.phoneNumber"], caller.sip["sip.trunkPhoneNumber"]) == (NUMBER, CALLED)
    assert (room.metadata, room.dispatch_metadata) == ("canary of the room", "canary of the dispatch")
    assert report.to_dict()["tags"] == ["early", "late", "lk.success"]
    assert report.to_dict()["tags"] == running.report_of("room-canary")["tags"]
    # asked once, when the room was connected; every span says it
    assert {span.attributes["callers"] for span in ours} == {"1"}
    assert {span.attributes["user.id"] for span in ours} == {"canary-identity"}
