"""Explains differences between LiveKit's own latencies and those derived from the spans."""

from __future__ import annotations

from collections.abc import Iterator

from .turns import Turn

__all__ = ["notes_of"]

#: seconds; shorter differences are inaudible
_AUDIBLE = 0.05
#: seconds by which two measurements of the same value can differ
_SAME = 0.02


def notes_of(turn: Turn, *, small: bool = False) -> Iterator[str]:
    """A sentence for each latency in ``turn.notes`` that differs audibly.

    ``small``: add one sentence for all other differences.
    """
    little: list[tuple[float, str]] = []
    for note in turn.notes:
        name = note.partition(":")[0]
        theirs, ours = turn.reported.get(name), getattr(turn.latency, name, None)
        if theirs is None or ours is None:
            yield note
        elif abs(theirs - ours) < _AUDIBLE:
            little.append((abs(theirs - ours), name))
        else:
            less = "less" if theirs < ours else "more"
            yield (
                f"LiveKit reports {abs(theirs - ours):.3f} s {less} of {name} than the spans' {_shown(name, ours)}: "
                f"{_who(turn, name, theirs, ours)}"
            )
    if little and small:
        names = ", ".join(name for _, name in little)
        yield f"LiveKit's own numbers differ by at most {max(little)[0]:.3f} s ({names}): too little to hear"


def _shown(name: str, value: float) -> str:
    return "time" if name.endswith("_at") else f"{value:.3f} s"


def _who(turn: Turn, name: str, theirs: float, ours: float) -> str:
    answer = turn.latency.answer_latency
    if name == "e2e_latency" and answer is not None and abs(answer - theirs) < _SAME:
        return "it counts to the answer after the tool, the spans to the first words that the caller heard"
    if name == "started_speaking_at":
        return "it counts noise before the first words as speech"
    if theirs < ours and name in ("e2e_latency", "stopped_speaking_at", "end_of_turn_delay", "transcription_delay"):
        return "it counts from what was heard last before the commit, the spans from the end of the committed words"
    return "the spans say when it really began and ended (docs/latency.md)"
