"""Whether the agent took the floor too early: the user had only paused, and spoke on."""

from __future__ import annotations

from ..spans import text
from .around import Around
from .stages import DECIDED_BY
from .wait import Wait

__all__ = ["AFTER_AUDIO", "is_false_cutoff"]

#: nanoseconds after the commit, and after the first audio, in which a user who speaks has not been answered yet
_AFTER_COMMIT, AFTER_AUDIO = 1_000_000_000, 500_000_000


def is_false_cutoff(wait: Wait, around: Around) -> bool:
    """Whether the user's next committed words followed an automatic commit so soon that they continue its words."""
    resumed, commit = around.until_ns, wait.commit_ns
    if resumed is None or commit is None or wait.eou is None or not around.spoken:
        return False
    if text(wait.eou.attributes, DECIDED_BY) == "manual" or not commit <= resumed <= commit + _AFTER_COMMIT:
        return False
    return wait.playback is None or resumed <= wait.playback.start_ns + AFTER_AUDIO
