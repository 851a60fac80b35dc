"""Two reports of one call, field by field: in the form of LiveKit's report, whatever they were made of."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import msgspec

from .. import attributes as attr
from ..dialects import NODE, PYTHON
from .diff_values import MISSING, Difference, differences
from .model import SessionReport
from .reported import ReportedSession
from .said import message_text

__all__ = ["Comparison", "compare"]

_NATIVE = frozenset({PYTHON, NODE})
#: a report is made some time after the call; its time and length follow that moment
_MADE = {"timestamp": 1.0, "duration_ms": 1000.0}
_SECONDS = 0.001
#: what LiveKit's own spans may hold nothing of
_NO_SPANS = frozenset({"agent_config_update"})
_NO_METRICS = frozenset({"stt_usage", "interruption_usage", "eot_usage"})
_APART = frozenset({"chat_history", "events", "usage"})
Item = Mapping[str, Any]


class Comparison(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        differences: what the two say differently, by path: the report's own fields, ``conversation``, ``usage``,
            ``latencies`` (of turns, where one of them has no metrics in its history), ``events``.
        not_compared: what one of them does not say, so that it is neither equal nor different.
    """

    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]


class _Side:
    """One of the two."""

    def __init__(self, report: SessionReport) -> None:
        self.report = report
        self.document = report.to_dict()
        self.native = report.provenance in _NATIVE
        self.unknown = {name for name, value in self.document.items() if value is None and self._omits(name)}

    def _omits(self, name: str) -> bool:
        return self.native or (isinstance(self.report, ReportedSession) and name not in self.report.known)


def compare(one: SessionReport, two: SessionReport) -> Comparison:
    """What differs between two reports of a call; the first is ``a``, the second ``b``."""
    a, b = _Side(one), _Side(two)
    unknown: dict[str, None] = {}
    found = [*_fields(a, b, unknown), *_conversation(a, b, unknown), *_latencies(a, b, unknown)]
    found += [*_usage(a, b, unknown), *_events(a, b, unknown)]
    said = [one for one in found if not _is_withheld(one, a, b)]
    if len(said) < len(found):
        unknown["content that was withheld"] = None
    return Comparison(tuple(said), tuple(unknown))


def _is_withheld(one: Difference, a: _Side, b: _Side) -> bool:
    """Whether one of them has no words there because it holds none at all."""
    sides = ((a, one.a, one.b), (b, one.b, one.a))
    return any(side.report.redacted and own == "" and isinstance(other, str) for side, own, other in sides)


def _fields(a: _Side, b: _Side, unknown: dict[str, None]) -> Iterator[Difference]:
    for name in dict.fromkeys((*a.document, *b.document)):
        if name in _APART:
            continue
        if name in a.unknown | b.unknown or not (name in a.document and name in b.document):
            unknown[name] = None
            continue
        yield from differences(name, a.document[name], b.document[name], _MADE.get(name))


def _conversation(a: _Side, b: _Side, unknown: dict[str, None]) -> Iterator[Difference]:
    loose = a.native or b.native
    for at, one, two in _aligned(a.report.history, b.report.history, _words if loose else _identity):
        path = f"conversation[{at}]"
        if one is None or two is None:
            missing = a if one is None else b
            item = two if one is None else one
            if item is not None and (why := _not_in_spans(item, missing)):
                unknown[why] = None
            else:
                yield Difference(path, MISSING if one is None else one, MISSING if two is None else two)
            continue
        if loose:
            # times of items without an id are those of spans; metrics are compared by turn
            shared = one.keys() & two.keys() - {"id", "created_at", "metrics"}
            one, two = ({name: item[name] for name in item if name in shared} for item in (one, two))
        yield from differences(path, one, two)


def _not_in_spans(item: Item, side: _Side) -> str:
    """What LiveKit's own spans have no room for; empty for an item that is really missing."""
    if side.native and item.get("type") in _NO_SPANS:
        return "changes of an agent's configuration"
    # where a model hears for itself, native reports do not count the user's turns
    heard = side.native and item.get("role") == "user" and side.document.get("user_turns") is None
    return "what a realtime model heard" if heard else ""


def _identity(item: Item) -> Hashable:
    return str(item["id"]) if item.get("id") else _words(item)


def _words(item: Item) -> Hashable:
    said = message_text(item) or str(item.get("call_id") or item.get("new_agent_id") or "")
    return str(item.get("type")), str(item.get("role")), said


def _kind(item: Item) -> tuple[str, str]:
    return str(item.get("type")), str(item.get("role"))


def _aligned(
    one: Sequence[Item], two: Sequence[Item], key: Callable[[Item], Hashable]
) -> Iterator[tuple[int, Item | None, Item | None]]:
    """Pairs of what belongs together, each with its place; None where one of them lacks it."""
    keys = [key(item) for item in one], [key(item) for item in two]
    if keys[0] == keys[1]:
        yield from ((at, *pair) for at, pair in enumerate(zip(one, two, strict=True)))
        return
    for tag, i, i_end, j, j_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from ((i + n, one[i + n], two[j + n]) for n in range(i_end - i))
            continue
        lacking, others = list(range(i, i_end)), list(range(j, j_end))
        while lacking and others:
            # where items stand in the same place, the first two of a kind are one that changed
            if _kind(one[lacking[0]]) == _kind(two[others[0]]) and not _differ_in_id(one[lacking[0]], two[others[0]]):
                yield lacking[0], one[lacking.pop(0)], two[others.pop(0)]
            elif len(lacking) >= len(others):
                yield lacking[0], one[lacking.pop(0)], None
            else:
                yield others[0], None, two[others.pop(0)]
        yield from ((at, one[at], None) for at in lacking)
        yield from ((at, None, two[at]) for at in others)


def _differ_in_id(one: Item, two: Item) -> bool:
    return bool(one.get("id") and two.get("id")) and one["id"] != two["id"]


def _latencies(a: _Side, b: _Side, unknown: dict[str, None]) -> Iterator[Difference]:
    """What LiveKit reported of each turn, where the history of one of them has no metrics."""
    if not (a.native or b.native):
        return
    asked = [[turn for turn in side.report.turns if turn.user_text] for side in (a, b)]
    if [turn.user_text for turn in asked[0]] != [turn.user_text for turn in asked[1]]:
        unknown["latencies (the turns differ)"] = None
        return
    for one, two in zip(*asked, strict=True):
        for name in attr.REPORTED_METRICS:
            if name in one.reported and name in two.reported:
                path = f"latencies[{one.index}].{name}"
                yield from differences(path, one.reported[name], two.reported[name], _SECONDS)
            elif name in one.reported or name in two.reported:
                unknown[f"latencies.{name}"] = None


def _usage(a: _Side, b: _Side, unknown: dict[str, None]) -> Iterator[Difference]:
    if "usage" in a.unknown | b.unknown:
        unknown["usage"] = None
        return
    one, two = _models(a), _models(b)
    for key in dict.fromkeys((*one, *two)):
        path = f"usage[{' '.join(key)}]"
        if key in one and key in two:
            # LiveKit leaves out what is zero
            zeros = {name: 0 for name in (*one[key], *two[key]) if name not in ("type", "provider", "model")}
            yield from differences(path, {**zeros, **one[key]}, {**zeros, **two[key]})
        elif (b if key in one else a).native and key[0] in _NO_METRICS:
            unknown[f"usage ({key[0].removesuffix('_usage')})"] = None
        else:
            yield Difference(path, one.get(key, MISSING), two.get(key, MISSING))


def _models(side: _Side) -> dict[tuple[str, ...], dict[str, Any]]:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in _objects(side.document.get("usage")):
        name = "/".join(str(one[part]) for part in ("provider", "model") if one.get(part))
        key: tuple[str, ...] = (str(one.get("type") or ""), name)
        while key in found:
            key = (*key, "again")
        found[key] = one
    return found


def _events(a: _Side, b: _Side, unknown: dict[str, None]) -> Iterator[Difference]:
    if a.document.get("events") is None or b.document.get("events") is None:
        unknown["events"] = None
        return
    for at, one, two in _aligned(_objects(a.document["events"]), _objects(b.document["events"]), _event):
        path = f"events[{at}]"
        if one is None or two is None:
            yield Difference(path, MISSING if one is None else one, MISSING if two is None else two)
        else:
            yield from differences(path, one, two)


def _event(event: Item) -> Hashable:
    at = event.get("created_at")
    return str(event.get("type")), round(at, 3) if isinstance(at, float) else str(at)


def _objects(value: Any) -> list[dict[str, Any]]:
    values: Iterable[Any] = value if isinstance(value, list) else ()
    return [one for one in values if isinstance(one, dict)]
