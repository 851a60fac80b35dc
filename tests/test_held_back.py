"""Speech that is ready and that LiveKit holds back: for a detection, for another speech, for the user's voice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_reports
from livekit_otel.spans import outcome
from livekit_otel.turns import derive_session
from livekit_otel.turns.model_usage import LLMUsage

from .kit.run import SCENARIOS, Call, Scenario
from .kit.trace import record
from .kit.voice import FakeBatchSTT, failure

BOTH = pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])


def _turn(name: str, index: int) -> Any:
    (report,) = build_reports(record(name).pipeline)
    return report.turns[index]


@pytest.mark.parametrize(
    ("name", "index", "held_by", "silence"),
    [
        ("amd_human", 0, "amd", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.1, "playback": 0.78}),
        (
            "amd_that_hears_for_itself",
            0,
            "amd",
            {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.1, "playback": 0.78},
        ),
        ("amd_nobody_speaks", 0, "amd", {}),
        ("typed_while_the_agent_speaks_on", 1, "speech", {"llm": 0.2, "tts": 0.1, "playback": 3.22}),
        ("reply_that_waits_for_silence", 0, "user", {}),
    ],
)
def test_what_livekit_holds_back_is_no_playback_latency(
    name: str, index: int, held_by: str, silence: dict[str, float]
) -> None:
    """The playout says what it was held back for; its latency begins when that is over, as LiveKit's own does."""
    turn = _turn(name, index)
    (playback,) = [stage for stage in turn.stages if stage.kind == "playback"]
    assert playback.attributes[attr.PLAYBACK_HELD_BY] == held_by
    assert turn.latency.playback_latency == pytest.approx(0.0, abs=1e-6)
    assert not [note for note in turn.notes if note.startswith("playback_latency")]
    every = dict.fromkeys(attr.SILENCE_STAGES, 0.0) if silence else {}
    assert turn.silence == pytest.approx({**every, **silence}, abs=1e-6)


def test_a_realtime_answer_that_is_held_back_waited_for_the_model_only_until_its_audio() -> None:
    """What the model took until its first audio is llm; what LiveKit held the audio back is not."""
    turn = _turn("amd_before_a_realtime_model", 0)
    assert (turn.silence["other"], turn.silence["playback"]) == pytest.approx((0.0, 0.82), abs=1e-6)
    assert sum(turn.silence.values()) == pytest.approx(1.12, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("question_and_answer", 0),
        ("barge_in", 1),
        ("tool_with_filler", 0),
        ("amd_machine", 1),
        ("preamble_and_a_quick_tool", 0),
    ],
)
def test_what_is_played_at_once_was_not_held_back(name: str, index: int) -> None:
    """Ordinary answers, answers after a barge-in, and what is said after a detection are not said to have waited."""
    playbacks = [stage for stage in _turn(name, index).stages if stage.kind == "playback"]
    assert playbacks
    assert all(attr.PLAYBACK_HELD_BY not in playback.attributes for playback in playbacks)


@BOTH
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("amd_human", "amd-llm"),
        ("amd_machine", "fake-llm"),
        ("amd_that_hears_for_itself", "amd-llm"),
        ("amd_before_a_realtime_model", "amd-llm"),
        ("amd_after_a_handoff", "amd-llm"),
    ],
)
def test_the_detections_request_is_the_sessions(name: str, model: str, native: bool) -> None:
    """The request that asks whether a machine answered is below the session, counts as usage, and is no turn's."""
    trace = record(name, native_spans=native)
    (session,) = trace.of("session")
    (own,) = [span for span in trace.of("llm") if span.attributes.get(attr.LLM_OWN)]
    assert (own.parent_id, own.attributes[attr.REQUEST_MODEL]) == (session.span_id, model)
    assert own.attributes[attr.LLM_INPUT_COUNT] == 2
    derived = derive_session(trace.pipeline)
    of_turns = sum(use.input_tokens for turn in derived.turns for use in turn.usage if isinstance(use, LLMUsage))
    whole = sum(use.input_tokens for use in derived.usage if isinstance(use, LLMUsage))
    assert whole - of_turns == 100
    assert all(turn.llm_model != ("kit", "amd-llm") for turn in derived.turns)


def test_a_detection_works_for_its_session_wherever_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another task started the session, the detection's request has its span all the same."""

    async def elsewhere(call: Call) -> None:
        start = call.start
        monkeypatch.setattr(call, "start", lambda session: asyncio.create_task(start(session)))
        await SCENARIOS["amd_that_hears_for_itself"].function(call)

    monkeypatch.setitem(SCENARIOS, "amd_elsewhere", Scenario("amd_elsewhere", "", elsewhere))
    (own,) = [span for span in record("amd_elsewhere").of("llm") if span.attributes.get(attr.LLM_OWN)]
    assert own.attributes[attr.USAGE_INPUT_TOKENS] == 100


def test_what_a_detection_recognizes_is_none_of_the_sessions() -> None:
    """The detection's own recognizer adds no stt span, and takes none from the session's."""
    (heard,) = record("amd_that_hears_for_itself").of("stt")
    assert heard.attributes[attr.REQUEST_MODEL] == "fake-stt"


def test_a_detections_recognizer_that_fails_is_none_of_the_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the detection's own recognizer fails, no recognition of the session is said to have failed."""

    async def fails(self: FakeBatchSTT, *args: Any, **kwargs: Any) -> Any:
        raise failure("deaf", retryable=False)

    async def deaf(call: Call) -> None:
        monkeypatch.setattr(FakeBatchSTT, "_recognize_impl", fails)
        await SCENARIOS["amd_that_hears_for_itself"].function(call)

    monkeypatch.setitem(SCENARIOS, "amd_deaf", Scenario("amd_deaf", "", deaf))
    trace = record("amd_deaf")
    assert [outcome(span.attributes) for span in trace.of("stt")] == ["completed"]
    assert [turn.attributes[attr.END_REASON] for turn in trace.of("turn")] == ["completed"]


@BOTH
def test_a_hooks_own_request_is_its_turns_and_beside_the_conversation(native: bool) -> None:
    """A model that ``on_user_turn_completed`` asks is in the turn, counts as usage, and its time is the hook's."""
    trace = record("hook_with_a_model_of_its_own", native_spans=native)
    (own,) = [span for span in trace.of("llm") if span.attributes.get(attr.LLM_OWN)]
    (turn,) = trace.of("turn")
    assert own.parent_id == turn.span_id
    (derived,) = derive_session(trace.pipeline).turns
    assert {use.model: use.input_tokens for use in derived.usage if isinstance(use, LLMUsage)} == {
        "fake-llm": 20,
        "own-llm": 100,
    }
    assert (derived.silence["hook"], derived.silence["llm"]) == pytest.approx((1.0, 0.32), abs=1e-6)
