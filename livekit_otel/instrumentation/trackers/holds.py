"""What LiveKit makes a speech wait for before it is played: a detection, another speech, the user's voice."""

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
#: LiveKit continues within this time after what it waited for is over
_AT_ONCE_NS = 50_000_000
_AMD, _SPEECH, _USER = "amd", "speech", "user"


class Holds:
    """The waits of one session that are in no stage: a speech is ready, and may not be played yet."""

    def __init__(self, scope: SessionScope) -> None:
        self._scope = scope
        self._detecting = False
        #: when the latest wait for each reason was over
        self._over: dict[str, int] = {}
        #: the speech that was said last
        self._said: str | None = None
        #: since when each speech may wait: it was created, or a speech that was made ahead is used
        self._since: OrderedDict[str, int] = OrderedDict()
        #: why each speech had to wait, and until when
        self._held: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def detection(self, *, running: bool) -> None:
        """A detection of answering machines begins, or is over: it may be said twice."""
        if self._detecting and not running:
            self._over[_AMD] = self._scope.now_ns()
        self._detecting = running

    def playback_over(self, speech_id: str | None) -> None:
        """What was being said is over."""
        self._over[_SPEECH], self._said = self._scope.now_ns(), speech_id

    def user_silent(self) -> None:
        """The user has stopped speaking."""
        self._over[_USER] = self._scope.now_ns()

    def speech_waits(self, speech_id: str) -> None:
        """A speech was created, or one that was made ahead is used."""
        self._since[speech_id] = self._scope.now_ns()
        while len(self._since) > _MAX_SPEECHES:
            self._since.popitem(last=False)

    def released(self, handle: SpeechHandle) -> None:
        """LiveKit waits for nothing any more before it plays this speech."""
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
        """What the first playout of a speech, which begins now, says of the wait."""
        held = self._held.pop(speech_id, None)
        if held is None:
            return {}
        why, until = held
        return {attr.PLAYBACK_HELD_BY: why, attr.PLAYBACK_RELEASE_DELAY: max(0, start_ns - until) / 1e9}
