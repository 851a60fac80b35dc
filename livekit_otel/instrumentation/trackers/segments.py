"""Finds the transcripts and speech segments that make up committed words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.util.types import AttributeValue

__all__ = ["Claim", "Segment", "first_of", "spoken_in"]

#: maximum delay of a final transcript after its speech; words that are further apart are not of one sentence
LATE_NS = 1_500_000_000


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


def spoken_in(segments: Sequence[Segment], words_ns: Sequence[int], after_ns: int) -> list[Segment]:
    """Return the ended segments, in order, that contain the words; the others are noise or belong to nothing.

    Args:
        segments: ended segments that no turn has claimed, in order.
        words_ns: when transcripts of them arrived, including interim ones.
        after_ns: when the agent last had the floor: speech that ended before that belongs to another turn.
    """
    spoken = [one for number, one in enumerate(segments) if _has_words(segments, number, words_ns)]
    found = spoken[-1:] or list(segments[-1:])
    for one in reversed(spoken[:-1]):
        ended = one.end_ns or one.start_ns
        if ended <= after_ns and found[0].start_ns - ended > LATE_NS:
            break
        found.insert(0, one)
    return found


def _has_words(segments: Sequence[Segment], number: int, words_ns: Sequence[int]) -> bool:
    """Whether a transcript arrived while this was the latest segment, or shortly after it."""
    one = segments[number]
    if number + 1 == len(segments):
        return any(at >= one.start_ns for at in words_ns)
    until = max(segments[number + 1].start_ns, min((one.end_ns or one.start_ns) + LATE_NS, segments[-1].start_ns))
    return any(one.start_ns <= at <= until for at in words_ns)


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
