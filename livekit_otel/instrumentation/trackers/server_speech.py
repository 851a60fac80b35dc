"""The user's speech as detected by a realtime model's server, until a turn claims it. Pure.

Servers that announce items (OpenAI's) create an item for detected speech; speech without an item was noise. With other
servers, speech counts if both its beginning and its end are detected. A beginning alone does not count, because
Gemini's plugin emits one before every answer.
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
    """Speech that the server of one session's model has detected and no turn has claimed."""

    def __init__(self) -> None:
        self._heard: deque[_Heard] = deque(maxlen=_MAX_HEARD)
        #: whether the server announces the items of its conversation
        self.announces = False

    def started(self, at_ns: int) -> None:
        """The server detects the start of the user's speech."""
        if self.announces or not self._heard or self._heard[-1].end_ns is not None:
            self._heard.append(_Heard(at_ns))

    def stopped(self, at_ns: int) -> None:
        """The server detects its end."""
        latest = self._heard[-1] if self._heard else None
        if latest is not None and latest.end_ns is None:
            latest.end_ns = max(at_ns, latest.start_ns)

    def item(self, item_id: str, at_ns: int) -> bool:
        """The server made an item of the user's audio. Return False without detected speech: the session ends turns."""
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
        """When the latest speech, or noise taken for speech, began."""
        return self._heard[-1].start_ns if self._heard else None

    @property
    def latest_end_ns(self) -> int | None:
        """When that ended; None if it lasts."""
        return self._heard[-1].end_ns if self._heard else None

    def start_ns(self) -> int | None:
        """Return when the speech that a turn would claim began; None if there is none."""
        found = self._spoken()
        return found[0].start_ns if found else None

    def has(self, item_id: str) -> bool:
        """Whether an item belongs to unclaimed speech."""
        return any(one.item_id == item_id for one in self._heard)

    def _spoken(self) -> list[_Heard]:
        """Return the speech that one answer is for: the latest, with any that shortly preceded it."""
        found: list[_Heard] = []
        for one in reversed(self._heard):
            if one.end_ns is None or (self.announces and one.item_id is None):
                continue
            if found and found[0].start_ns - one.end_ns > LATE_NS:
                break
            found.insert(0, one)
        return found

    def claim(self) -> tuple[Claim | None, list[str]]:
        """Remove and return that speech and the ids of its items; earlier speech belongs to no turn."""
        found = self._spoken()
        self.forget()
        if not found:
            return None, []
        end = found[-1].end_ns or found[-1].start_ns
        segment = Segment(found[0].start_ns, end)
        segment.attributes = {attr.VAD_SERVER: True}
        claim = Claim([segment], segment.start_ns, end, by_server=True)
        return claim, [one.item_id for one in found if one.item_id is not None]

    def replaced(self, *, words_came: bool) -> None:
        """Another agent has a session of its own: this one hears no more. ``words_came``: of speech that ended."""
        if not words_came:
            self._heard.clear()
        elif self._heard and self._heard[-1].end_ns is None:
            self._heard.pop()

    def forget(self) -> None:
        """An answer begins: drop earlier speech, except for the latest if it has no item yet and may get one."""
        last = self._heard[-1] if self.announces and self._heard else None
        self._heard.clear()
        if last is not None and last.item_id is None:
            self._heard.append(last)

    def clear(self) -> None:
        """Drop all speech: it will not be answered."""
        self._heard.clear()
