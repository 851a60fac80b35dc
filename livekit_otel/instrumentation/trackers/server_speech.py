"""The user's speech as a realtime model's server hears it, until a turn claims it. Pure.

Servers that announce items (OpenAI's) make one of what they take for speech: what has none was noise. Of other servers
speech counts that they hear begin and end; a beginning alone is none: Gemini's plugin says so before every answer.
"""

from __future__ import annotations

from collections import deque

from ... import attributes as attr
from .segments import LATE_NS, Claim, Segment

__all__ = ["ServerSpeech"]

_MAX_HEARD = 16


class _Heard(Segment):
    __slots__ = ("item_id",)

    def __init__(self, start_ns: int) -> None:
        super().__init__(start_ns)
        self.item_id: str | None = None


class ServerSpeech:
    """What the server of one session's model has heard, and no turn has claimed."""

    def __init__(self) -> None:
        self._heard: deque[_Heard] = deque(maxlen=_MAX_HEARD)
        #: the server announces the items of its conversation
        self.announces = False

    def started(self, at_ns: int) -> None:
        """The server hears the user begin."""
        if self.announces or not self._heard or self._heard[-1].end_ns is not None:
            self._heard.append(_Heard(at_ns))

    def stopped(self, at_ns: int) -> None:
        """It hears them stop."""
        latest = self._heard[-1] if self._heard else None
        if latest is not None and latest.end_ns is None:
            latest.end_ns = max(at_ns, latest.start_ns)

    def item(self, item_id: str, at_ns: int) -> bool:
        """It made an item of the user's audio; False where it had not heard any: the session ends the user's turns."""
        for one in reversed(self._heard):
            if one.item_id is None:
                one.item_id = item_id
                one.end_ns = at_ns if one.end_ns is None else one.end_ns
                return True
            if one.item_id == item_id:
                return True
        return False

    @property
    def latest_ns(self) -> int | None:
        """When the latest speech began, or what was taken for it."""
        return self._heard[-1].start_ns if self._heard else None

    def start_ns(self) -> int | None:
        """When the speech began that a turn would claim; None where there is none."""
        found = self._spoken()
        return found[0].start_ns if found else None

    def has(self, item_id: str) -> bool:
        """Whether an item is of speech that no turn has claimed."""
        return any(one.item_id == item_id for one in self._heard)

    def _spoken(self) -> list[_Heard]:
        """The speech that one answer is for: the latest, with what came shortly before it."""
        found: list[_Heard] = []
        for one in reversed(self._heard):
            if one.end_ns is None or (self.announces and one.item_id is None):
                continue
            if found and found[0].start_ns - one.end_ns > LATE_NS:
                break
            found.insert(0, one)
        return found

    def claim(self) -> tuple[Claim | None, list[str]]:
        """That speech, and the ids of its items, for a turn; what came before it is no turn's."""
        found = self._spoken()
        self.forget()
        if not found:
            return None, []
        end = found[-1].end_ns or found[-1].start_ns
        segment = Segment(found[0].start_ns, end)
        segment.attributes = {attr.VAD_SERVER: True}
        claim = Claim([segment], segment.start_ns, end, by_server=True)
        return claim, [one.item_id for one in found if one.item_id is not None]

    def forget(self) -> None:
        """An answer begins: what was heard is its, or nobody's. What goes on, or has no item yet, may be neither."""
        last = self._heard[-1] if self.announces and self._heard else None
        self._heard.clear()
        if last is not None and last.item_id is None:
            self._heard.append(last)

    def clear(self) -> None:
        """What was heard will not be answered."""
        self._heard.clear()
