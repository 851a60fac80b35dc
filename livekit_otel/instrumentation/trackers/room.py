"""The job's room: its participants, the caller, and losses of the connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...containment import contain
from ...redaction import kinds
from .. import livekit_room
from ..scope import SessionScope
from ..span import PipelineSpan
from ..values import clip

if TYPE_CHECKING:
    from livekit import rtc

__all__ = ["RoomTracker"]

#: maximum number of participant events recorded in one session
_MAX_EVENTS = 500
_CALLERS = frozenset({"standard", "sip", "connector"})


class RoomTracker:
    """Participants and outages of one session's room. ``room`` is None without a job."""

    def __init__(self, scope: SessionScope, room: rtc.Room | None) -> None:
        self._scope = scope
        self._room = room
        self._handlers: dict[str, Callable[..., None]] = {
            "participant_connected": self._joined,
            "participant_disconnected": self._left,
            "participant_name_changed": self._changed,
            "participant_metadata_changed": self._changed,
            "participant_attributes_changed": lambda _changed, participant: self._changed(participant),
            "track_muted": lambda participant, track: self._microphone("muted", participant, track),
            "track_unmuted": lambda participant, track: self._microphone("unmuted", participant, track),
            "room_metadata_changed": lambda _old, _new: self._room_metadata(),
            "reconnecting": self._lost,
            "reconnected": lambda: self._back("reconnected"),
            "disconnected": self._disconnected,
        }
        self._present: dict[str, rtc.RemoteParticipant] = {}
        self._caller: str | None = None
        self._outage: PipelineSpan | None = None
        self._events = 0
        if room is not None and scope.recording:
            for event, handler in self._handlers.items():
                self._handlers[event] = handler = contain(f"room.{event}")(handler)
                livekit_room.listen(room, event, handler)
            self.connected()

    @contain("room.connected")
    def connected(self) -> None:
        """The room is connected: record the participants that are already in it, since they are not announced."""
        if self._room is not None and self._room.isconnected() is True:
            for participant in list(self._room.remote_participants.values()):
                self._joined(participant)
                for track in list(participant.track_publications.values()):
                    if track.muted:
                        self._microphone("muted", participant, track)
            self._room_metadata()

    def close(self, at_ns: int) -> None:
        """The session is over."""
        self.find_caller()
        room, self._room = self._room, None
        if room is not None:
            for event, handler in self._handlers.items():
                livekit_room.ignore(room, event, handler)
        self._back("session_ended", at_ns)

    # --- participants ------------------------------------------------------------------------------

    def _joined(self, participant: rtc.RemoteParticipant) -> None:
        if participant.sid in self._present:
            return
        self._present[participant.sid] = participant
        self._say("joined", participant)
        # a handler of LiveKit's chooses the participant that the session listens to
        self._scope.soon(self.find_caller)

    def _changed(self, participant: rtc.Participant, *_: str) -> None:
        if participant.sid in self._present:
            self._say("changed", self._present[participant.sid])

    def _microphone(self, what: str, participant: rtc.Participant, track: rtc.TrackPublication) -> None:
        known = self._present.get(participant.sid)
        if known is None or not livekit_room.is_microphone(track):
            return
        self._point(what, known, {attr.PARTICIPANT_SID: known.sid, attr.PARTICIPANT_KIND: livekit_room.kind(known)})

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        if self._present.pop(participant.sid, None) is not None:
            self._say("left", participant)

    @contain("room.caller")
    def find_caller(self) -> None:
        """Find out whom the session listens to, and put them on its span."""
        linked = livekit_room.linked(self._scope.session)
        candidates = (one for one in self._present.values() if livekit_room.kind(one) in _CALLERS)
        # LiveKit listens to nobody else when the one that it has chosen leaves
        caller = linked if linked is not None or self._caller is not None else next(candidates, None)
        if caller is not None and caller.sid != self._caller:
            self._caller = caller.sid
            self._scope.span.set(self._of(caller))

    def _say(self, what: str, participant: rtc.RemoteParticipant) -> None:
        attributes = self._of(participant)
        reason = livekit_room.disconnect_reason(participant.disconnect_reason) if what == "left" else None
        if reason is not None:
            attributes[attr.PARTICIPANT_REASON] = reason
        if participant.sid == self._caller:
            self._scope.span.set(attributes)
        self._point(what, participant, attributes)

    def _point(self, what: str, participant: rtc.RemoteParticipant, attributes: dict[str, AttributeValue]) -> None:
        is_caller = participant.sid == self._caller
        self._events += 1
        # that the caller left is recorded however many events there were
        if self._events > _MAX_EVENTS and not (is_caller and what == "left"):
            return
        attributes |= {attr.PARTICIPANT_EVENT: what, attr.PARTICIPANT_CALLER: is_caller}
        scope = self._scope
        scope.spans.point(attr.KIND_PARTICIPANT, scope, scope.now_ns(), attributes)

    def _of(self, participant: rtc.RemoteParticipant) -> dict[str, AttributeValue]:
        own = participant.attributes
        found: dict[str, AttributeValue] = {
            attr.PARTICIPANT_SID: participant.sid,
            attr.PARTICIPANT_KIND: livekit_room.kind(participant),
        }
        texts = {
            attr.PARTICIPANT_IDENTITY: participant.identity,
            attr.PARTICIPANT_NAME: participant.name,
            attr.PARTICIPANT_METADATA: participant.metadata,
            **{name: own[key] for key, name in attr.SIP.items() if key in own},
        }
        for name, text in texts.items():
            if text and not attr.is_content(name):
                found[name] = clip(text)
            elif text and self._scope.content:
                found[name] = clip(self._scope.redacted(text, kinds.OTHER))
        if own and self._scope.content:
            found[attr.PARTICIPANT_ATTRIBUTES] = self._json(own)
        return found

    def _json(self, own: dict[str, str]) -> str:
        """Return as many of a participant's attributes as fit, as JSON."""
        redaction = self._scope.redaction
        shown = redaction.value(own, kinds.OTHER) if redaction is not None else own
        kept: dict[str, str] = {}
        size = 2
        for name, value in shown.items():
            size += len(json.dumps(name)) + len(json.dumps(value)) + 4
            if size > attr.PIECE_BYTES:
                break
            kept[name] = value
        return json.dumps(kept)

    # --- the room ----------------------------------------------------------------------------------

    def _room_metadata(self) -> None:
        metadata = self._room.metadata if self._room is not None else ""
        if metadata and self._scope.content:
            self._scope.span.set({attr.ROOM_METADATA: clip(self._scope.redacted(metadata, kinds.OTHER))})

    def _lost(self) -> None:
        if self._outage is None:
            scope = self._scope
            self._outage = scope.spans.start(attr.KIND_CONNECTION, scope, scope.now_ns())

    def _back(self, how: str, at_ns: int | None = None, reason: str | None = None) -> None:
        outage, self._outage = self._outage, None
        if outage is not None:
            attributes = {attr.CONNECTION_EVENT: how, **({attr.CONNECTION_REASON: reason} if reason else {})}
            outcome = None if how == "reconnected" else attr.OUTCOME_CANCELLED
            outage.end(self._scope.now_ns() if at_ns is None else at_ns, outcome, attributes)

    def _disconnected(self, reason: int | None = None) -> None:
        self._lost()
        self._back("disconnected", reason=livekit_room.disconnect_reason(reason))
