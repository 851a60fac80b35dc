"""Bounds of the rate and the memory with which native spans are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import bench_native as bench
from . import bench_reading

pytestmark = pytest.mark.benchmark


def test_native_spans_are_read_half_as_fast_at_least(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reports of native spans take at most twice the time of the pipeline's, span for span, and memory is bounded."""
    native, small, pipeline = (tmp_path / f"{name}.jsonl" for name in ("native", "small", "pipeline"))
    spans, ours = bench.write_native(native, 200_000), bench_reading.write_trace(pipeline, 300)
    bench.write_native(small, 60_000)
    rates = {run: bench.rate(run, native, spans) / bench.rate(run, pipeline, ours) for run in RUNS}
    peak, small_peak = bench.peak_memory(native), bench.peak_memory(small)
    with capsys.disabled():
        found = ", ".join(f"{run.__name__} {rate:.2f}" for run, rate in rates.items())
        print(f"\n{spans:,} native spans, times the pipeline's rate: {found}; peak {peak:.0f} MB, {small_peak:.0f} MB")
    assert min(rates.values()) >= 0.5
    assert peak < small_peak + 40


RUNS = (bench.rebuild, bench.rebuild_turns)
