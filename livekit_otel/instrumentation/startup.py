"""The start-up from dispatch to first audio: the times of a job and its session, and the stages between them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from . import livekit_job
from .clock import SessionClock
from .scope import SessionScope
from .values import now_ns

if TYPE_CHECKING:
    from livekit.agents import JobContext

__all__ = ["Startup", "connecting", "entered"]


class _Job:
    """When a job's entrypoint was called, and when the job connected to its room; unix nanoseconds."""

    def __init__(self) -> None:
        self.entered_ns: int | None = None
        self.connect_ns: int | None = None
        self.connected_ns: int | None = None
        #: whether a session's start-up has begun with this job
        self.has_session = False


_jobs: weakref.WeakKeyDictionary[JobContext, _Job] = weakref.WeakKeyDictionary()


def _of(job: JobContext) -> _Job:
    return _jobs.setdefault(job, _Job())


def entered(job: JobContext) -> None:
    """The job's entrypoint is about to be called."""
    _of(job).entered_ns = now_ns()


def connecting(job: JobContext, *, done: bool) -> None:
    """``connect()`` was called or, with ``done``, has connected; only the first call connects."""
    known = _of(job)
    if not done and known.connect_ns is None:
        known.connect_ns = now_ns()
    elif done and known.connected_ns is None:
        known.connected_ns = now_ns()


class Startup:
    """One session's start-up. A stage whose time is unknown is included in the next one.

    A job's first session starts up from the dispatch; the caller of a later one has been there for a while, and its
    start-up begins with ``start()``.
    """

    def __init__(self, job: JobContext | None, clock: SessionClock) -> None:
        self._clock = clock
        known = _of(job) if job is not None else None
        is_first = known is None or not known.has_session
        if known is not None:
            known.has_session = True
        self._job = known if is_first else None
        self._started_ns: int | None = None
        self._done = False
        #: stage -> its end, in order; the first entry is where the count begins
        self._moments: dict[str, int] = {}
        for stage, at in livekit_job.dispatch_times(job if is_first else None).items():
            self._add(stage, clock.at_ns(at))
        if self._job is not None and self._job.entered_ns is not None:
            self._add("job", clock.at_ns(self._job.entered_ns / 1e9))
        self._moments["setup"] = clock.started_ns

    def _add(self, stage: str, at_ns: int) -> None:
        """Add a time. One that is out of order comes from another clock or an earlier job, and counts as unknown."""
        if max(self._moments.values(), default=0) <= at_ns <= self._clock.started_ns:
            self._moments[stage] = at_ns

    def started(self, at_ns: int) -> None:
        """``AgentSession.start()`` returned."""
        self._started_ns = at_ns

    def so_far(self, until_ns: int, *, heard: bool = False) -> dict[str, AttributeValue]:
        """Return attributes of the stages that are over at ``until_ns``. ``heard``: so is the first audio."""
        moments = dict(self._moments)
        if self._started_ns is not None or heard:
            moments["session"] = min(until_ns, self._started_ns or until_ns)
        if heard:
            moments["first_audio"] = until_ns
        room = self._room(until_ns)
        (_, origin), *rest = moments.items()
        stages: dict[str, int] = {}
        before = origin
        for stage, at in rest:
            joined = max(0, min(at, room[1]) - max(before, room[0])) if room is not None else 0
            stages[stage] = at - before - joined
            if room is not None:
                stages["room"] = stages.get("room", 0) + joined
            before = at
        out: dict[str, AttributeValue] = {attr.startup(stage): length / 1e9 for stage, length in stages.items()}
        if heard:
            out[attr.STARTUP_TOTAL] = (until_ns - origin) / 1e9
        return out

    def _room(self, until_ns: int) -> tuple[int, int] | None:
        """Return when the job began and finished connecting to its room, which may be inside ``start()``."""
        if self._job is None or self._job.connect_ns is None or self._job.connected_ns is None:
            return None
        begin, end = (self._clock.at_ns(at / 1e9) for at in (self._job.connect_ns, self._job.connected_ns))
        return (begin, min(end, until_ns)) if begin < until_ns else None

    def first_audio(self, scope: SessionScope, at_ns: int, *, user_first: bool) -> None:
        """The agent is heard for the first time. ``user_first``: in answer to the user."""
        if not self._done:
            self._end(scope, at_ns, {**self.so_far(at_ns, heard=True), attr.STARTUP_USER_FIRST: user_first})

    def closed(self, scope: SessionScope, at_ns: int) -> None:
        """The session is over; without any audio, the start-up ends here."""
        if not self._done:
            self._end(scope, at_ns, self.so_far(at_ns))

    def _end(self, scope: SessionScope, at_ns: int, attributes: dict[str, AttributeValue]) -> None:
        self._done = True
        scope.spans.start(attr.KIND_SESSION_STARTUP, scope, self._clock.started_ns, attributes).end(at_ns)
