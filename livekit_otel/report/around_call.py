"""Header facts about the startup, the room and the caller."""

from __future__ import annotations

from .model import SessionReport

__all__ = ["of_the_room", "offset", "start_up"]

#: disconnect reasons of a normal end
_ORDINARY = frozenset({"client_initiated", "room_closed", "room_deleted"})
#: maximum number of times at which the caller was muted in the header
_MUTES = 5


def offset(at: float | None, started_at: float | None) -> str:
    """Minutes and seconds since the start of the call, with hours from one hour on; at least six characters."""
    if at is None or started_at is None:
        return " " * 6
    minutes, rest = divmod(int(max(0.0, at - started_at)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:>3}:{rest:02}"


def of_the_room(report: SessionReport) -> dict[str, str]:
    """Facts by name; empty if they do not apply."""
    room, caller = report.room_info, report.caller
    return {
        "dispatch": _joined(room.dispatch_id, room.dispatch_metadata),
        "region": room.region,
        "caller": _caller(report),
        "muted": _muted(report),
        "left": caller.disconnect_reason.replace("_", " ") if caller is not None else "",
        "answered": room.answered_by,
        "outages": _outages(report),
    }


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _caller(report: SessionReport) -> str:
    caller = report.caller
    if caller is None:
        return ""
    name = f"{caller.name} ({caller.identity})" if caller.name and caller.identity else caller.name or caller.identity
    phone = caller.sip.get("sip.phoneNumber", "")
    call = f"SIP call {caller.sip['sip.callID']}" if "sip.callID" in caller.sip else ""
    # whoever comes back, after an outage for example, is a new participant with the same identity
    people = [one for one in report.room_info.participants if one.kind != "agent" and one.sid != caller.sid]
    others = len({one.identity or one.sid for one in people} - {caller.identity})
    more = f"and {others} more in the room" if others > 0 else ""
    return _joined(name, phone, call or caller.kind, caller.metadata, more)


def _muted(report: SessionReport) -> str:
    """When the caller's microphone was off, and for how long."""
    times = report.caller.muted if report.caller is not None else []
    shown = [
        f"{offset(since, report.started_at).strip()}, " + ("until the end" if to is None else f"{to - since:.1f} s")
        for since, to in times[:_MUTES]
    ]
    return "; ".join([*shown, *([f"and {len(times) - _MUTES} more times"] if len(times) > _MUTES else [])])


def _outages(report: SessionReport) -> str:
    shown = (
        f"{offset(one.started_at, report.started_at).strip()}, {one.ended_at - one.started_at:.1f} s, "
        f"{one.event.replace('_', ' ')}{': ' + one.reason.replace('_', ' ') if one.reason else ''}"
        for one in report.room_info.outages
        if one.reason not in _ORDINARY
    )
    return "; ".join(shown)


def start_up(report: SessionReport) -> str:
    """The time to the agent's first audio, and its stages; empty if there was no audio."""
    startup = report.startup
    if startup is None or startup.total is None:
        return ""
    known = startup.stages
    since = "the dispatch" if {"accept", "assign", "process"} & known.keys() else "start()"
    since = "the entrypoint was called" if since == "start()" and "setup" in known else since
    stages = ", ".join(f"{name.replace('_', ' ')} {seconds:.2f}" for name, seconds in known.items())
    answer = " (the user spoke first)" if startup.user_first else ""
    return f"first word {startup.total:.2f} s after {since}: {stages}{answer}"
