"""Records the stored exports of the scripted sessions, or what they read to.

``python -m tests.record_golden traces`` plays sessions that have no stored export yet, and stores it. What is stored
stays: it stands for the traces that people have, written by the version of its day.

``python -m tests.record_golden results`` stores what all exports read to now. Do this only together with the change
that means them to read differently, and say in its commit which numbers changed and why.
"""

from __future__ import annotations

from tests.kit import clock

clock.install()

import gzip  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import uuid  # noqa: E402
from unittest.mock import patch  # noqa: E402

from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: E402
from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: E402

from tests.golden import FOLDER, RESULTS, SUFFIX, golden_names, read  # noqa: E402
from tests.kit.trace import names, trace_scenario  # noqa: E402

RESOURCE = Resource({"service.name": "golden", "service.version": "1", "telemetry.sdk.language": "python"})


class Ids(IdGenerator):
    """The same ids in the same order, for each name."""

    def __init__(self, name: str) -> None:
        self._random = random.Random(f"ids/{name}")

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1


def export(scenario: str, *, native: bool) -> str:
    """What the file exporter writes of a scripted session: the same each time, but for times off the real clock."""
    seeded = random.Random(f"uuids/{scenario}/{native}")

    def uuid4() -> uuid.UUID:
        return uuid.UUID(int=seeded.getrandbits(128), version=4)

    provider = TracerProvider(
        id_generator=Ids(f"{scenario}/{native}"), resource=RESOURCE, sampler=ALWAYS_ON, shutdown_on_exit=False
    )
    with patch.object(uuid, "uuid4", uuid4):
        return trace_scenario(scenario, provider, native_spans=native, options={}).text


def _write(path: str, text: str) -> None:
    (FOLDER / path).write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def record_traces() -> None:
    """Store an export of each session, with and without native spans, that has none."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    known = set(golden_names())
    for scenario in names():
        for native in (False, True):
            name = f"{scenario}.native" if native else scenario
            if name not in known:
                _write(name + SUFFIX, export(scenario, native=native))
                print("recorded", name)


def record_results() -> None:
    """Store what each export reads to now."""
    found = {name: read(name) for name in golden_names()}
    _write(RESULTS.name, json.dumps(found, separators=(",", ":"), allow_nan=False))
    print("stored the results of", len(found), "exports")


if __name__ == "__main__":
    for what in sys.argv[1:] or [""]:
        {"traces": record_traces, "results": record_results}.get(what, lambda: sys.exit(__doc__))()
