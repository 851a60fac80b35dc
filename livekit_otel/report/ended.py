"""How a call ended, in words: LiveKit's reason, made precise by what the room says of the caller and the connection."""

from __future__ import annotations

from math import inf

from .. import attributes as attr
from ..spans import flag, number
from .model import SessionReport
from .words import CLOSED

__all__ = ["why_closed"]

_LEFT, _BY_CODE = "CR_PARTICIPANT_DISCONNECTED", "CR_USER_INITIATED"
#: reasons for which LiveKit disconnects a participant, or the agent itself, other than that they hang up
_ROOM_GONE = {"room_deleted": "the room was deleted", "room_closed": "the room was closed"}
_OF_THE_CALLER = {**_ROOM_GONE, "user_rejected": "the callee rejected the call"}


def why_closed(report: SessionReport) -> str:
    """Why the session was closed. LiveKit closes one whose room is gone as if the caller or the agent had done it."""
    plain = CLOSED.get(report.close_reason or "", CLOSED["CR_UNKNOWN"])
    if report.close_reason == _LEFT:
        reason = report.caller.disconnect_reason if report.caller is not None else ""
        return _OF_THE_CALLER.get(reason, plain)
    if report.close_reason != _BY_CODE:
        return plain
    if any(flag(span.attributes, attr.SESSION_ENTRYPOINT_FAILED) for span in report.spans):
        return "the agent's entrypoint failed"
    lost = next((one for one in report.room_info.outages if one.event == "disconnected"), None)
    # a server that closes an empty room also ends the job, whose close may come first; no code closes a room like that
    if lost is None or (lost.reason != "room_closed" and lost.started_at >= _close_called(report)):
        return plain
    return _ROOM_GONE.get(lost.reason, "the agent's connection to the room was lost")


def _close_called(report: SessionReport) -> float:
    """When the close was requested, Unix seconds; infinity if that is unknown."""
    end = next((span for span in report.spans if span.kind == attr.KIND_SESSION_END), None)
    return end.start_ns / 1e9 - (number(end.attributes, attr.SESSION_CLOSING) or 0.0) if end is not None else inf
