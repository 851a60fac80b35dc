"""Traces of schema 1 that are stored read to what they read to on the day they were stored."""

from __future__ import annotations

import pytest

from .golden import FOLDER, golden_names, read, stored_results

MAX_BYTES = 2_000_000


@pytest.mark.parametrize("name", golden_names())
def test_stored_traces_read_the_same(name: str) -> None:
    """A stored export gives the same report, turns and derived numbers as when it was recorded."""
    assert read(name) == stored_results()[name]


def test_every_session_is_stored() -> None:
    """Each scripted session has an export with and one without native spans, and what they read to."""
    kit = pytest.importorskip("tests.kit.trace")
    assert {f"{name}{suffix}" for name in kit.names() for suffix in ("", ".native")} <= set(golden_names())
    assert stored_results().keys() == set(golden_names())


def test_stored_traces_stay_small() -> None:
    """All stored exports together weigh less than two megabytes."""
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MAX_BYTES
