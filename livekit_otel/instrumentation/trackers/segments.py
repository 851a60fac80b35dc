"""Which transcripts, and which speech segments, committed words are made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.util.types import AttributeValue

__all__ = ["Claim", "Segment", "first_of", "spoken_in"]

#: a final transcript comes at most this much after the speech that it transcribes, and words this far apart are not
#: one sentence
LATE_NS = 1_500_000_000


class Segment:
    """Speech that somebody heard. ``end_ns`` is None while it lasts. Unix nanoseconds."""

    __slots__ = ("attributes", "end_ns", "start_ns")

    def __init__(self, start_ns: int, end_ns: int | None = None) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.attributes: dict[str, AttributeValue] = {}


class Claim:
    """The user's speech that a turn is made of.

    Attributes:
        segments: VAD's segments, in order.
        start_ns: when the user began to speak, as VAD or LiveKit heard it; None where neither did.
        floor_ns: when the user began to speak after the agent did; what was said before that interrupted nothing.
        stopped_ns: when VAD heard the user stop; None where it did not.
        cut: the user was still speaking: ``stopped_ns`` is the commit.
        by_server: a realtime model's server heard it, not VAD.
        items: ids of the items that such a server made of it.
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
        """Who says when the user stopped speaking."""
        if self.stopped_ns is None:
            return None
        if self.by_server:
            return "server"
        return "commit" if self.cut else "vad"


def spoken_in(segments: Sequence[Segment], words_ns: Sequence[int], after_ns: int) -> list[Segment]:
    """The ended segments, in order, that the words were spoken in; the others are noise, or belong to nothing.

    Args:
        segments: ended segments that no turn has claimed, in order.
        words_ns: when transcripts of them arrived, interim ones, too.
        after_ns: when the agent last had the floor: what ended before that was said during another turn.
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
    """Whether a transcript arrived while this was the latest speech, or shortly after it."""
    one = segments[number]
    if number + 1 == len(segments):
        return any(at >= one.start_ns for at in words_ns)
    until = max(segments[number + 1].start_ns, min((one.end_ns or one.start_ns) + LATE_NS, segments[-1].start_ns))
    return any(one.start_ns <= at <= until for at in words_ns)


def first_of(transcripts: Sequence[str], text: str) -> int | None:
    """Index of the transcript that a text begins with: LiveKit joins what it has not committed with what comes next.

    Args:
        transcripts: final transcripts that no turn has claimed, in order; the text is made of the last of them.
        text: LiveKit's; words that are not final may follow in it.

    None where it is made of none of them.
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
