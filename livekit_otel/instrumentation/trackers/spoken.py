"""The user's speech in a session without VAD, as the recognizer detects it."""

from __future__ import annotations

from ... import attributes as attr
from ..scope import SessionScope
from .transcript import Transcript

__all__ = ["Spoken"]


class Spoken:
    """The latest speech of one session, if the recognizer alone detects when the user speaks."""

    def __init__(self, scope: SessionScope) -> None:
        self._scope = scope
        self._alone = False
        #: start of the speech until a final transcript of it arrives
        self._start_ns: int | None = None
        self._end_ns: int | None = None
        #: LiveKit's time at which the user was last heard
        self._last_ns: int | None = None

    @property
    def stopped_ns(self) -> int | None:
        """When the user stopped speaking; None if unknown, or if there is VAD."""
        return self._last_ns if self._alone else None

    def heard_until(self, at_ns: int) -> None:
        """An event of the recognizer set LiveKit's time at which the user was last heard, in a session without VAD."""
        self._last_ns = at_ns

    def begins(self, start_ns: int, *, alone: bool) -> None:
        """Speech is detected. ``alone``: by the recognizer, in a session without VAD."""
        self.over(start_ns)
        self._alone, self._start_ns, self._end_ns = alone, start_ns if alone else None, None

    def ends(self, at_ns: int, latest: Transcript | None) -> None:
        """The recognizer detects the end of the speech. ``latest``: the latest final transcript, if no turn has it."""
        self._end_ns = at_ns
        if latest is not None and latest.spoken_ns is not None:
            latest.spoken_ns = at_ns

    def note(self, final: Transcript) -> None:
        """A final transcript arrived: the user spoke until then, unless the end of the speech is known."""
        if self._alone:
            final.spoken_ns = self._end_ns or final.end_ns
            self._start_ns = None

    def over(self, at_ns: int) -> None:
        """No more words of the speech are expected: if there were none, it gets a span without a transcript."""
        start, self._start_ns = self._start_ns, None
        if start is None:
            return
        end = max(start, self._end_ns or at_ns)
        spoken = {attr.STT_SPOKEN: (end - start) / 1e9}
        self._scope.spans.start(attr.KIND_STT, self._scope, start, spoken).end(end)
