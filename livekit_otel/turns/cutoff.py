"""Whether the agent started to answer too early: the user had only paused, and continued."""

from __future__ import annotations

from ..spans import text
from .around import Around
from .stages import DECIDED_BY
from .wait import Wait

__all__ = ["AFTER_AUDIO", "EXACT", "is_false_cutoff"]

#: nanoseconds after the commit, and after the first audio, within which a user who speaks continues the same turn
_AFTER_COMMIT, AFTER_AUDIO = 1_000_000_000, 500_000_000
#: nanoseconds; LiveKit's times are floats
EXACT = 1_000


def is_false_cutoff(wait: Wait, around: Around) -> bool:
    """Whether the user's next committed speech followed an automatic commit so soon that it continues that turn."""
    resumed, commit = around.until_ns, wait.commit_ns
    if resumed is None or commit is None or wait.eou is None or not around.spoken:
        return False
    if (
        text(wait.eou.attributes, DECIDED_BY) == "manual"
        or not commit - EXACT <= resumed <= commit + _AFTER_COMMIT + EXACT
    ):
        return False
    return wait.playback is None or resumed <= wait.playback.start_ns + AFTER_AUDIO + EXACT
