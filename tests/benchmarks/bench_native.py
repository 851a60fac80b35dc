"""Reading native spans, against reading pipeline spans: spans a second from file to reports.

    python tests/benchmarks/bench_native.py [--spans 1000000]

Prints both rates (best of several runs each) and the peak memory of a process that reads the native ones.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from livekit_otel.readers import read_spans
from livekit_otel.report import build_reports
from tests.benchmarks import bench_reading

RECORDING = Path(__file__).resolve().parents[1] / "data" / "native" / "python-1.8.9.jsonl.gz"
#: calls that one export of a process holds parts of
_CONCURRENT = 20


def write_native(path: Path, spans: int) -> int:
    """A collector's file of so many native spans at least: recorded calls over and over, 20 at a time, each with
    ids of its own; returns how many there are."""
    calls = list(_calls())
    before, after = _around()
    count, copies = 0, 0
    with path.open("w") as file:
        while count < spans:
            batch = []
            for at in range(copies, copies + _CONCURRENT):
                trace, texts = calls[at % len(calls)]
                batch.append([text.replace(trace, f"{at:032x}") for text in texts])
            copies += _CONCURRENT
            for at in range(0, max(map(len, batch)), 5):
                part = [text for texts in batch for text in texts[at : at + 5]]
                file.write(f"{before}{','.join(part)}{after}\n")
                count += len(part)
    return count


def _calls() -> Iterator[tuple[str, list[str]]]:
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        for line in lines:
            found: dict[str, list[str]] = {}
            for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]:
                found.setdefault(span["traceId"], []).append(json.dumps(span, separators=(",", ":")))
            yield from found.items()


def _around() -> tuple[str, str]:
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        resource = json.loads(next(lines))["resourceSpans"][0]
    resource["scopeSpans"][0]["spans"] = []
    before, after = json.dumps({"resourceSpans": [resource]}, separators=(",", ":")).split('"spans":[')
    return f'{before}"spans":[', after


def rebuild(path: Path) -> int:
    """Every report in LiveKit's shape."""
    return sum(1 for report in build_reports(read_spans(path)) if report.to_dict()["chat_history"])


def rebuild_turns(path: Path) -> int:
    """The same with the latencies of its turns."""
    return sum(len([turn.latency for turn in report.turns]) for report in build_reports(read_spans(path)))


def rate(run: Callable[[Path], int], path: Path, spans: int, rounds: int = 3) -> float:
    """Spans a second of the process's own time: other work of the machine is none of it."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run(path)
        times.append(time.process_time() - start)
    return spans / min(times)


def peak_memory(path: Path) -> float:
    """MB of a process that reads the native spans."""
    done = subprocess.run([sys.executable, __file__, "--child", path], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--child", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        rebuild(arguments.child)
        print(bench_reading.own_peak())
        return
    with tempfile.TemporaryDirectory() as folder:
        native, pipeline = Path(folder) / "native.jsonl", Path(folder) / "pipeline.jsonl"
        spans, ours = write_native(native, arguments.spans), bench_reading.write_trace(pipeline, 1_000)
        for name, run in {"reports": rebuild, "reports and turns": rebuild_turns}.items():
            one, two = rate(run, native, spans, 1), rate(run, pipeline, ours, 1)
            print(f"{spans:,} native spans, {name}: {one:,.0f} a second, {one / two:.2f} times the pipeline's")
        print(f"peak {peak_memory(native):.0f} MB")


if __name__ == "__main__":
    main()
