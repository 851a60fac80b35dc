"""Bounds of what tracing costs a call."""

from __future__ import annotations

import pytest

from tests.benchmarks import bench_overhead


@pytest.mark.benchmark
def test_the_plugin_stays_near_native_tracing() -> None:
    """On a spoken call the plugin adds less than twice what LiveKit's own tracing adds, and both stay near native.

    A third of what native adds goes to the SDK for making the plugin's spans at all (the configuration ``sdk``).
    """
    ratios = bench_overhead.main()
    assert ratios["plugin adds / native adds"] <= 2.0
    assert ratios["both / native"] <= 1.5


@pytest.mark.benchmark
def test_a_turn_costs_the_same_late_in_a_call() -> None:
    """What the plugin adds to a turn does not grow with the length of the call."""
    growth = bench_overhead.growth()
    print("late / early:", round(growth, 2))
    assert growth <= 1.5
