"""What is damaged: exports and reports that the repository keeps, as lines of OTLP JSON, as spans, as documents."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import livekit_otel

TESTS = Path(__file__).parent.parent
SEEDS = Path(__file__).parent / "seeds"
_NATIVE = TESTS / "data" / "native"
_SUFFIX = ".jsonl.gz"

Json = Any


@cache
def names() -> tuple[str, ...]:
    """The stored exports."""
    golden = sorted(path.name.removesuffix(_SUFFIX) for path in (TESTS / "data" / "golden").glob(f"*{_SUFFIX}"))
    return (*golden, "demo", "scrubbed")


@cache
def natives() -> tuple[str, ...]:
    """The calls of LiveKit's own spans, of all releases."""
    releases = sorted(path.name.removesuffix(_SUFFIX) for path in _NATIVE.glob(f"*{_SUFFIX}"))
    return tuple(
        f"native {release} {at}"
        for release in releases
        if not release.startswith("reports-")
        for at in range(len(_lines(release)))
    )


@cache
def _lines(release: str) -> list[bytes]:
    return gzip.decompress((_NATIVE / f"{release}{_SUFFIX}").read_bytes()).splitlines()


@cache
def documents() -> tuple[bytes, ...]:
    """LiveKit's own reports as files, of Python and of Node.js."""
    python = [
        _report_of(name) for name in ("one_tool", "handoff", "barge_in", "failing_tools", "realtime_conversation")
    ]
    node = [json.dumps(one).encode() for line in _lines("reports-node-1.9.0") for one in json.loads(line)["reports"]]
    return (*python, *node)


def _report_of(name: str) -> bytes:
    report = livekit_otel.build_report(livekit_otel.read_spans(TESTS / "data" / "golden" / f"{name}{_SUFFIX}"))
    return json.dumps(report.to_dict()).encode()


@cache
def data(name: str) -> bytes:
    """A stored export, uncompressed."""
    if name.startswith("native "):
        _, release, at = name.split()
        return _lines(release)[int(at)] + b"\n"
    if name == "scrubbed":
        return (TESTS / "fixtures" / "logfire_scrubbed.jsonl").read_bytes()
    path = TESTS / "data" / "demo-trace.jsonl.gz" if name == "demo" else TESTS / "data" / "golden" / f"{name}{_SUFFIX}"
    return gzip.decompress(path.read_bytes())


def messages(name: str) -> list[Json]:
    """Its messages, new ones at each call."""
    return [json.loads(line) for line in data(name).splitlines() if line.strip()]


def spans(found: Json) -> list[dict[str, Json]]:
    """The spans of messages."""
    return [
        span
        for message in found
        for part in message["resourceSpans"]
        for scope in part["scopeSpans"]
        for span in scope["spans"]
    ]


def encode(found: list[Json]) -> bytes:
    """Messages as lines; numbers that JSON does not have as Python writes them."""
    return b"".join(raw_numbers(json.dumps(one)).encode("utf-8", "surrogatepass") + b"\n" for one in found)


def raw_numbers(text: str) -> str:
    """Numbers that no Python value is written as stand in the text as ``"@@1e999@@"``."""
    return text.replace('"@@', "").replace('@@"', "") if "@@" in text else text
