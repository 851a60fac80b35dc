"""Whole calls, told turn by turn: the tables were written from the scripts."""

from __future__ import annotations

import pytest

from .kit.story import Line, story
from .kit.trace import record
from .kit.turn_checker import check_turns

DONE = "completed"

STORIES: dict[str, list[Line]] = {
    # the tool waits for the user: its turn is over with the question, and the answer's turn gets its result
    "task_after_a_reply_made_ahead": [
        ("register me", "What is your name?", DONE, 0.4),
        ("", "Are you still there?", DONE, None),
        ("Ada", "You are in.", DONE, 0.6),
    ],
    # what on_enter does once its task is answered is the answer
    "tasks_in_on_enter": [
        ("", "Who are you?", DONE, None),
        ("I am Ada", "Where do you live?", DONE, 0.4),
        ("in Lima", "Goodbye then.", DONE, 0.8),
    ],
    "tool_in_the_background_asks": [
        ("order it", "One moment. Which colour?", DONE, 0.6),
        ("blue", "It is on its way.", DONE, 5.6),
    ],
    # the tool is over a moment after the user took the floor: it outlives its turn, and the checker wants that said
    "tool_that_gives_up": [
        ("search it", "", "interrupted", None),
        ("never mind", "Here you are, kanarienvogel.", DONE, 0.68),
    ],
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("name", STORIES)
def test_turns_are_told_as_they_happened(name: str, native: bool) -> None:
    """Each turn has its own words, its own answer, why it ended, and how long the user waited for it."""
    trace = record(name, native_spans=native)
    assert story(trace) == STORIES[name]
    check_turns(trace.pipeline)
