"""Finds the transcripts and speech segments that make up committed words. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from opentelemetry.util.types import AttributeValue

__all__ = ["Claim", "Segment", "Words", "first_of", "spoken_in", "up_to_final"]

#: maximum delay of a final transcript after its speech; words that are further apart are not of one sentence
LATE_NS = 1_500_000_000
#: a recognizer has no interim transcript, and no final one, of speech that began less than this ago
_SOONEST_NS, _SOONEST_FINAL_NS = 125_000_000, 400_000_000


class Words(NamedTuple):
    """The arrival of a transcript, unix nanoseconds, and whether it is a final one."""

    at_ns: int
    final: bool


class Segment:
    """A segment of detected speech. ``end_ns`` is None while it lasts. Unix nanoseconds."""

    __slots__ = ("attributes", "end_ns", "start_ns")

    def __init__(self, start_ns: int, end_ns: int | None = None) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.attributes: dict[str, AttributeValue] = {}


class Claim:
    """The user's speech in a turn.

    Attributes:
        segments: VAD's segments, in order.
        start_ns: when the user began to speak, according to VAD or LiveKit; None if neither detected it.
        floor_ns: when the user began to speak after the agent's speech; earlier speech did not interrupt the agent.
        stopped_ns: when VAD detected the end of the speech; None if it did not.
        cut: the user was still speaking, so ``stopped_ns`` is the time of the commit.
        by_server: a realtime model's server detected the speech, not VAD.
        items: ids of the items that such a server made of the speech.
    """

    __slots__ = ("by_server", "cut", "floor_ns", "items", "segments", "start_ns", "stopped_ns")

    def __init__(
        self,
        segments: Sequence[Segment],
        start_ns: int | None,
        stopped_ns: int | None,
        *,
        floor_ns: int | None = None,
        cut: bool = False,
        by_server: bool = False,
        items: Sequence[str] = (),
    ) -> None:
        self.segments = segments
        self.start_ns = start_ns
        self.floor_ns = start_ns if floor_ns is None else floor_ns
        self.stopped_ns = stopped_ns
        self.cut = cut
        self.by_server = by_server
        self.items = list(items)

    @property
    def source(self) -> str | None:
        """The source of the time when the user stopped speaking."""
        if self.stopped_ns is None:
            return None
        if self.by_server:
            return "server"
        return "commit" if self.cut else "vad"


def spoken_in(segments: Sequence[Segment], words: Sequence[Words], after_ns: int) -> list[Segment]:
    """Return the ended segments, in order, that contain the words; the others are noise or belong to nothing.

    Args:
        segments: ended segments that no turn has claimed, in order.
        words: transcripts of them that arrived, including interim ones, in order.
        after_ns: when the agent last had the floor: speech that ended before that belongs to another turn.
    """
    numbers = _with_words(segments, words)
    spoken = [one for number, one in enumerate(segments) if number in numbers]
    found = spoken[-1:] or list(segments[-1:])
    for one in reversed(spoken[:-1]):
        ended = one.end_ns or one.start_ns
        if ended <= after_ns and found[0].start_ns - ended > LATE_NS:
            break
        found.insert(0, one)
    return found


def _with_words(segments: Sequence[Segment], words: Sequence[Words]) -> set[int]:
    """Numbers of the segments in which transcripts arrived, or shortly after which."""
    found: set[int] = set()
    final_ns = 0
    for word in words:
        latest = bisect_right(segments, word.at_ns, key=lambda one: one.start_ns) - 1
        if latest < 0:
            continue
        if latest > 0 and latest not in found and _is_late(word, segments[latest - 1], segments[latest], final_ns):
            found.add(latest - 1)
        else:
            found.add(latest)
            found.update(
                number
                for number, one in enumerate(segments[:latest])
                if word.at_ns <= min((one.end_ns or one.start_ns) + LATE_NS, segments[-1].start_ns)
            )
        if word.final:
            final_ns = word.at_ns
    return found


def _is_late(word: Words, before: Segment, latest: Segment, final_ns: int) -> bool:
    """Whether a transcript is too early for ``latest``, and ``before`` has had no final one since it ended."""
    if word.at_ns - latest.start_ns >= (_SOONEST_FINAL_NS if word.final else _SOONEST_NS):
        return False
    return before.end_ns is not None and final_ns < before.end_ns and word.at_ns - before.end_ns <= LATE_NS


def up_to_final(words: Iterable[Words]) -> tuple[list[Words], list[Words]]:
    """Split transcripts after the last final one (if there is one): LiveKit commits no interim words that follow it."""
    found = list(words)
    last = max((number for number, one in enumerate(found) if one.final), default=len(found) - 1)
    return found[: last + 1], found[last + 1 :]


def first_of(transcripts: Sequence[str], text: str) -> int | None:
    """Return the index of the transcript that ``text`` begins with; None if ``text`` contains none of them.

    LiveKit joins words that it has not committed with the words that follow.

    Args:
        transcripts: final transcripts that no turn has claimed, in order; the text includes the last of them.
        text: LiveKit's text; interim words may follow the transcripts in it.
    """
    words = text.split()
    starts: list[int] = []
    spoken: list[str] = []
    for transcript in transcripts:
        starts.append(len(spoken))
        spoken += transcript.split()
    for index, start in enumerate(starts):
        rest = spoken[start:]
        if rest and words[: len(rest)] == rest:
            return index
    return None
