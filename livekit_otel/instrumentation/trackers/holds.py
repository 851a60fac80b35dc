"""What delays the playout of a speech in LiveKit: a detection, another speech, or the user's voice."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..scope import SessionScope

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle

__all__ = ["Holds"]

_MAX_SPEECHES = 64
#: LiveKit continues within this time after the awaited event
_AT_ONCE_NS = 50_000_000
_AMD, _SPEECH, _USER = "amd", "speech", "user"


class Holds:
    """The waits of one session outside of any stage: a speech is ready, but may not be played yet."""

    def __init__(self, scope: SessionScope) -> None:
        self._scope = scope
        self._detecting = False
        #: when the latest wait for each reason ended
        self._over: dict[str, int] = {}
        #: the speech that was played last
        self._said: str | None = None
        #: since when each speech may wait: since its creation, or since a preemptively generated speech was used
        self._since: OrderedDict[str, int] = OrderedDict()
        #: the reason why each speech had to wait, and the end of the wait
        self._held: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def detection(self, *, running: bool) -> None:
        """Answering machine detection begins or is over; repeated calls are allowed."""
        if self._detecting and not running:
            self._over[_AMD] = self._scope.now_ns()
        self._detecting = running

    def playback_over(self, speech_id: str | None) -> None:
        """The current playout is over."""
        self._over[_SPEECH], self._said = self._scope.now_ns(), speech_id

    def played(self, speech_id: str) -> int | None:
        """Return when the latest playout of this speech ended; None if another was played since, or none yet."""
        return self._over.get(_SPEECH) if self._said == speech_id else None

    def user_silent(self) -> None:
        """The user has stopped speaking."""
        self._over[_USER] = self._scope.now_ns()

    def speech_waits(self, speech_id: str) -> None:
        """A speech was created, or a preemptively generated speech is used."""
        self._since[speech_id] = self._scope.now_ns()
        while len(self._since) > _MAX_SPEECHES:
            self._since.popitem(last=False)

    def released(self, handle: SpeechHandle) -> None:
        """LiveKit has authorized this speech for playout: it waits for nothing more."""
        now = self._scope.now_ns()
        since = max(self._since.get(handle.id, now), now - _AT_ONCE_NS)
        waited = [(at, why) for why, at in self._over.items() if at > since]
        waited = [one for one in waited if one[1] != _SPEECH or self._said != handle.id]
        self._since[handle.id] = now
        if waited and not handle.interrupted:
            self._held[handle.id] = max(waited)[1], now
            while len(self._held) > _MAX_SPEECHES:
                self._held.popitem(last=False)

    def attributes(self, speech_id: str, start_ns: int) -> dict[str, AttributeValue]:
        """Return attributes of the wait for a speech's first playout, which begins now."""
        held = self._held.pop(speech_id, None)
        if held is None:
            return {}
        why, until = held
        return {attr.PLAYBACK_HELD_BY: why, attr.PLAYBACK_RELEASE_DELAY: max(0, start_ns - until) / 1e9}
