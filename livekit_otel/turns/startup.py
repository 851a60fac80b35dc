"""From dispatch to the first word, as a session's spans say it. Pure; any order will do."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, flag, number

__all__ = ["Startup", "startup_of"]


class Startup(msgspec.Struct, frozen=True):
    """How a session came to its first word.

    Attributes:
        total: seconds from the dispatch (else from the earliest moment that is known) to the agent's first audio; None
            where nothing was heard.
        stages: seconds by stage, in order, without those that are unknown; with a total they sum to it.
        user_first: the first audio was an answer to the user, so the last stage has the user's words in it; None where
            nothing was heard.
    """

    total: float | None
    stages: dict[str, float]
    user_first: bool | None


def startup_of(records: Iterable[SpanRecord]) -> Startup | None:
    """The session's start-up: of its own span, else what was known when the session began; None without either."""
    found: dict[str, SpanRecord] = {}
    for record in records:
        if record.kind in (attr.KIND_SESSION_STARTUP, attr.KIND_SESSION_START):
            found.setdefault(record.kind, record)
    chosen = found.get(attr.KIND_SESSION_STARTUP) or found.get(attr.KIND_SESSION_START)
    if chosen is None:
        return None
    values = {stage: number(chosen.attributes, attr.startup(stage)) for stage in attr.STARTUP_STAGES}
    stages = {stage: value for stage, value in values.items() if value is not None}
    total = number(chosen.attributes, attr.STARTUP_TOTAL)
    heard = flag(chosen.attributes, attr.STARTUP_USER_FIRST) if total is not None else None
    return Startup(total, stages, heard) if stages or total is not None else None
