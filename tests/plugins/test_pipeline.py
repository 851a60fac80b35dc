"""Real pipeline plugins on loopback servers: every call is held against the servers' own log."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from .conftest import MODES, REQUIRED

if not os.environ.get(REQUIRED):
    pytest.importorskip("livekit.plugins.silero", reason=".ci/plugins installs tests/plugins/requirements.txt")


from .acceptance import faults_of
from .calls import BY_NAME
from .outcome import Outcome, shown

pytestmark = pytest.mark.plugins

each_mode = pytest.mark.parametrize("mode", MODES)


@each_mode
@pytest.mark.parametrize("name", BY_NAME)
def test_every_call_is_true(outcome_of: Callable[[str, str], Outcome], name: str, mode: str) -> None:
    """Turns hold, the report is LiveKit's, and waits, first tokens, first bytes and speech are the log's."""
    outcome = outcome_of(name, mode)
    found = faults_of(outcome, BY_NAME[name].setup)
    assert not found, "\n".join([*found, shown(outcome)])


@each_mode
def test_hardly_any_wait_is_unexplained(outcomes_of_all: Callable[[str], dict[str, Outcome]], mode: str) -> None:
    """Less than 3 % of all silence belongs to no stage, but for what other processes on the machine took."""
    found = [outcome.silence() for outcome in outcomes_of_all(mode).values()]
    assert sum(unexplained for _, unexplained in found) < 0.03 * sum(whole for whole, _ in found)
