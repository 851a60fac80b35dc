"""Reads the tags of a job from the journal, or from the report's own list of tags if the journal has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import attributes as attr
from ..journal import RestoredSession
from .values import plain

__all__ = ["Tagged", "tagged"]


class Tagged(NamedTuple):
    """A job's tags with their metadata, its outcome with the reason, and the verdicts of judges."""

    tags: dict[str, dict[str, Any]]
    outcome: str | None
    outcome_reason: str
    evaluations: list[dict[str, Any]]


def tagged(restored: RestoredSession, head: Mapping[str, Any]) -> Tagged:
    """The tags of a session's job, from its journal."""
    state = restored.tagger or {}
    tags: dict[str, dict[str, Any]] = {}
    for one in _objects(state.get("tags")):
        if name := plain(one.get("tag")):
            metadata = one.get("metadata")
            tags[name] = metadata if isinstance(metadata, dict) else {}
    if not state:
        listed = head.get("tags")
        tags = {name: {} for one in (listed if isinstance(listed, list) else ()) if (name := plain(one))}
    named = (attr.OUTCOME_TAGS[tag] for tag in tags if tag in attr.OUTCOME_TAGS)
    outcome = plain(state.get("outcome")) or next(named, None)
    return Tagged(tags, outcome, plain(state.get("outcome_reason")), _objects(state.get("evaluations")))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
