"""The participants of a call's room and its connection losses, from the session's spans."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..spans import SpanRecord, flag, text

__all__ = ["Outage", "Participant", "Room", "room_of"]

_PLAIN = {name: key for key, name in attr.SIP.items()}


class Participant(msgspec.Struct, kw_only=True):
    """A participant of the room.

    Attributes:
        sid: LiveKit's ID of the participant.
        kind: ``standard``, ``sip``, ``agent`` and so on.
        caller: whether the session listened to this participant.
        identity, name, metadata: as in LiveKit; empty if absent, or if content is withheld.
        attributes: the participant's last attributes, as far as they were recorded.
        sip: for a telephone caller, LiveKit's attributes (``sip.callID``); telephone numbers only with content.
        joined_at: Unix seconds; the start of the session, if the participant was already present.
        left_at: Unix seconds; None if the participant was still present at the end of the session.
        disconnect_reason: why the participant left, such as ``client_initiated``; empty if unknown.
        muted: times in which the participant's microphone was off: from and until, in Unix seconds; until is None if
            it was not switched on again.
    """

    sid: str
    kind: str
    caller: bool = False
    identity: str = ""
    name: str = ""
    metadata: str = ""
    attributes: dict[str, str] = {}
    sip: dict[str, str] = {}
    joined_at: float | None = None
    left_at: float | None = None
    disconnect_reason: str = ""
    muted: list[tuple[float, float | None]] = []


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A loss of the connection to the room.

    Attributes:
        started_at, ended_at: Unix seconds.
        event: ``reconnected``, ``disconnected`` (permanently) or ``session_ended``.
        reason: reason of a permanent disconnection; else empty.
    """

    started_at: float
    ended_at: float
    event: str
    reason: str = ""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The room of a call, and the dispatch of its job.

    Attributes:
        participants: the participants, in the order in which they joined.
        outages: the connection losses.
        metadata: metadata of the room; empty if there is none, or if content is withheld.
        dispatch_id, dispatch_metadata, worker_id: of the job; empty without a job.
        region, deployment: of an agent that LiveKit Cloud hosts; else empty.
        answered_by: who answered, according to LiveKit's answering machine detection; empty without detection.
    """

    participants: tuple[Participant, ...] = ()
    outages: tuple[Outage, ...] = ()
    metadata: str = ""
    dispatch_id: str = ""
    dispatch_metadata: str = ""
    worker_id: str = ""
    region: str = ""
    deployment: str = ""
    answered_by: str = ""

    @property
    def caller(self) -> Participant | None:
        """The participant that the session listened to last."""
        return next((one for one in reversed(self.participants) if one.caller), None)


def room_of(spans: Iterable[SpanRecord]) -> Room:
    """The room, from the spans of one session, by start."""
    people: dict[str, Participant] = {}
    outages: list[Outage] = []
    said: dict[str, Any] = {}
    caller = ""
    for span in spans:
        values = span.attributes
        if span.kind == attr.KIND_PARTICIPANT:
            _take(people, values, span.start_ns / 1e9)
        elif span.kind == attr.KIND_CONNECTION:
            outages.append(
                Outage(
                    started_at=span.start_ns / 1e9,
                    ended_at=span.end_ns / 1e9,
                    event=text(values, attr.CONNECTION_EVENT),
                    reason=text(values, attr.CONNECTION_REASON),
                )
            )
        elif span.kind in (attr.KIND_SESSION, attr.KIND_SESSION_START):
            said |= {name: values[name] for name in _OF_THE_SESSION if name in values}
            caller = text(values, attr.PARTICIPANT_SID) or caller
    _find_caller(people, caller)
    return Room(
        participants=tuple(people.values()),
        outages=tuple(outages),
        metadata=text(said, attr.ROOM_METADATA),
        dispatch_id=text(said, attr.JOB_DISPATCH_ID),
        dispatch_metadata=text(said, attr.JOB_METADATA),
        worker_id=text(said, attr.JOB_WORKER_ID),
        region=text(said, attr.JOB_REGION),
        deployment=text(said, attr.JOB_DEPLOYMENT),
        answered_by=text(said, attr.AMD_CATEGORY),
    )


_OF_THE_SESSION = (
    attr.ROOM_METADATA,
    attr.JOB_DISPATCH_ID,
    attr.JOB_METADATA,
    attr.JOB_WORKER_ID,
    attr.JOB_REGION,
    attr.JOB_DEPLOYMENT,
    attr.AMD_CATEGORY,
)
_CALLERS = ("standard", "sip", "connector")


def _find_caller(people: dict[str, Participant], sid: str) -> None:
    """Mark the caller; if the session span is missing, the first participant who can be the caller."""
    if sid in people:
        people[sid].caller = True
    elif not any(one.caller for one in people.values()):
        first = next((one for one in people.values() if one.kind in _CALLERS), None)
        if first is not None:
            first.caller = True


def _take(people: dict[str, Participant], values: Any, at: float) -> None:
    sid, event = text(values, attr.PARTICIPANT_SID), text(values, attr.PARTICIPANT_EVENT)
    one = people.setdefault(sid, Participant(sid=sid, kind=text(values, attr.PARTICIPANT_KIND)))
    one.caller = one.caller or flag(values, attr.PARTICIPANT_CALLER)
    one.identity = text(values, attr.PARTICIPANT_IDENTITY) or one.identity
    one.name = text(values, attr.PARTICIPANT_NAME) or one.name
    one.metadata = text(values, attr.PARTICIPANT_METADATA) or one.metadata
    one.attributes = _object(text(values, attr.PARTICIPANT_ATTRIBUTES)) or one.attributes
    one.sip = {**one.sip, **{key: text(values, name) for name, key in _PLAIN.items() if name in values}}
    if event == "left":
        one.left_at, one.disconnect_reason = at, text(values, attr.PARTICIPANT_REASON)
    elif event in ("muted", "unmuted"):
        _mute(one, at, off=event == "muted")
    elif one.joined_at is None:
        one.joined_at = at


def _mute(one: Participant, at: float, *, off: bool) -> None:
    """Begin or end a time with the microphone off."""
    is_off = bool(one.muted) and one.muted[-1][1] is None
    if off and not is_off:
        one.muted.append((at, None))
    elif is_off and not off:
        one.muted[-1] = (one.muted[-1][0], at)


def _object(value: str) -> dict[str, str]:
    try:
        found = json.loads(value) if value else {}
    except NOT_JSON:
        return {}
    return {str(key): str(one) for key, one in found.items()} if isinstance(found, dict) else {}
