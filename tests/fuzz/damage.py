"""How it is damaged: bytes, JSON, and what the spans mean. All of it follows one ``random.Random``."""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from livekit_otel import attributes as attr

from . import corpus
from .odd import ENTRIES, ODD

Json = Any

_TEXTS = tuple(one for one in ODD if isinstance(one, str))
_PLACE = re.compile(r"\d+\.0\.1\.\d+\|")
_MARKS = (b"\n", b"\r\n", b"\0", b"\xef\xbb\xbf", b'"', b"\\", b"{", b"]", b",", b"\xff")


# --- bytes -------------------------------------------------------------------------------------------


def of_bytes(data: bytes, chance: Random) -> bytes:
    """Some bytes changed, moved, cut or added."""
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 2, 8, 100, 5_000)))
        piece = data[at:end]
        change = chance.randrange(9)
        if change == 0:
            piece = bytes(one ^ (1 << chance.randrange(8)) for one in piece)
        elif change == 1:
            piece = b""
        elif change == 2:
            piece *= chance.choice((2, 3, 50))
        elif change == 3:
            piece += chance.randbytes(len(piece))
        elif change == 4:
            piece = (
                chance.choice((b"\n", b"\r\n", b"\0", b"\xef\xbb\xbf", b'"', b"\\", b"{", b"]", b",", b"\xff")) + piece
            )
        elif change == 5:
            piece = chance.choice((b"[", b'{"a":', b'{"result":')) * chance.choice((1, 10, 2_000)) + piece
        elif change == 6:
            return data[:at]
        elif change == 7:
            start = chance.randrange(len(data) + 1)
            piece = data[start : start + chance.choice((10, 1_000, 50_000))]
        else:
            piece = json.dumps(chance.choice(ODD)).encode("ascii")
        data = data[:at] + piece + data[end:]
    return data


def packed(data: bytes, chance: Random) -> bytes:
    """Sometimes gzip, sometimes damaged gzip, mostly as it is."""
    what = chance.randrange(20)
    if what > 2:
        return data
    found = gzip.compress(data, 1, mtime=0)
    if what == 1:
        found = found[: chance.randrange(len(found))]
    if what == 2:
        found = of_bytes(found, chance)
    return found


# --- JSON --------------------------------------------------------------------------------------------


def _places(found: Json) -> list[tuple[Any, Any]]:
    """Every container and key in a value."""
    places: list[tuple[Any, Any]] = []
    waiting = [found]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            places.append((one, key))
            waiting.append(one[key])
    return places


def of_json(found: Json, chance: Random) -> Json:
    """Some values of a document replaced, removed, renamed, repeated, wrapped or exchanged."""
    for _ in range(chance.choice((1, 1, 1, 2, 5, 30))):
        places = _places(found)
        if not places:
            return chance.choice(ODD)
        _change(*chance.choice(places), places, chance)
    return found


def _change(holder: Any, key: Any, places: list[tuple[Any, Any]], chance: Random) -> None:
    value, change = holder[key], chance.randrange(9)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, dict):
        holder[chance.choice((*holder, *_TEXTS))] = holder.pop(key)
    elif change == 2:
        holder[key] = chance.choice(([value], {"a": value}, [value, value]))
    elif change == 3 and isinstance(value, list) and value:
        holder[key] = value * chance.choice((2, 5))
    elif change == 4 and isinstance(value, list):
        chance.shuffle(value)
    elif change == 5:
        other, its = chance.choice(places)
        if isinstance(other, dict) or its < len(other):
            try:
                holder[key] = copy.deepcopy(other[its])
            except KeyError:
                pass
    elif change == 6:
        holder[key] = str(value) if not isinstance(value, str) else len(value)
    else:
        holder[key] = copy.deepcopy(chance.choice(ODD))


# --- meaning -----------------------------------------------------------------------------------------


def of_meaning(messages: list[Json], chance: Random) -> None:
    """Spans that are well formed and say what no call says."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        spans = corpus.spans(messages)
        if spans:
            before = len(spans)
            chance.choice(_MEANINGS)(spans, chance)
            if spans[before:]:
                messages[-1]["resourceSpans"][-1]["scopeSpans"][-1]["spans"] += spans[before:]


def _pair(span: Json, chance: Random) -> Json:
    return chance.choice(span.setdefault("attributes", []) or [{"key": "", "value": {}}])


def _value(chance: Random) -> Json:
    plain = chance.choice(ODD)
    kind = chance.choice(("stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "any"))
    if kind == "arrayValue":
        return {kind: {"values": [_value(chance) for _ in range(chance.randrange(3))]}}
    return plain if kind == "any" else {kind: plain}


def _odd_attribute(spans: list[Json], chance: Random) -> None:
    _pair(chance.choice(spans), chance)["value"] = _value(chance)


def _known_attribute(spans: list[Json], chance: Random) -> None:
    name = chance.choice(tuple(attr.REGISTRY))
    chance.choice(spans).setdefault("attributes", []).append({"key": name, "value": _value(chance)})


def _one_attribute_everywhere(spans: list[Json], chance: Random) -> None:
    name, value = _pair(chance.choice(spans), chance)["key"], _value(chance)
    for span in spans:
        for pair in span.get("attributes") or ():
            if pair["key"] == name:
                pair["value"] = copy.deepcopy(value)


def _no_attribute(spans: list[Json], chance: Random) -> None:
    name = _pair(chance.choice(spans), chance)["key"]
    for span in spans:
        span["attributes"] = [pair for pair in span.get("attributes") or () if pair["key"] != name]


def _kind(spans: list[Json], chance: Random) -> None:
    for pair in chance.choice(spans).get("attributes") or ():
        if pair["key"] == attr.KIND:
            pair["value"] = {"stringValue": chance.choice(tuple(attr.SPAN_KINDS))}


def _time(spans: list[Json], chance: Random) -> None:
    times = (0, 1, -1, 2**63 - 1, 2**63, 2**62, 10**18, "", None, 1.5, 1e300, float("nan"))
    span = chance.choice(spans)
    for name in ("startTimeUnixNano", "endTimeUnixNano"):
        if chance.randrange(2):
            moved = chance.randrange(-(10**11), 10**11)
            span[name] = chance.choice((*times, str(int(span.get(name) or 0) + moved) if _is_time(span, name) else "0"))


def _is_time(span: Json, name: str) -> bool:
    return str(span.get(name)).isdigit()


def _ids(spans: list[Json], chance: Random) -> None:
    one, other = chance.choice(spans), chance.choice(spans)
    name = chance.choice(("spanId", "parentSpanId", "traceId"))
    one[name] = chance.choice((other.get("spanId"), one.get("spanId"), other.get("traceId"), "", "0" * 16, "G" * 16))


def _circle(spans: list[Json], chance: Random) -> None:
    some = chance.sample(spans, min(len(spans), 3))
    for one, other in zip(some, [*some[1:], some[0]], strict=True):
        one["parentSpanId"] = other.get("spanId")


def _fewer(spans: list[Json], chance: Random) -> None:
    for span in spans:
        if chance.random() < 0.3:
            span.clear()


def _again(spans: list[Json], chance: Random) -> None:
    """The same spans many times, with ids of their own."""
    span = chance.choice(spans)
    for at, other in enumerate(chance.sample(spans, min(len(spans), 30))):
        other.update(copy.deepcopy(span) | {"spanId": format(at + 1, "016x")})


def _masked(spans: list[Json], chance: Random) -> None:
    name = chance.choice((attr.SESSION_ID, attr.BACKEND_SESSION_ID, attr.KIND, attr.SPEECH_ID))
    mask = chance.choice(("****", "[Scrubbed due to 'session']", "<redacted>", ""))
    for span in spans:
        for pair in span.get("attributes") or ():
            if pair["key"] == name and chance.random() < 0.9:
                pair["value"] = {"stringValue": mask}


def _cut(spans: list[Json], chance: Random) -> None:
    """What a store does that keeps so many characters, or text only."""
    limit = chance.choice((5, 64, 200, 1_000))
    for span in spans:
        for pair in span.get("attributes") or ():
            value = pair["value"]
            if isinstance(value, dict) and len(value) == 1:
                [(kind, one)] = value.items()
                if kind == "stringValue" and isinstance(one, str):
                    value[kind] = one[:limit]
                elif limit == 5:
                    pair["value"] = {"stringValue": json.dumps(one)}


def _large(spans: list[Json], chance: Random) -> None:
    """One value of megabytes, or many spans: memory must follow."""
    if chance.randrange(2):
        text = chance.choice(("x", "é", "\ud83d", "[", '"', "\x1b", " x", "\n", "=")) * chance.choice((10**5, 10**6))
        _pair(chance.choice(spans), chance)["value"] = {"stringValue": text}
        return
    for at in range(chance.choice((500, 3_000))):
        spans.append(copy.deepcopy(chance.choice(spans[:50])) | {"spanId": format(at + 1, "016x")})


# --- the journal


def _pieces(spans: list[Json]) -> list[Json]:
    return [
        pair
        for span in spans
        for pair in span.get("attributes") or ()
        if "journal" in str(pair["key"]) and isinstance(pair["value"], dict) and _is_piece(pair["value"])
    ]


def _is_piece(value: dict[str, Any]) -> bool:
    text = value.get("stringValue")
    return isinstance(text, str) and text.partition("|")[0].count(".") == 3


def _journal_place(spans: list[Json], chance: Random) -> None:
    """A piece that claims another batch, part, number of parts or length."""
    pieces = _pieces(spans)
    if pieces:
        value = chance.choice(pieces)["value"]
        place, _, payload = value["stringValue"].partition("|")
        numbers = place.split(".")
        numbers[chance.randrange(4)] = str(chance.choice((0, 1, 2, 99_999, 999_999, 10**9, -1, "", "x", "1_0", "٣")))
        value["stringValue"] = ".".join(numbers) + "|" + payload


def _journal_entries(spans: list[Json], chance: Random) -> None:
    """Entries that say something else, in a piece of the right length."""
    whole = [pair["value"] for pair in _pieces(spans) if _PLACE.match(pair["value"]["stringValue"])]
    if not whole:
        return
    value = chance.choice(whole)
    place, _, payload = value["stringValue"].partition("|")
    try:
        entries = json.loads(payload)
    except ValueError:
        return
    if not isinstance(entries, list):
        return
    if chance.randrange(3) == 0:
        entries.append(copy.deepcopy(chance.choice(ENTRIES)))
    elif chance.randrange(6) == 0:
        entries *= chance.choice((2, 30, 300))
    else:
        entries = of_json(entries, chance)
    payload = corpus.raw_numbers(json.dumps(entries, ensure_ascii=bool(chance.randrange(2))))
    batch = place.split(".")[0]
    value["stringValue"] = f"{batch}.0.1.{len(payload.encode('utf-8', 'surrogatepass'))}|{payload}"


_MEANINGS: tuple[Callable[[list[Json], Random], None], ...] = (
    _odd_attribute, _odd_attribute, _known_attribute, _known_attribute, _one_attribute_everywhere, _no_attribute, _kind,
    _time, _ids, _circle, _large, _fewer, _again, _masked, _cut, _journal_place, _journal_entries, _journal_entries,
    _journal_entries,
)  # fmt: skip


def of_trace(name: str, chance: Random) -> bytes:
    """A stored export, damaged in one of the three ways."""
    way = chance.randrange(4)
    if way == 0:
        return packed(of_bytes(corpus.data(name), chance), chance)
    messages = corpus.messages(name)
    if way == 1:
        at = chance.randrange(len(messages))
        messages[at] = of_json(messages[at], chance)
    else:
        of_meaning(messages, chance)
    return packed(corpus.encode(messages), chance)


def of_document(data: bytes, chance: Random) -> bytes:
    """A JSON document, damaged in its bytes or in its values."""
    if chance.randrange(3) == 0:
        return packed(of_bytes(data, chance), chance)
    return packed(
        corpus.raw_numbers(json.dumps(of_json(json.loads(data), chance))).encode("utf-8", "surrogatepass"), chance
    )
