"""Where the silence went: stages of known length come out as the script has them."""

from __future__ import annotations

from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel.turns import TurnDerivation, derive_session

from .turns_kit import Exchange, Script, ns

# Every user speaks from 1.0 to 2.0.


def run(fill: Any, *, has_user: bool = True) -> TurnDerivation:
    script = Script()
    fill(script.turn(1.0, 20.0, has_user=has_user))
    return derive_session(script.spans).turns[0]


def waits(turn: TurnDerivation) -> dict[str, float]:
    """The silence without stages that took none, after the checks that hold for every turn."""
    assert set(turn.silence) == set(attr.SILENCE_STAGES)
    assert all(value >= 0 for value in turn.silence.values())
    assert turn.latency.e2e_latency is not None
    assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency, abs=1e-6)
    assert [one.end_ns for one in turn.path[:-1]] == [one.start_ns for one in turn.path[1:]]
    return {stage: value for stage, value in turn.silence.items() if value}


def plain(turn: Exchange) -> None:
    turn.vad(1.0, 2.0)
    turn.stt(1.0, 2.2)
    turn.eou(2.0, 2.5, hook=0.1)
    turn.llm(2.6, 3.9, 0.4)
    turn.tts(3.0, 4.1, 0.5, ttfb=0.3)
    turn.playback(3.55, 6.0)


def test_plain_turn() -> None:
    """Each stage gets what the next one waited for, and sentence assembly is the LLM's."""
    turn = run(plain)
    assert waits(turn) == {
        "transcription": 0.2,
        "eou": 0.3,
        "hook": 0.1,
        "llm": 0.6,
        "tts": 0.3,
        "playback": 0.05,
    }
    assert [(one.stage, one.start_ns, one.end_ns) for one in turn.path] == [
        ("transcription", ns(2.0), ns(2.2)),
        ("eou", ns(2.2), ns(2.5)),
        ("hook", ns(2.5), ns(2.6)),
        ("llm", ns(2.6), ns(3.2)),
        ("tts", ns(3.2), ns(3.5)),
        ("playback", ns(3.5), ns(3.55)),
    ]


def test_transcript_before_the_user_stopped() -> None:
    """A transcript that is there when the user stops costs no silence."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.stt(1.0, 1.9)
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 2.8, 0.2)
        turn.tts(2.7, 3.0, 0.2)
        turn.playback(2.9, 4.0)

    assert waits(run(fill)) == {"eou": 0.5, "llm": 0.2, "tts": 0.2}


def test_slow_transcript_commits_at_once() -> None:
    """When the transcript is what the commit waited for, all of that is transcription."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.stt(1.0, 3.5)
        turn.eou(2.0, 3.5)
        turn.llm(3.5, 4.0, 0.5)
        turn.tts(4.0, 4.5, 0.25)
        turn.playback(4.25, 6.0)

    assert waits(run(fill)) == {"transcription": 1.5, "llm": 0.5, "tts": 0.25}


def test_preemptive_generation_used() -> None:
    """Endpointing hides the LLM: the silence of that time goes to eou, and what is left of the LLM to llm."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.stt(1.0, 2.1)
        turn.llm(2.1, 2.9, 0.3, **{attr.LLM_PREEMPTIVE: True})  # type: ignore[arg-type]
        turn.eou(2.0, 3.0, hook=0.2)
        turn.tts(3.2, 3.6, 0.25)
        turn.playback(3.45, 5.0)

    assert waits(run(fill)) == {"transcription": 0.1, "eou": 0.9, "hook": 0.2, "tts": 0.25}


def test_preemptive_generation_slower_than_endpointing() -> None:
    """A preemptive generation that is not done at the commit is waited for from there on."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.stt(1.0, 2.1)
        turn.llm(2.1, 4.2, 1.5, **{attr.LLM_PREEMPTIVE: True})  # type: ignore[arg-type]
        turn.eou(2.0, 3.0)
        turn.tts(3.6, 4.6, 0.4)
        turn.playback(4.0, 6.0)

    assert waits(run(fill)) == {"transcription": 0.1, "eou": 0.9, "llm": 0.6, "tts": 0.4}


def test_preemptive_synthesis() -> None:
    """With speech synthesised ahead, too, the silence is the commit's, and the rest is the playout's."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.stt(1.0, 2.1)
        turn.llm(2.1, 2.4, 0.2, **{attr.LLM_PREEMPTIVE: True})  # type: ignore[arg-type]
        turn.tts(2.3, 2.7, 0.2)
        turn.eou(2.0, 3.0)
        turn.playback(3.02, 5.0)

    turn = run(fill)
    assert waits(turn) == {"transcription": 0.1, "eou": 0.9, "playback": 0.02}
    assert turn.latency.playback_latency == 0.02


def test_preemptive_generation_discarded() -> None:
    """A generation that was thrown away has no part in the silence."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.stt(1.0, 2.1)
        turn.llm(2.1, 2.6, 0.2, "P", **{attr.LLM_PREEMPTIVE: True, attr.OUTCOME: "discarded"})
        turn.eou(2.0, 2.5, hook=0.5)
        turn.llm(3.0, 3.6, 0.4)
        turn.tts(3.4, 3.8, 0.2)
        turn.playback(3.6, 5.0)

    assert waits(run(fill)) == {"transcription": 0.1, "eou": 0.4, "hook": 0.5, "llm": 0.4, "tts": 0.2}


def test_tool_before_the_answer() -> None:
    """First LLM, tool and second LLM are told apart, and both LLM requests are llm."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.stt(1.0, 2.0)
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 3.1, 0.5, **{attr.RESPONSE_FINISH_REASONS: ("tool_call",)})  # type: ignore[arg-type]
        turn.tool(3.1, 4.6)
        turn.llm(4.6, 5.4, 0.7)
        turn.tts(5.3, 5.8, 0.25)
        turn.playback(5.55, 8.0)

    turn = run(fill)
    assert waits(turn) == {"eou": 0.5, "llm": 1.3, "tool": 1.5, "tts": 0.25}
    assert [one.stage for one in turn.path] == ["eou", "llm", "tool", "llm", "tts"]


def test_parallel_and_chained_tools() -> None:
    """Of parallel tools the slowest is waited for; a second round of tools is followed, too."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 3.0, 0.3)
        turn.tool(2.9, 3.5)
        turn.tool(3.0, 4.0)
        turn.llm(4.0, 4.4, 0.3)
        turn.tool(4.4, 5.0)
        turn.llm(5.0, 5.5, 0.3)
        turn.tts(5.3, 6.0, 0.2)
        turn.playback(5.5, 7.0)

    assert waits(run(fill)) == {"eou": 0.5, "llm": 1.2, "tool": 1.6, "tts": 0.2}


def test_instant_tools_do_not_break_the_chain() -> None:
    """A handoff's tool takes no time, and the next agent's answer still waited for the request before it."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 3.5, 0.9)
        turn.tool(3.5, 3.5)
        turn.llm(3.5, 4.5, 0.5, "B")
        turn.tts(4.0, 4.5, 0.25, speech="B")
        turn.playback(4.25, 6.0, "B")

    assert waits(run(fill)) == {"eou": 0.5, "llm": 1.5, "tts": 0.25}


def test_slow_tool_that_reports_progress() -> None:
    """An answer to a progress update waited for the tool, which still runs."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 3.0, 0.4)
        turn.tool(3.0, 15.0)
        turn.llm(4.0, 4.5, 0.4)
        turn.tts(4.4, 5.0, 0.2)
        turn.playback(4.6, 6.0)

    assert waits(run(fill)) == {"eou": 0.5, "llm": 0.9, "tool": 1.0, "tts": 0.2}


def test_gap_between_stages_is_other() -> None:
    """What no span tells of belongs to nobody."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5, hook=0.1)
        turn.llm(3.0, 3.5, 0.5)
        turn.tts(3.5, 4.0, 0.25)
        turn.playback(3.75, 5.0)

    assert waits(run(fill)) == {"eou": 0.5, "hook": 0.1, "other": 0.4, "llm": 0.5, "tts": 0.25}


def test_slow_hook() -> None:
    """A slow on_user_turn_completed is seen as such."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5, hook=3.0)
        turn.llm(5.5, 6.0, 0.25)
        turn.tts(5.75, 6.0, 0.25)
        turn.playback(6.0, 7.0)

    assert waits(run(fill)) == {"eou": 0.5, "hook": 3.0, "llm": 0.25, "tts": 0.25}


def test_slow_synthesis_and_slow_avatar() -> None:
    """Synthesis counts until its first audio, the avatar from there on."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 2.75, 0.25)
        turn.tts(2.75, 6.0, 2.0, ttfb=2.0)
        turn.playback(5.5, 7.0)

    assert waits(run(fill)) == {"eou": 0.5, "llm": 0.25, "tts": 2.0, "playback": 0.75}


def test_filler_in_the_hook() -> None:
    """A filler that the hook says ends the silence: its synthesis counts, the answer does not."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5, hook=1.0)
        turn.tts(2.6, 3.0, 0.2, speech="F")
        turn.playback(2.8, 3.4, "F")
        turn.llm(3.5, 4.0, 0.25)
        turn.tts(3.75, 4.5, 0.25)
        turn.playback(4.0, 6.0)

    turn = run(fill)
    assert waits(turn) == {"eou": 0.5, "hook": 0.1, "tts": 0.2}
    assert turn.latency.llm_node_ttft == 0.25
    assert turn.latency.tts_node_ttfb == 0.2


def test_filler_in_a_tool() -> None:
    """A filler that a running tool says waited for the tool's start and the request that called it."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 3.0, 0.4)
        turn.tool(3.0, 6.0)
        turn.tts(3.1, 3.5, 0.2, speech="F")
        turn.playback(3.3, 4.0, "F")
        turn.llm(6.0, 6.5, 0.3)
        turn.tts(6.3, 7.0, 0.2)
        turn.playback(6.5, 8.0)

    assert waits(run(fill)) == {"eou": 0.5, "llm": 0.5, "tool": 0.1, "tts": 0.2}


def test_filler_during_endpointing() -> None:
    """A filler that code says before the turn is committed is not held back by the commit."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 3.0)
        turn.tts(2.1, 2.8, 0.5, speech="F")
        turn.playback(2.6, 3.4, "F")
        turn.llm(3.0, 3.5, 0.25)
        turn.playback(4.0, 6.0)

    assert waits(run(fill)) == {"eou": 0.1, "tts": 0.5}


def test_user_resumes_during_endpointing() -> None:
    """The wait begins when the user stopped for good."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 1.4)
        turn.stt(1.0, 1.5)
        turn.not_committed(1.4, 1.7)
        turn.vad(1.7, 2.4)
        turn.stt(1.7, 2.6)
        turn.eou(2.4, 2.9)
        turn.llm(2.9, 3.4, 0.25)
        turn.tts(3.15, 3.5, 0.25)
        turn.playback(3.4, 5.0)

    turn = run(fill)
    assert waits(turn) == {"transcription": 0.2, "eou": 0.3, "llm": 0.25, "tts": 0.25}
    assert turn.latency.e2e_latency == 1.0


def test_realtime_model_with_its_own_turn_detection() -> None:
    """The model decides that the user is done, and answers: from the end of speech to its audio it is the model."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.realtime(2.6, 5.0, 0.4)
        turn.playback(3.0, 5.0)

    turn = run(fill)
    assert waits(turn) == {"llm": 1.0}
    assert turn.latency.llm_node_ttft is None


def test_realtime_model_with_livekits_turn_detection() -> None:
    """The commit is eou; what the server takes to begin a response is the model's, as the response is."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.eou(2.0, 2.5, hook=0.1)
        turn.realtime(2.7, 5.0, 0.3)
        turn.playback(3.0, 5.0)

    assert waits(run(fill)) == {"eou": 0.5, "hook": 0.1, "llm": 0.4}


def test_realtime_text_with_synthesis_and_tool() -> None:
    """A realtime model that answers in text is followed through the TTS and its tool."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.realtime(2.5, 3.0, None)
        turn.tool(3.0, 3.5)
        turn.realtime(3.5, 5.0, None)
        turn.tts(3.75, 4.5, 0.25)
        turn.playback(4.0, 5.0)

    assert waits(run(fill)) == {"llm": 1.25, "tool": 0.5, "tts": 0.25}


def test_a_response_that_builds_on_another() -> None:
    """Where a realtime model answers in two responses, what lies between them is the model's, too."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.realtime(2.25, 2.5, None)
        turn.realtime(3.0, 5.0, 0.25)
        turn.playback(3.25, 5.0)

    assert waits(run(fill)) == {"llm": 1.25}


def test_what_code_says_in_a_realtime_session() -> None:
    """Words of code are no response of the model: nobody knows what the time before their synthesis went to."""

    def fill(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.tts(2.5, 3.5, 0.25)
        turn.playback(2.75, 3.5)
        turn.realtime(3.0, 5.0, None)

    assert waits(run(fill)) == {"other": 0.5, "tts": 0.25}


def test_fallback_adapters() -> None:
    """A model that failed before another took over is part of the wait for its kind."""

    def fill(turn: Exchange) -> None:
        failed = {attr.OUTCOME: "error"}
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 3.5, **failed)  # type: ignore[arg-type]
        turn.llm(3.5, 3.9, **failed)  # type: ignore[arg-type]  # the adapter asks the first one whether it is back
        turn.llm(3.5, 4.0, 0.25)
        turn.tts(3.75, 4.25, None, **failed)  # type: ignore[arg-type]
        turn.tts(4.25, 5.0, 0.25)
        turn.playback(4.5, 6.0)

    turn = run(fill)
    assert waits(turn) == {"eou": 0.5, "llm": 1.25, "tts": 0.75}
    assert (turn.latency.llm_node_ttft, turn.latency.llm_node_ttfs, turn.latency.tts_node_ttfb) == (1.25, 1.25, 0.75)


def test_llm_and_connection_of_the_synthesis() -> None:
    """When all text is there, the time to reach the provider is the TTS's, not the LLM's."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 2.75, 0.25)
        turn.tts(2.75, 4.0, 1.0, ttfb=0.25)
        turn.playback(3.75, 6.0)

    turn = run(fill)
    assert waits(turn) == {"eou": 0.5, "llm": 0.25, "tts": 1.0}
    assert turn.latency.tts_node_ttfb == 0.25
    assert turn.latency.llm_node_ttfs == 1.0


def test_prerecorded_audio() -> None:
    """say() with audio of its own: nothing tells what it waited for."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5, hook=0.0, speech=None)
        turn.playback(3.0, 4.0, "S")

    assert waits(run(fill)) == {"eou": 0.5, "other": 0.5}


def test_synthesis_cut_off_before_it_reported() -> None:
    """A synthesis that a barge-in cancelled never reports its first audio; all until the playout is its time."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.llm(2.5, 3.0, 0.25)
        turn.tts(2.75, 4.0, None, **{attr.OUTCOME: "cancelled"})  # type: ignore[arg-type]
        turn.playback(3.25, 4.0)

    assert waits(run(fill)) == {"eou": 0.5, "llm": 0.25, "tts": 0.5}


def test_user_stop_unknown_to_the_decision() -> None:
    """A decision of no length says nothing of the user's silence: VAD does; an open segment means commit."""

    def heard(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.eou(2.5, 2.5)
        turn.playback(3.0, 4.0)

    def speaking(turn: Exchange) -> None:
        turn.vad(1.0, 2.0)
        turn.vad(2.2, 2.8)
        turn.eou(2.5, 2.5)
        turn.playback(3.0, 4.0)

    assert waits(run(heard)) == {"eou": 0.5, "other": 0.5}
    assert waits(run(speaking)) == {"other": 0.5}


@pytest.mark.parametrize("kind", ["greeting", "typed", "no reply", "empty"])
def test_turns_without_a_wait(kind: str) -> None:
    """No user side, a typed message, or no audio: there is no e2e_latency and no silence."""

    def fill(turn: Exchange) -> None:
        if kind in ("greeting", "typed"):
            turn.llm(2.5, 3.0, 0.25)
            turn.tts(2.75, 4.0, 0.25)
            turn.playback(3.0, 4.0)
        if kind == "typed":
            turn.vad(0.2, 0.6)  # noise from before
        if kind == "no reply":
            turn.vad(1.0, 2.0)
            turn.eou(2.0, 2.5)

    turn = run(fill, has_user=kind != "greeting")
    assert turn.latency.e2e_latency is None
    assert turn.silence == {}
    assert turn.path == ()
    assert (turn.latency.llm_node_ttft == 0.25) == (kind in ("greeting", "typed"))


def test_avatar_metrics_alone_are_no_playout() -> None:
    """A playback span that only carries an avatar's metrics does not end the silence."""

    def fill(turn: Exchange) -> None:
        turn.eou(2.0, 2.5)
        turn.stage(attr.KIND_PLAYBACK, 2.1, 2.2, **{attr.metric("avatar", "timestamp"): 1.0})  # type: ignore[arg-type]
        turn.llm(2.5, 3.0, 0.25)
        turn.playback(3.0, 4.0)

    assert run(fill).latency.e2e_latency == 1.0
