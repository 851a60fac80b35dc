"""Memory follows the longest record and the calls that go on at the same time, not the length of what is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import report_kit as kit

ROOT = Path(__file__).parent.parent
#: CI reads 200 MB, by hand 1,000 and more
MEGABYTES = int(os.environ.get("LIVEKIT_OTEL_MEGABYTES", "200"))
LIMIT = 150 << 20
_BATCH = 512
_CONCURRENT = 20
#: ru_maxrss would count what the process was forked from, too
_SESSIONS = """
import re, sys
from pathlib import Path
from livekit_otel.cli import main
code = main(["sessions", "-", "-f", "json"])
print("PEAK", re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the most memory that a process had")


def _messages(size: int) -> Iterator[str]:
    """Lines of a collector's file, as many bytes: calls of 25 turns, twenty at a time, made while they are read."""
    template = kit.call("T-00000000", turns=25)
    texts = [json.dumps(kit.otlp(span), separators=(",", ":")) for span in template.spans]
    before, after = json.dumps(kit.document([]), separators=(",", ":")).split('"spans":[')
    first, written, batch = 0, 0, list[str]()
    while written < size:
        calls = [_call(texts, template, number) for number in range(first, first + _CONCURRENT)]
        first += _CONCURRENT
        for at in range(len(texts)):
            batch += [call[at] for call in calls]
            if len(batch) >= _BATCH:
                line = f'{before}"spans":[{",".join(batch)}{after}\n'
                written += len(line)
                batch = []
                yield line
    yield f'{before}"spans":[{",".join(batch)}{after}\n'


def _call(texts: list[str], template: kit.Call, number: int) -> list[str]:
    trace_id = template.spans[0]["trace_id"]
    own = (template.session_id, f"S-{number:08d}"), (trace_id, format(number + 1, "032x"))
    found = texts
    for old, new in own:
        found = [text.replace(old, new) for text in found]
    return found


def _read(lines: Iterator[str]) -> tuple[int, int, int]:
    """Sessions, complete ones, and the most memory that ``sessions`` took for what it is given through a pipe."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SESSIONS],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    for line in lines:
        process.stdin.write(line)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    rows = json.loads(out)
    peak = int(err.partition("PEAK")[2])
    return len(rows), sum(row["complete"] for row in rows), peak * 1024


@pytest.mark.slow
def test_a_long_file_of_normal_spans() -> None:
    """Hundreds of megabytes of calls, through a pipe, are listed in under 150 MB, and each of them is whole."""
    sessions, whole, peak = _read(_messages(MEGABYTES << 20))
    assert sessions > MEGABYTES * 3
    assert sessions - whole <= _CONCURRENT
    assert peak < LIMIT, f"{peak >> 20} MB"


def test_memory_does_not_follow_the_length() -> None:
    """Twice the calls take the same memory."""
    peaks = [_read(_messages(size << 20))[2] for size in (8, 24)]
    assert peaks[1] < peaks[0] + (12 << 20), [peak >> 20 for peak in peaks]


@pytest.mark.parametrize("megabytes", [8, 24])
def test_memory_follows_the_longest_record(megabytes: int) -> None:
    """One record of megabytes takes at most four times as much, besides what any reading takes."""
    call = kit.call("S-one", turns=1)
    call.spans[-1]["attributes"]["somebody.elses"] = "x" * (megabytes << 20)
    peak = _read(iter(kit.lines(call.spans)))[2]
    assert peak < (60 + 4 * megabytes) << 20, f"{peak >> 20} MB"
