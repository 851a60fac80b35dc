"""The turns of every scripted call are whole: nothing outside, nothing twice, nothing over another."""

from __future__ import annotations

import pytest

from .kit.trace import every_name, open_names, record
from .kit.turn_checker import check_reports, check_turns


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("name", every_name())
def test_turns_are_whole(name: str, native: bool) -> None:
    """Stages lie inside their turns, words stand on one turn, and turns do not overlap, in both modes."""
    check_turns(record(name, native_spans=native).pipeline)


@pytest.mark.parametrize("name", open_names())
def test_every_message_has_one_turn(name: str) -> None:
    """No message of the user that LiveKit reports stands on more turns than it was said."""
    trace = record(name)
    check_reports(trace.pipeline, [outcome.report for outcome in trace.outcomes])
