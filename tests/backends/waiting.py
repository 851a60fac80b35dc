"""What a test waits for: a whole call in Jaeger, the records in a folder of files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from . import calls
from .process import wait_until
from .servers import Jaeger


def in_jaeger(server: Jaeger, call: Sequence[ReadableSpan], seconds: float = 20) -> list[calls.Record]:
    """The call's records in Jaeger, duplicates included, once as many different spans are there as were sent."""
    trace = calls.trace_id(call)
    records: list[calls.Record] = []

    def complete() -> bool:
        records[:] = calls.from_jaeger(server.query, trace)
        return len({record["id"] for record in records}) >= len(call)

    wait_until(f"{len(call)} spans of {trace} in Jaeger", complete, seconds, every=0.1)
    return records


def in_files(folder: Path) -> list[calls.Record]:
    """Records of all OTLP JSON files in ``folder``."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return calls.by_id(record for line in lines for record in calls.from_otlp_json(json.loads(line)))
