"""A turn's numbers from its own span and later corrections, for traces that lack some of its stages.

Users filter stage spans out to store less (mostly VAD and playback). The values that
:class:`~livekit_otel.TurnSpanProcessor` set on the turn during the call are then the only ones available.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..spans import SpanRecord, flag, number, text, whole
from .latency import notes_of
from .model import Gap, Incident, Segment, TurnDerivation, TurnLatency
from .model_usage import ModelUsage, usage_from
from .stats import LONGEST

__all__ = ["read_corrections", "says_more", "with_recorded"]

Values = dict[str, Any]
_COUNTS = ("interruptions", "false_interruptions", "backchannels")
_CARRIERS = frozenset({attr.KIND_SESSION_CHECKPOINT, attr.KIND_SESSION_END})
_OTHER = attr.SILENCE_STAGES[-1]
_pieces = msgspec.json.Decoder(list[tuple[int, str, Any]])
_silences = msgspec.json.Decoder(list[tuple[float, list[tuple[str, float]]]])
_models = msgspec.json.Decoder(list[dict[str, Any]])


def read_corrections(spans: Iterable[SpanRecord]) -> dict[int, Values]:
    """Corrections by spans that ended after their turn: turn index -> attribute -> value, None for a removed value.

    Corrections are on ``session.checkpoint`` and ``session.end``; later ones win. Damaged pieces are ignored.
    """
    out: dict[int, Values] = {}
    carriers = [one for one in spans if one.kind in _CARRIERS]
    for span in sorted(carriers, key=lambda one: (one.start_ns, one.span_id)):
        for name in sorted(name for name in span.attributes if name.startswith(attr.TURN_LATE_PREFIX)):
            try:
                changes = _pieces.decode(text(span.attributes, name))
            except NOT_JSON:
                continue
            for index, short, value in changes:
                prefix = "" if short.startswith(attr.OWN_PREFIX) else attr.TURN_PREFIX
                out.setdefault(index, {})[prefix + short] = value
    return out


def _values(turn: SpanRecord, corrections: Mapping[str, Any]) -> Values:
    return {name: value for name, value in {**turn.attributes, **corrections}.items() if value is not None}


def says_more(derived: TurnDerivation, turn: SpanRecord, corrections: Mapping[str, Any]) -> bool:
    """Whether a turn's span has a latency, usage or interruptions that its stages here do not provide."""
    values = _values(turn, corrections)
    for name in attr.DERIVED_LATENCIES:
        if name == "answer_latency" and derived.latency.e2e_latency is not None:
            continue  # all audio is in the stages; the span may have been written before it was known not to answer
        if getattr(derived.latency, name) is None and number(values, attr.latency(name)) is not None:
            return True
    if not derived.usage and attr.derived("turn", "usage.by_model") in values:
        return True
    return any(_count(values, name) > getattr(derived, name) + derived.replaced for name in _COUNTS)


def with_recorded(derived: TurnDerivation, turn: SpanRecord, corrections: Mapping[str, Any]) -> TurnDerivation:
    """A derivation from incomplete stages, with the numbers replaced by those of the turn's span and its corrections.

    Its ``path`` is empty; ``discarded`` comes from the stages present, because spans have only its sums.
    """
    values = _values(turn, corrections)
    latency = TurnLatency(**{name: _seconds(values, attr.latency(name)) for name in attr.DERIVED_LATENCIES})
    silence = {stage: _seconds(values, attr.silence(stage)) for stage in attr.SILENCE_STAGES}
    stopped, wait = latency.stopped_speaking_at, latency.e2e_latency
    return msgspec.structs.replace(
        derived,
        answered_ns=None if stopped is None or wait is None else round((stopped + wait) * 1e9),
        latency=latency,
        path=(),
        silence={} if wait is None else {stage: value or 0.0 for stage, value in silence.items()},
        answered=text(values, attr.TURN_ANSWERED) or None,
        why_not=text(values, attr.TURN_WHY_NOT),
        false_cutoff=flag(values, attr.TURN_FALSE_CUTOFF),
        acknowledged=flag(values, attr.TURN_ACKNOWLEDGED),
        incidents=_incidents(derived, values),
        gaps=tuple(_gaps(text(values, attr.TURN_GAPS))),
        usage=tuple(_usage(text(values, attr.derived("turn", "usage.by_model")))),
        notes=notes_of(latency, derived.reported),
        **{name: _count(values, name) for name in _COUNTS},
    )


def _incidents(derived: TurnDerivation, values: Values) -> dict[str, Incident]:
    """The incidents from the stages present, and those that the span's flags describe."""
    said = {name: number(values, attr.signal(name)) for name in (attr.FLAG_FAILED, attr.FLAG_FALSE_CUTOFF)}
    found = {name: Incident(value=value) for name, value in said.items() if value is not None}
    return {**found, **derived.incidents}


def _seconds(values: Values, name: str) -> float | None:
    """A latency; None if it does not fit a count of nanoseconds."""
    value = number(values, name)
    return None if value is None or abs(value) >= LONGEST else value


def _count(values: Values, name: str) -> int:
    return whole(values, attr.derived("turn", name)) or 0


def _gaps(said: str) -> Iterator[Gap]:
    try:
        gaps = _silences.decode(said) if said else []
    except NOT_JSON:
        return
    for start, parts in gaps:
        if not abs(start) < LONGEST or not all(0 <= length < LONGEST for _, length in parts):
            continue
        at = begin = round(start * 1e9)
        path = []
        for stage, length in parts:
            path.append(Segment(stage if stage in attr.SILENCE_STAGES else _OTHER, at, at + round(length * 1e9)))
            at = path[-1].end_ns
        yield Gap(start_ns=begin, end_ns=at, path=tuple(path))


def _usage(by_model: str) -> Iterator[ModelUsage]:
    try:
        models = _models.decode(by_model) if by_model else []
    except NOT_JSON:
        return
    for one in models:
        usage = usage_from(one)
        if usage is not None:
            yield usage
