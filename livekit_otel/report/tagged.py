"""What a job was tagged with, read from the journal; from the report's own list of tags where that is all there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import attributes as attr
from ..journal import RestoredSession
from .values import plain

__all__ = ["Tagged", "tagged"]


class Tagged(NamedTuple):
    """A job's tags with their metadata, its outcome with the reason, and judges' verdicts."""

    tags: dict[str, dict[str, Any]]
    outcome: str | None
    outcome_reason: str
    evaluations: list[dict[str, Any]]


def tagged(restored: RestoredSession, head: Mapping[str, Any]) -> Tagged:
    """What a session's journal says of its job's tags."""
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
