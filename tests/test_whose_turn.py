"""Whose turn it is: calls worked by hand from their scripts (VAD is right, finals 0.1 s after, endpointing 0.3 s)."""

from __future__ import annotations

from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_reports
from livekit_otel.turns import derive_session
from livekit_otel.turns.model_usage import LLMUsage

from .kit.clock import EPOCH
from .kit.trace import record

STORY = "This is a long answer"
ANSWER = "That is the answer"
#: scenario -> (user's words, agent's words, end, e2e, begins, ends) of each turn; seconds of the call
EXPECTED: dict[str, list[tuple[str, str, str, float | None, float, float]]] = {
    "realtime_committed_by_hand": [
        ("first", "Generated for", "completed", 0.42, 1.0, 3.22),
        ("second", "Generated for", "completed", 0.32, 6.0, 8.12),
    ],
    "barge_in_without_interims": [
        ("tell me a story", STORY, "interrupted", 0.6, 1.0, 5.3),
        ("stop it please now", STORY, "completed", 0.6, 4.0, 10.92),
    ],
    "barge_in_over_a_tools_answer": [
        ("weather please", STORY, "interrupted", 5.8, 1.0, 9.3),
        ("stop it please now", STORY, "completed", 0.6, 8.0, 14.92),
    ],
    "barge_in_over_a_greeting": [
        ("", "Welcome to this", "interrupted", None, 0.0, 2.3),
        ("stop it please now", "You said 18", "completed", 0.72, 1.0, 4.94),
    ],
    "speaks_again_during_the_hook": [
        ("first question", "", "interrupted", None, 1.0, 4.1),
        ("second question", "You said 15", "completed", 3.22, 2.5, 8.54),
    ],
    "speaks_while_a_tool_runs": [
        ("slow one please", "Let me look.", "interrupted", 0.6, 1.0, 5.0),
        ("are you there", ANSWER, "completed", 1.8, 5.0, 9.32),
    ],
    "tool_with_progress_and_result": [("progress please", ANSWER, "completed", 1.8, 1.0, 8.32)],
    "tool_outlives_its_turn": [
        ("the late one please", ANSWER, "interrupted", 0.8, 1.0, 5.0),
        ("another question", ANSWER, "completed", 0.6, 5.0, 8.12),
        ("", ANSWER, "completed", None, 10.3, 12.32),
    ],
    "tool_with_filler": [("the filled one please", "One moment", "completed", 1.1, 1.0, 9.32)],
    "closed_while_a_tool_runs": [("slow one please", "Let me look.", "session_closed", 0.6, 1.0, 5.0)],
    "apology_for_a_failed_request": [("hello", "Sorry", "failed", 0.6, 1.0, 3.47)],
    "handoff_with_words": [("transfer please", ANSWER, "completed", 0.8, 1.0, 8.19)],
    "words_that_are_cleared": [("these are kept", "You said 14", "completed", 1.62, 12.0, 16.44)],
    "tool_with_a_model_of_its_own": [("asking please", ANSWER, "completed", 1.8, 1.0, 5.32)],
    "words_that_come_late": [("tell me", "You said 21", "completed", 1.22, 1.0, 5.24)],
    "speech_that_answers_nobody": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("", "Are you still there", "completed", None, 20.0, 21.87),
    ],
    "words_that_nobody_may_interrupt_with": [("tell me", STORY, "completed", 0.6, 1.0, 7.52)],
    "speech_that_vad_misses": [
        ("hello", "You said 19", "completed", 0.72, 1.0, 4.54),
        ("whisper this please", "You said 19", "completed", None, 9.2, 11.64),
    ],
    "typed_while_the_agent_speaks_on": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("written by the", STORY, "completed", 3.52, 4.0, 12.64),
    ],
    # code interrupts, and in the same breath asks for an answer to what the user has written
    "typed_while_the_agent_speaks": [
        ("a long story", STORY, "interrupted", 0.6, 1.0, 4.0),
        ("typed by the", STORY, "completed", 0.3, 4.0, 9.42),
    ],
    "barge_in": [
        ("a long story", STORY, "interrupted", 0.6, 1.0, 5.3),
        ("stop it now", STORY, "completed", 0.6, 4.5, 11.02),
    ],
    "backchannel_of_few_words": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("uh huh thanks that is enough", STORY, "completed", 0.6, 4.0, 15.52),
    ],
    "few_words_and_a_reply_made_ahead": [
        ("a long story", STORY, "completed", 0.4, 1.0, 7.32),
        ("uh huh thanks that is enough", STORY, "completed", 0.4, 4.0, 15.32),
    ],
    "few_words_and_a_batch_recognizer": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("uh huh", STORY, "interrupted", 6.0, 4.0, 10.4),
        ("thanks that is enough", STORY, "completed", 0.9, 9.0, 15.82),
    ],
    "few_words_noise_and_more_words": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("uh huh thanks that is really", STORY, "completed", 0.6, 3.5, 18.72),
    ],
    "few_words_that_add_up": [
        ("a long story", STORY, "interrupted", 0.6, 1.0, 6.0),
        ("uh huh oh", STORY, "completed", 0.6, 3.5, 11.62),
    ],
    "few_words_and_the_end_of_the_call": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("uh huh goodbye then", "", "session_closed", None, 4.0, 9.95),
    ],
    "few_words_and_the_agent_speaks_on": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("", "Are you still there", "completed", None, 10.0, 11.87),
        ("uh huh thanks that is enough", STORY, "completed", 0.6, 4.0, 20.52),
    ],
    "few_words_that_are_cleared": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("thanks that is enough", STORY, "completed", 0.6, 9.0, 15.52),
    ],
    "few_words_before_a_handoff": [
        ("a long story", STORY, "completed", 0.6, 1.0, 7.52),
        ("thanks that is enough", STORY, "completed", 0.6, 9.0, 15.52),
    ],
    # the tool continues in the background until the user takes the floor, which the few words did not
    "few_words_while_a_tool_runs": [
        ("a long story", STORY, "interrupted", 0.8, 1.0, 10.0),
        ("uh huh thanks that is enough", STORY, "completed", 0.6, 4.0, 16.52),
        ("", STORY, "completed", None, 16.52, 21.94),
    ],
    "realtime_with_turns_of_the_session": [("", "Generated for", "completed", 0.82, 1.0, 3.62)],
    "realtime_with_a_recognizer_and_a_hook": [("what is a", "Generated for", "completed", 1.22, 1.0, 4.02)],
    "realtime_beside_a_vad": [("hello", "Hello yourself", "completed", 1.22, 1.0, 4.02)],
    "realtime_asked_in_writing": [("written by the", "Generated for", "completed", 0.52, 1.0, 2.52)],
    "realtime_tool_and_a_slow_server": [("weather", "Generated for", "completed", 1.02, 1.0, 3.82)],
    "amd_human": [("hello this is the", "You said 31", "completed", 1.5, 1.0, 5.32)],
    "amd_that_hears_for_itself": [("hello this is the", "You said 31", "completed", 1.5, 1.0, 5.32)],
    "amd_before_a_realtime_model": [("hello", "Hello yourself", "completed", 1.12, 1.0, 3.92)],
    "amd_machine": [
        ("you have reached the", "", "interrupted", None, 1.0, 5.72),
        ("", "You said 38", "completed", None, 6.5, 8.94),
    ],
    "amd_machine_goes_on": [
        ("you have reached the", "", "interrupted", None, 1.0, 4.72),
        ("after the tone", "", "no_reply", None, 7.0, 8.1),
        ("", "You said 38", "completed", None, 9.0, 11.44),
    ],
    "amd_after_a_handoff": [
        ("transfer please", "", "no_reply", None, 1.0, 2.3),
        ("hello this is the", ANSWER, "completed", 1.5, 9.0, 13.02),
    ],
    "amd_nobody_speaks": [("", "You said 24", "completed", None, 0.0, 12.02)],
    # the tool waits for the user's answer and cannot speak before that: the turn is over with the question
    "task_inside_a_tool": [
        ("name please", "Here you are", "completed", 0.88, 1.0, 4.1),
        ("call me Ada", "Here you are", "completed", 0.88, 6.0, 9.1),
    ],
}


def _turns(name: str, *, native: bool) -> list[Any]:
    (report,) = build_reports(record(name, native_spans=native).pipeline)
    return report.turns


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("name", EXPECTED)
def test_turns_are_the_scripts(name: str, native: bool) -> None:
    """Each turn has its own words, its own end and its own wait, and no turn is missing or made up."""
    turns = _turns(name, native=native)
    assert len(turns) == len(EXPECTED[name])
    for turn, (user, agent, end, e2e, begins, ends) in zip(turns, EXPECTED[name], strict=True):
        assert turn.user_text.startswith(user)
        assert bool(turn.user_text) == bool(user)
        assert turn.agent_text.startswith(agent)
        assert bool(turn.agent_text) == bool(agent)
        assert turn.end_reason == end
        assert turn.latency.e2e_latency == (None if e2e is None else pytest.approx(e2e, abs=1e-6))
        assert (turn.start_ns / 1e9 - EPOCH, turn.end_ns / 1e9 - EPOCH) == pytest.approx((begins, ends), abs=0.11)


@pytest.mark.parametrize(
    ("name", "index", "silence"),
    [
        ("speaks_again_during_the_hook", 1, {"transcription": 0.1, "eou": 0.2, "hook": 2.5, "llm": 0.32, "tts": 0.1}),
        ("speaks_while_a_tool_runs", 1, {"transcription": 0.1, "eou": 0.2, "tool": 1.2, "llm": 0.2, "tts": 0.1}),
        ("apology_for_a_failed_request", 0, {"transcription": 0.1, "eou": 0.2, "llm": 0.2, "tts": 0.1}),
        ("words_that_come_late", 0, {"transcription": 0.8, "llm": 0.32, "tts": 0.1}),
        ("realtime_conversation", 1, {"llm": 0.22}),
        ("realtime_beside_a_vad", 0, {"llm": 1.22}),
        ("realtime_with_turns_of_the_session", 0, {"eou": 0.3, "llm": 0.52}),
        (
            "realtime_with_a_recognizer_and_a_hook",
            0,
            {"transcription": 0.1, "eou": 0.2, "hook": 0.4, "llm": 0.52},
        ),
        ("realtime_asked_in_writing", 0, {"llm": 0.52}),
        ("realtime_tool_and_a_slow_server", 0, {"llm": 0.72, "tool": 0.3}),
        ("tool_with_a_model_of_its_own", 0, {"transcription": 0.1, "eou": 0.2, "llm": 0.4, "tool": 1.0, "tts": 0.1}),
    ],
)
def test_the_wait_goes_to_what_was_waited_for(name: str, index: int, silence: dict[str, float]) -> None:
    """What LiveKit holds a reply back for, what failed, and what came late have their part of the silence; a realtime
    model all that passes from the commit, or the server's end of speech, to its audio."""
    turn = _turns(name, native=False)[index]
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **silence}, abs=1e-6)


def test_a_tool_that_outlives_its_turn_is_named_on_both() -> None:
    """The turn says that its tool was still running; the speech that comes of it names that turn."""
    turns = sorted(record("tool_outlives_its_turn").of("turn"), key=lambda turn: turn.start_ns)
    assert [turn.attributes.get(attr.TURN_TOOL_OUTLIVES) for turn in turns] == [True, None, None]
    assert [turn.attributes.get(attr.TURN_CONTINUES) for turn in turns] == [None, None, 0]


def test_a_held_reply_names_the_turn_that_it_waits_for() -> None:
    """LiveKit waits for another turn's tool, or hook, before it answers: the decision says which, and how long."""
    tool = record("speaks_while_a_tool_runs").of("eou")[-1].attributes
    assert (tool[attr.EOU_HELD_BY], tool[attr.EOU_HELD_TURN]) == ("tool", 0)
    assert tool[attr.EOU_HELD] == pytest.approx(1.2)
    hook = record("speaks_again_during_the_hook").of("eou")[-1].attributes
    assert (hook[attr.EOU_HELD_BY], hook[attr.EOU_HELD_TURN]) == ("hook", 0)


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
def test_a_tools_own_request_is_below_the_tool(native: bool) -> None:
    """A model that a tool asks is below the tool, counts as usage, and is none of the turn's models or waits."""
    trace = record("tool_with_a_model_of_its_own", native_spans=native)
    (own,) = [span for span in trace.of("llm") if span.attributes.get(attr.LLM_OWN)]
    (tool,) = trace.of("tool")
    assert own.parent_id == tool.span_id
    (session,) = [derive_session(trace.pipeline)]
    assert {usage.model: usage.input_tokens for usage in session.usage if isinstance(usage, LLMUsage)} == {
        "fake-llm": 40,
        "own-llm": 100,
    }
    (turn,) = session.turns
    assert turn.llm_model == ("kit", "fake-llm")
    assert turn.latency.llm_node_ttft == pytest.approx(0.2)


def test_words_that_are_not_committed_are_nobodys() -> None:
    """Cleared words, words that LiveKit drops and mumbling have their spans below the session, and no turn."""
    for name, words in (
        ("words_that_are_cleared", "forget these words"),
        ("words_that_nobody_may_interrupt_with", "what about me now"),
        ("speech_that_answers_nobody", "uh huh"),
    ):
        trace = record(name)
        (session,) = trace.of("session")
        spans = [span for span in trace.of("stt") if str(span.attributes.get(attr.STT_TEXT, "")).startswith(words)]
        assert [span.parent_id for span in spans] == [session.span_id]


@pytest.mark.parametrize(
    ("name", "turn", "heard", "nobodys"),
    [
        ("backchannel_of_few_words", 1, [(4.0, 4.4), (9.0, 9.8)], []),
        ("few_words_and_a_reply_made_ahead", 1, [(4.0, 4.4), (9.0, 9.8)], []),
        ("few_words_and_a_batch_recognizer", 1, [(4.0, 4.4)], []),
        ("few_words_and_a_batch_recognizer", 2, [(9.0, 9.8)], []),
        ("few_words_noise_and_more_words", 1, [(3.5, 3.9), (9.0, 13.0)], [(6.0, 6.3)]),
        ("few_words_that_add_up", 1, [(3.5, 3.9), (5.6, 5.9)], [(4.6, 4.9)]),
        ("few_words_and_the_end_of_the_call", 1, [(4.0, 4.4), (9.0, 9.95)], []),
        ("few_words_and_the_agent_speaks_on", 2, [(4.0, 4.4), (14.0, 14.8)], []),
        ("few_words_that_are_cleared", 1, [(9.0, 9.8)], [(4.0, 4.4)]),
        ("few_words_before_a_handoff", 1, [(9.0, 9.8)], [(4.0, 4.4)]),
        ("few_words_while_a_tool_runs", 1, [(4.0, 4.4), (10.0, 10.8)], []),
        ("speech_that_answers_nobody", 1, [], [(4.0, 4.4)]),
    ],
)
def test_words_that_livekit_keeps_are_the_turns_that_commits_them(
    name: str, turn: int, heard: list[tuple[float, float]], nobodys: list[tuple[float, float]]
) -> None:
    """The speech and the transcripts of all its words are a turn's; noise and words that LiveKit lost are nobody's."""
    trace = record(name)
    (session,) = trace.of("session")
    turns = {span.span_id: span for span in trace.of("turn")}

    def times(index: int | None) -> list[tuple[float, float]]:
        return sorted(
            (round(span.start_ns / 1e9 - EPOCH, 2), round(span.end_ns / 1e9 - EPOCH, 2))
            for span in trace.of("vad")
            if (turns[span.parent_id or ""].attributes[attr.TURN_INDEX] if span.parent_id in turns else None) == index
        )

    assert (times(turn), times(None)) == (heard, nobodys)
    (words,) = [span for span in turns.values() if span.attributes[attr.TURN_INDEX] == turn]
    transcripts = [span for span in trace.of("stt") if span.parent_id == words.span_id]
    said = " ".join(str(span.attributes[attr.STT_TEXT]) for span in sorted(transcripts, key=lambda one: one.start_ns))
    assert said == words.attributes.get(attr.TURN_USER_TEXT, "")
    assert all(span.parent_id in {session.span_id, *turns} for span in trace.of("stt"))


def test_noise_before_a_commit_interrupts_nothing_later() -> None:
    """Noise between the words and their commit is over: where code interrupts the answer, the user did not."""
    trace = record("interrupted_by_code_after_noise")
    (interruption,) = trace.of("interruption")
    assert interruption.attributes[attr.INTERRUPTION_CAUSE] == "programmatic"
    (session,) = trace.of("session")
    assert [span.start_ns / 1e9 - EPOCH for span in trace.of("vad") if span.parent_id == session.span_id] == [
        pytest.approx(2.02, abs=0.001)
    ]


def test_an_end_of_speech_that_nobody_knows_gives_no_wait() -> None:
    """VAD missed the speech, the recognizer knows no time: delays are unknown, never 0, and out of percentiles."""
    trace = record("speech_that_vad_misses")
    unknown = derive_session(trace.pipeline).turns[1].latency
    assert (unknown.e2e_latency, unknown.transcription_delay, unknown.end_of_turn_delay) == (None, None, None)
    eou = max(trace.of("eou"), key=lambda span: span.start_ns)
    assert attr.metric("eou", "end_of_utterance_delay") not in eou.attributes


def test_a_synthesis_that_was_cut_off_was_heard_when_it_was() -> None:
    """LiveKit reports nothing of a voice that is cut off; its first audio says when it began."""
    trace = record("barge_in_without_interims")
    first = min(trace.of("tts"), key=lambda span: span.start_ns)
    assert first.attributes[attr.TTS_FIRST_BYTE] == pytest.approx(0.1)
