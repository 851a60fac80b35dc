"""What we ask of LiveKit's rooms and participants: public names, as words that do not change with a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents import AgentSession


def listen(room: rtc.Room, event: str, handler: Callable[..., None]) -> None:
    """Call ``handler`` at an event of the room, after those that are there."""
    room.on(cast("Any", event), handler)


def ignore(room: rtc.Room, event: str, handler: Callable[..., None]) -> None:
    """Take back :func:`listen`."""
    room.off(cast("Any", event), handler)


def kind(participant: rtc.Participant) -> str:
    """``standard``, ``sip``, ``agent`` and so on."""
    from livekit import rtc

    return rtc.ParticipantKind.Name(participant.kind).removeprefix("PARTICIPANT_KIND_").lower()


def disconnect_reason(reason: int | None) -> str | None:
    """LiveKit's word for why somebody was disconnected, in lower case."""
    from livekit import rtc

    return rtc.DisconnectReason.Name(cast("Any", reason)).lower() if reason is not None else None


def linked(session: AgentSession[Any] | None) -> rtc.RemoteParticipant | None:
    """The participant that the session listens to, as far as LiveKit has decided."""
    room_io = getattr(session, "_room_io", None)
    return room_io.linked_participant if room_io is not None else None
