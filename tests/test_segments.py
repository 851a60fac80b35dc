"""Which speech the committed words were spoken in: segments of VAD, and when transcripts came, in; segments out."""

from __future__ import annotations

import pytest

from livekit_otel.instrumentation.trackers.segments import Segment, Words, spoken_in, up_to_final

#: segments (begin and end), when words came, until when the agent had the floor, and the begins of those with words
CASES: dict[str, tuple[list[tuple[float, float]], list[float], float, list[float]]] = {
    "one": ([(1.0, 1.8)], [1.9], 0.0, [1.0]),
    "a pause within a sentence": ([(1.0, 1.6), (1.9, 2.5)], [1.7, 2.6], 0.0, [1.0, 1.9]),
    "noise before the words": ([(1.0, 1.3), (4.0, 4.8)], [4.9], 0.0, [4.0]),
    "noise after the words": ([(1.0, 1.8), (2.1, 2.3)], [1.9], 0.0, [1.0]),
    "noise between the words": ([(1.0, 1.6), (4.0, 4.2), (6.0, 6.5)], [1.7, 6.6], 0.0, [1.0, 6.0]),
    "said while the agent had the floor": ([(1.0, 1.6), (6.0, 6.8)], [1.7, 6.9], 3.0, [6.0]),
    "begun while the agent had the floor": ([(2.0, 2.8), (3.5, 4.0)], [2.9, 4.1], 3.0, [2.0, 3.5]),
    "a long pause, and the agent silent": ([(1.0, 1.6), (6.0, 6.8)], [1.7, 6.9], 0.5, [1.0, 6.0]),
    "late words, over the next noise": ([(1.0, 1.6), (2.0, 2.2), (5.0, 5.5)], [2.5, 5.6], 0.0, [1.0, 2.0, 5.0]),
    "late words, as the user begins again": ([(1.0, 1.8), (2.2, 3.0)], [1.5, 2.3], 0.0, [1.0]),
    "late words, and those after them": ([(1.0, 1.8), (2.2, 3.0)], [2.3, 3.1], 0.0, [1.0, 2.2]),
    "words in time, and a quick yes": ([(1.0, 1.8), (2.2, 2.4)], [1.9, 2.5], 0.0, [1.0, 2.2]),
    "words too soon for any other speech": ([(2.2, 2.4)], [2.3], 0.0, [2.2]),
    "no words at all": ([(1.0, 1.6), (3.0, 3.5)], [], 0.0, [3.0]),
}


@pytest.mark.parametrize("case", CASES)
def test_words_are_of_the_speech_that_they_came_with(case: str) -> None:
    """Noise, and what was said while the agent had the floor, are no part of the words; a pause ends no sentence."""
    heard, words, floor, expected = CASES[case]
    segments = [Segment(round(begin * 1e9), round(end * 1e9)) for begin, end in heard]
    found = spoken_in(segments, [Words(round(at * 1e9), final=True) for at in words], round(floor * 1e9))
    assert [one.start_ns / 1e9 for one in found] == expected


def test_no_speech_has_no_words() -> None:
    """Words that came without any speech were spoken in none."""
    assert spoken_in([], [Words(1, final=True)], 0) == []


def test_an_early_interim_is_of_the_speech_before() -> None:
    """A recognizer has no words of speech that has only just begun, neither interim nor final ones."""
    before, after = Segment(1_000_000_000, 1_800_000_000), Segment(2_200_000_000, 3_000_000_000)
    assert spoken_in([before, after], [Words(2_300_000_000, final=False)], 0) == [before]
    assert spoken_in([before, after], [Words(2_500_000_000, final=False)], 0) == [after]


@pytest.mark.parametrize(
    ("finals", "taken"), [([True, False, False], 1), ([False, True, True], 3), ([False, False], 2)]
)
def test_interim_words_after_the_last_final_ones_are_not_committed(finals: list[bool], taken: int) -> None:
    """LiveKit commits final transcripts; interim ones count where there are no others."""
    words = [Words(at, final) for at, final in enumerate(finals)]
    assert up_to_final(words) == (words[:taken], words[taken:])
