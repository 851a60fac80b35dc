"""Derived numbers of real LiveKit sessions: they sum up, they agree with LiveKit's, and live equals rebuilt."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import pytest

from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.turns import SessionDerivation, derive_session
from livekit_otel.turns.latency import TOLERANCE

from .kit.trace import OWN_MODELS, every_name, record
from .turns_live import assert_live_equals_rebuilt

#: (scenario, latency): why LiveKit's value is another one
EXPLAINED = {
    (
        "few_words_and_a_batch_recognizer",
        "end_of_turn_delay",
    ): "LiveKit counts from speech whose words it did not commit",
    (
        "few_words_and_a_batch_recognizer",
        "stopped_speaking_at",
    ): "LiveKit counts from speech whose words it did not commit",
    (
        "few_words_and_a_batch_recognizer",
        "transcription_delay",
    ): "LiveKit counts from speech whose words it did not commit",
    ("batch_recognizer", "started_speaking_at"): "LiveKit counts noise before the first words as speech",
    ("noise_before_a_reply_made_ahead", "started_speaking_at"): "LiveKit counts noise before the first words as speech",
    ("noise_is_no_turn", "started_speaking_at"): "LiveKit counts noise before the first words as speech",
    ("transcription_times_out", "started_speaking_at"): "LiveKit counts noise before the first words as speech",
    **dict.fromkeys(
        itertools.product(
            ("few_words_and_a_batch_recognizer", "interrupted_by_code_after_noise"),
            ("e2e_latency", "end_of_turn_delay", "stopped_speaking_at", "transcription_delay"),
        ),
        "LiveKit counts from what was heard last, be it noise or speech whose words it does not commit",
    ),
    **dict.fromkeys(
        itertools.product(
            ("recognizer_that_is_faster_than_vad",),
            ("e2e_latency", "end_of_turn_delay", "stopped_speaking_at", "transcription_delay"),
        ),
        "LiveKit counts from the arrival of the recognizer's end of speech, the wait from when VAD last heard the user",
    ),
    ("tool_with_filler", "e2e_latency"): "LiveKit waits for the answer, the user hears the filler before that",
    ("realtime_committed_by_hand", "end_of_turn_delay"): "LiveKit counts to the words, the model was asked before",
    ("filler_before_a_slow_answer", "e2e_latency"): "LiveKit waits for the answer, the user hears the filler before it",
    ("tool_that_speaks", "e2e_latency"): "LiveKit waits for the answer, the user hears the tool's words before that",
}


def sessions(name: str) -> list[tuple[list[SpanRecord], SessionDerivation]]:
    """The spans of each session of a scenario, in the order of their start, and what is derived from them."""
    found: defaultdict[str, list[SpanRecord]] = defaultdict(list)
    for span in sorted(record(name).pipeline, key=lambda one: one.start_ns):
        found[span.session_id].append(span)
    return [(spans, derive_session(spans)) for spans in found.values()]


@pytest.mark.parametrize("name", every_name())
def test_silence_sums_to_the_whole(name: str) -> None:
    """In every scripted session the stages of each turn sum to its e2e_latency, and none is negative."""
    for _, session in sessions(name):
        for turn in session.turns:
            assert all(value >= 0 for value in turn.silence.values())
            assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency or 0.0, abs=1e-6)


@pytest.mark.parametrize("name", every_name())
def test_derived_latencies_are_livekits(name: str) -> None:
    """Derived and reported times agree within 5 ms, but for the differences that are explained above."""
    for _, session in sessions(name):
        for turn in session.turns:
            differing = {
                one
                for one in attr.REPORTED_METRICS
                if one != "llm_node_tps"
                and (ours := getattr(turn.latency, one)) is not None
                and (theirs := turn.reported.get(one)) is not None
                and abs(ours - theirs) > TOLERANCE
            }
            assert {(name, one) for one in differing} <= EXPLAINED.keys()
            assert len(turn.notes) == len(differing)


@pytest.mark.parametrize(("name", "latency"), sorted(EXPLAINED))
def test_explained_differences_exist(name: str, latency: str) -> None:
    """Each difference that is explained is really there."""
    notes = [note for _, session in sessions(name) for turn in session.turns for note in turn.notes]
    assert any(note.startswith(f"{latency}:") for note in notes)


@pytest.mark.parametrize("name", [name for name in every_name() if name not in OWN_MODELS])
def test_usage_is_livekits(name: str) -> None:
    """Usage from the spans alone is session.usage, each model with each field, in LiveKit's order."""
    trace = record(name)
    for (_, session), outcome in zip(sessions(name), trace.outcomes, strict=True):
        ours = [one.to_dict() for one in session.usage]
        assert [one | _floats(one) for one in ours] == [one | _floats(one) for one in outcome.usage]


def _floats(usage: dict[str, Any]) -> dict[str, Any]:
    """LiveKit adds seconds with rounding at each step: compared to the picosecond."""
    return {name: round(value, 12) for name, value in usage.items() if isinstance(value, float)}


@pytest.mark.parametrize("name", every_name())
def test_live_equals_rebuilt(name: str) -> None:
    """What the processor put on the trace during the call is what a report computes from it."""
    for spans, _ in sessions(name):
        assert_live_equals_rebuilt(spans)


@pytest.mark.parametrize(
    ("name", "silence"),
    [
        ("question_and_answer", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.1}),
        ("preemptive_generation_used", {"transcription": 0.1, "eou": 0.7, "tts": 0.1}),
        ("one_tool", {"transcription": 0.1, "eou": 0.2, "llm": 0.48, "tool": 0.3, "tts": 0.1}),
        ("slow_hook", {"transcription": 0.1, "eou": 0.2, "hook": 0.7, "llm": 0.32, "tts": 0.1}),
        ("slow_voice", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 1.5}),
        ("tool_that_speaks", {"transcription": 0.1, "eou": 0.2, "llm": 0.2, "tts": 0.1}),
        ("avatar_starts_late", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.1, "playback": 0.4}),
        ("user_resumes", {"transcription": 0.1, "eou": 0.7, "llm": 0.32, "tts": 0.1}),
        ("llm_falls_back", {"transcription": 0.1, "eou": 0.2, "llm": 0.52, "tts": 0.1}),
        ("tts_falls_back", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.2}),
        ("llm_recovers", {"transcription": 0.1, "eou": 0.2, "llm": 0.62, "tts": 0.1}),
    ],
)
def test_silence_is_the_scripts(name: str, silence: dict[str, float]) -> None:
    """Stages of known length on the virtual clock come out to the microsecond."""
    ((_, session),) = sessions(name)
    turn = next(one for one in session.turns if one.silence)
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **silence}, abs=1e-6)
