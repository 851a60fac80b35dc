"""A job's tags, outcome and judges' verdicts from LiveKit (``JobContext.tagger``), as of the end of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import attributes as attr
from ..containment import contained
from ..journal import Attributes
from ..redaction import kinds
from .scope import SessionScope
from .values import clip

if TYPE_CHECKING:
    from livekit.agents import JobContext

__all__ = ["tagger_attributes", "tagger_state"]


def tagger_state(job: JobContext | None) -> dict[str, Any] | None:
    """Return the complete state of the job's tagger; None without a job, or if nothing was tagged.

    A tag's metadata and time have no public name; if they are gone, the tags are still recorded.
    """
    if job is None:
        return None
    tagger = job.tagger
    entries = getattr(tagger, "_tags", {})
    state = {
        "outcome": tagger.outcome,
        "outcome_reason": tagger.outcome_reason,
        "tags": [
            {
                "tag": tag,
                "metadata": getattr(entries.get(tag), "metadata", None),
                "timestamp": getattr(entries.get(tag), "timestamp", None),
            }
            for tag in sorted(tagger.tags)
        ],
        "evaluations": tagger.evaluations,
    }
    return state if any(state.values()) else None


def tagger_attributes(scope: SessionScope, job: JobContext | None) -> Attributes:
    """Return the attributes: the outcome and, if content may be recorded, its reason and as many tags as fit."""
    said: Attributes = {}
    with contained("session.tagger"):
        if job is None:
            return said
        if job.tagger.outcome:
            said[attr.SESSION_OUTCOME] = job.tagger.outcome
        if not scope.content:
            return said
        if reason := job.tagger.outcome_reason:
            said[attr.SESSION_OUTCOME_REASON] = clip(scope.redacted(reason, kinds.OTHER))
        room = attr.PIECE_BYTES
        tags: list[str] = []
        for tag in sorted(job.tagger.tags):
            shown = clip(scope.redacted(tag, kinds.OTHER))
            room -= len(shown.encode())
            if room < 0:
                break
            tags.append(shown)
        if tags:
            said[attr.SESSION_TAGS] = tuple(tags)
    return said
