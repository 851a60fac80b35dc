"""Bounds of what tracing costs a session, with room for a noisy machine."""

from __future__ import annotations

import pytest

from tests.benchmarks import bench_overhead


@pytest.mark.benchmark
@pytest.mark.parametrize(("shape", "bound"), [("spoken", 1.8), ("typed", 1.0)])
def test_the_plugin_stays_near_native_tracing(shape: str, bound: float) -> None:
    """The plugin adds about what LiveKit's own tracing adds to a spoken call and less to a typed one; both stay near
    native. On a spoken call the SDK alone, making the plugin's spans, costs 0.4 of what native adds (``sdk``)."""
    ratios = bench_overhead.main(shape)
    assert ratios["plugin adds / native adds"] <= bound
    assert ratios["both / native"] <= 1.4


@pytest.mark.benchmark
def test_a_turn_costs_the_same_late_in_a_call() -> None:
    """What the plugin adds to a turn does not grow with the length of the call."""
    growth = bench_overhead.growth()
    print("late / early:", round(growth, 2))
    assert growth <= 1.5
