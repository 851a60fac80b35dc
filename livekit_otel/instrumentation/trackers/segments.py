"""Which speech segments the committed words were spoken in. Pure: times in, segments out."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.util.types import AttributeValue

__all__ = ["Segment", "spoken_in"]

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
