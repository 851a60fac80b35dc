"""Bounds of reading speed and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import bench_reading as bench

pytestmark = pytest.mark.benchmark


def test_reading_speed_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """200,000 spans are read and rebuilt in at most three times the time of decoding them, in less than 200 MB."""
    path, small = tmp_path / "trace.jsonl", tmp_path / "small.jsonl"
    spans = bench.write_trace(path, 1_000)
    bench.write_trace(small, 100)
    assert spans >= 200_000
    assert bench.rebuild(path) == 1_000
    base, taken = bench.best(bench.decode, path), bench.best(bench.rebuild, path)
    reports, peak = bench.peak_memory(path)
    _, small_peak = bench.peak_memory(small)
    with capsys.disabled():
        print(f"\n{spans:,} spans: {taken / base:.2f} times decoding ({base:.2f} s), peak {peak:.0f} MB", end=" ")
        print(f"({small_peak:.0f} MB for a tenth of them)")
    assert reports == 1_000
    assert taken / base <= 3
    assert peak < 200
    assert peak < small_peak + 20
