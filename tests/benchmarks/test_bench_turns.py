"""Bounds of what deriving turns costs."""

from __future__ import annotations

import pytest

from livekit_otel import attributes as attr
from livekit_otel.turns.stats import EXACT

from . import bench_turns as bench

pytestmark = pytest.mark.benchmark


def test_cost_of_a_turn_and_of_a_long_call(capsys: pytest.CaptureFixture[str]) -> None:
    """A turn costs less than 20 SDK spans; a call of 10,000 turns gets neither slower nor larger."""
    result = bench.measure()
    with capsys.disabled():
        print("\n" + bench.show(result))
    assert result.derive_plain < 20
    assert result.derive_tools < 20
    assert result.processor_plain < 20
    assert result.last_turns < 1.5 * result.first_turns
    # the numbers that exact percentiles keep, no more
    assert result.grown < EXACT * 8 * len(attr.SUMMARY_LATENCIES) * 1.5
