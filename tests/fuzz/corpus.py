"""What is damaged: exports that the repository keeps, as lines of OTLP JSON and as spans."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
SEEDS = Path(__file__).parent / "seeds"
_SUFFIX = ".jsonl.gz"

Json = Any


@cache
def names() -> tuple[str, ...]:
    """The stored exports."""
    golden = sorted(path.name.removesuffix(_SUFFIX) for path in (TESTS / "data" / "golden").glob(f"*{_SUFFIX}"))
    return (*golden, "demo", "scrubbed")


@cache
def data(name: str) -> bytes:
    """A stored export, uncompressed."""
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
