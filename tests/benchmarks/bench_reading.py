"""Reading and rebuilding, against decoding the same lines into plain objects.

    python tests/benchmarks/bench_reading.py [--sessions 1000] [--concurrent 20]

Prints the ratio of times (best of several runs each) and the peak memory of a process that rebuilds every report.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from livekit_otel.readers import read_spans
from livekit_otel.report import build_reports
from tests import report_kit as kit

_TURNS = 25
_BATCH = 512


def write_trace(path: Path, sessions: int, concurrent: int = 20) -> int:
    """A collector's file of ``sessions`` calls, so many at a time; returns the number of spans."""
    templates = [kit.call(f"T-{number:08d}", turns=_TURNS) for number in range(5)]
    texts = [[json.dumps(kit.otlp(span), separators=(",", ":")) for span in call.spans] for call in templates]
    before, after = json.dumps(kit.document([]), separators=(",", ":")).split('"spans":[')
    count = 0
    with path.open("w") as file:
        batch: list[str] = []
        for first in range(0, sessions, concurrent):
            calls = [
                [text.replace(templates[n % 5].session_id, f"S-{n:08d}") for text in texts[n % 5]]
                for n in range(first, min(first + concurrent, sessions))
            ]
            for at in range(max(map(len, calls))):
                batch += [call[at] for call in calls if at < len(call)]
                if len(batch) >= _BATCH:
                    file.write(f'{before}"spans":[{",".join(batch[:_BATCH])}{after}\n')
                    count += _BATCH
                    batch = batch[_BATCH:]
        file.write(f'{before}"spans":[{",".join(batch)}{after}\n')
    return count + len(batch)


def decode(path: Path) -> int:
    """The measure: the same lines as plain objects."""
    decoder = msgspec.json.Decoder()
    with path.open("rb") as file:
        return sum(1 for line in file if decoder.decode(line))


def rebuild(path: Path) -> int:
    """Every report in LiveKit's shape."""
    return sum(1 for report in build_reports(read_spans(path)) if report.complete and report.to_dict()["events"])


def rebuild_turns(path: Path) -> int:
    """The same, and the turns."""
    return sum(1 for report in build_reports(read_spans(path)) if report.complete and report.turns)


def best(run: Callable[[Path], int], path: Path, rounds: int = 3) -> float:
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        run(path)
        found.append(time.perf_counter() - start)
    return min(found)


def peak_memory(path: Path) -> tuple[int, float]:
    """Number of complete reports, and the peak memory in MB, of a process that rebuilds them."""
    done = subprocess.run([sys.executable, __file__, "--child", path], capture_output=True, text=True, check=True)
    reports, peak = done.stdout.split()
    return int(reports), float(peak)


def own_peak() -> float:
    try:
        # unlike ru_maxrss not inherited from the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1024 / (1024 if sys.platform == "darwin" else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--concurrent", type=int, default=20)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(rebuild(options.child), own_peak())
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.jsonl")
        spans = write_trace(path, options.sessions, options.concurrent)
        print(f"{spans:,} spans of {options.sessions:,} sessions, {path.stat().st_size / 1e6:.0f} MB")
        base = best(decode, path)
        print(f"decode into plain objects  {base:6.2f} s")
        for name, run in {"read and rebuild": rebuild, "the same, and turns": rebuild_turns}.items():
            taken = best(run, path)
            print(f"{name:<26} {taken:6.2f} s  {taken / base:.2f} times")
        reports, peak = peak_memory(path)
        print(f"peak memory {peak:.0f} MB for {reports:,} complete reports")


if __name__ == "__main__":
    main()
