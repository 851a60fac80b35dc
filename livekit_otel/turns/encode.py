"""Encodes derived numbers and their corrections as span attributes; ``recorded`` decodes both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Literal

import msgspec
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..thresholds import DEFAULTS, Thresholds
from .flags import flags_of
from .model import Flag, Gap, SessionDerivation, TurnDerivation
from .model_usage import total

__all__ = ["Attributes", "correction", "correction_piece", "session_attributes", "turn_attributes"]

Attributes = dict[str, AttributeValue]

_latencies = attrgetter(*attr.DERIVED_LATENCIES)
_LATENCY_KEYS = tuple(map(attr.latency, attr.DERIVED_LATENCIES))
_SILENCE = {stage: attr.silence(stage) for stage in attr.SILENCE_STAGES}
_GAP = {stage: attr.gap(stage) for stage in attr.SILENCE_STAGES}
_NOTE_LIMIT = 16


def turn_attributes(turn: TurnDerivation, thresholds: Thresholds = DEFAULTS) -> Attributes:
    """The attributes of a turn's span, with flags according to ``thresholds``."""
    out: Attributes = {}
    for key, value in zip(_LATENCY_KEYS, _latencies(turn.latency), strict=True):
        if value is not None:
            out[key] = value
    for stage, value in turn.silence.items():
        out[_SILENCE[stage]] = value
    if turn.answered is not None:
        out[attr.TURN_ANSWERED] = turn.answered
    if turn.why_not:
        out[attr.TURN_WHY_NOT] = turn.why_not
    if turn.acknowledged:
        out[attr.TURN_ACKNOWLEDGED] = True
    if turn.false_cutoff:
        out[attr.TURN_FALSE_CUTOFF] = True
    if turn.gaps:
        out[attr.TURN_GAPS] = _pieces(msgspec.json.encode(gap) for gap in map(_gap, turn.gaps))
        for stage, value in turn.gap_stages.items():
            out[_GAP[stage]] = value
    if turn.notes:
        out[attr.TURN_NOTES] = turn.notes[:_NOTE_LIMIT]
    _flags(flags_of(turn, thresholds), out)
    _shared("turn", turn, out)
    return out


def _flags(flags: Sequence[Flag], out: Attributes) -> None:
    if flags:
        out[attr.FLAGS] = tuple(one.name for one in flags)
    for one in flags:
        if one.value is not None:
            out[attr.signal(one.name)] = one.value


def _gap(gap: Gap) -> list[object]:
    return [gap.start_ns / 1e9, [[one.stage, (one.end_ns - one.start_ns) / 1e9] for one in gap.path]]


def session_attributes(session: SessionDerivation) -> tuple[Attributes, Attributes]:
    """The attributes of session.end and of the session's span: the required ones, and the percentiles one by one."""
    out: Attributes = {attr.SESSION_TURNS: session.turn_count}
    out[attr.SESSION_FALSE_CUTOFFS] = session.false_cutoffs
    _flags(session.flags, out)
    for name, count in session.flagged.items():
        out[attr.flagged(name)] = count
    _shared("session", session, out)
    if session.interruption_rate is not None:
        out[attr.SESSION_INTERRUPTION_RATE] = session.interruption_rate
    if session.latency:
        out[attr.SESSION_LATENCIES] = msgspec.json.encode(session.latency).decode()
    for stage, value in session.silence.items():
        out[attr.silence(stage, "session")] = value
    for stage, value in session.gap_stages.items():
        out[attr.gap(stage, "session")] = value
    each: Attributes = {}
    for name, percentiles in session.latency.items():
        for point in attr.SUMMARY_POINTS:
            each[attr.session_latency(name, point)] = getattr(percentiles, point)
    return out, each


def _keys(scope: Literal["turn", "session"]) -> dict[str, str]:
    names = ["usage.by_model", "interruptions", "false_interruptions", "backchannels"]
    names += [f"discarded.{name}" for name in attr.DISCARDED_SUMS]
    sums = {name: attr.derived(scope, f"usage.{name}") for name in attr.USAGE_SUMS}
    return {**{name: attr.derived(scope, name) for name in names}, **sums}


_SHARED = {"turn": _keys("turn"), "session": _keys("session")}


def _shared(scope: Literal["turn", "session"], derived: TurnDerivation | SessionDerivation, out: Attributes) -> None:
    keys = _SHARED[scope]
    if derived.usage:
        out[keys["usage.by_model"]] = _pieces(msgspec.json.encode(one.to_dict(zeros=False)) for one in derived.usage)
        types = {one.type for one in derived.usage}
        for name, (type_, _) in attr.USAGE_SUMS.items():
            if type_ in types:
                out[keys[name]] = total(derived.usage, name)
    if derived.discarded:
        for name in attr.DISCARDED_SUMS:
            if amount := total(derived.discarded, name):
                out[keys[f"discarded.{name}"]] = amount
    for name in ("interruptions", "false_interruptions", "backchannels"):
        count = getattr(derived, name)
        if count or scope == "session":
            out[keys[name]] = count


def _pieces(encoded: Iterable[bytes]) -> str:
    """As many JSON values as fit into an attribute (about ten models, twenty gaps)."""
    parts: list[bytes] = []
    size = 2
    for part in encoded:
        if size + len(part) + 1 > attr.PIECE_BYTES:
            break
        parts.append(part)
        size += len(part) + 1
    return _array(parts)


def correction(index: int, name: str, value: AttributeValue | None) -> bytes:
    """One correction, as JSON: turn ``index`` has ``value`` for an attribute, or no longer has it (None).

    Args:
        name: name of the attribute, without the prefix ``livekit_otel.turn.`` if it has it.
    """
    return msgspec.json.encode([index, name, value])


def correction_piece(number: int, corrections: Iterable[bytes]) -> Attributes:
    """The attribute that carries corrections; ``number`` is its number on the span, from 0."""
    return {f"{attr.TURN_LATE_PREFIX}{number:03d}": _array(corrections)}


def _array(parts: Iterable[bytes]) -> str:
    return (b"[" + b",".join(parts) + b"]").decode()
