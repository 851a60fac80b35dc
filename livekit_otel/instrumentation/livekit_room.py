"""Reads LiveKit's rooms and participants by public names, and turns its enum numbers into stable words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents import AgentSession


def listen(room: rtc.Room, event: str, handler: Callable[..., None]) -> None:
    """Call ``handler`` on an event of the room, after the existing handlers."""
    room.on(cast("Any", event), handler)


def ignore(room: rtc.Room, event: str, handler: Callable[..., None]) -> None:
    """Undo :func:`listen`."""
    room.off(cast("Any", event), handler)


def kind(participant: rtc.Participant) -> str:
    """Return ``standard``, ``sip``, ``agent`` and so on."""
    from livekit import rtc

    return rtc.ParticipantKind.Name(participant.kind).removeprefix("PARTICIPANT_KIND_").lower()


def is_microphone(publication: rtc.TrackPublication) -> bool:
    """Whether the track is a participant's voice. Cameras and shared screens are not."""
    from livekit import rtc

    sources = (rtc.TrackSource.SOURCE_MICROPHONE, rtc.TrackSource.SOURCE_UNKNOWN)
    return publication.kind == rtc.TrackKind.KIND_AUDIO and publication.source in sources


def disconnect_reason(reason: int | None) -> str | None:
    """Return LiveKit's name for the reason of a disconnection, in lower case."""
    from livekit import rtc

    return rtc.DisconnectReason.Name(cast("Any", reason)).lower() if reason is not None else None


def linked(session: AgentSession[Any] | None) -> rtc.RemoteParticipant | None:
    """Return the participant that the session listens to; None if LiveKit has chosen none, or that one has left."""
    room_io = getattr(session, "_room_io", None)
    return room_io.linked_participant if room_io is not None else None
