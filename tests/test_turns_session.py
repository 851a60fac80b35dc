"""Usage, counts, percentiles and notes: what turns and sessions say besides their silence."""

from __future__ import annotations

import random

import pytest

from livekit_otel import attributes as attr
from livekit_otel.turns import LLMUsage, Percentiles, STTUsage, TTSUsage, TurnLatency, derive_session, derive_turn
from livekit_otel.turns.stats import EXACT, Quantiles

from .turns_kit import Exchange, Script, llm_metrics, stt_metrics, tts_metrics


def answered(turn: Exchange, e2e: float = 1.5, at: float = 2.0) -> None:
    turn.vad(at - 1, at)
    turn.stt(at - 1, at + 0.2, **stt_metrics(1.1, at + 0.2))
    turn.eou(at, at + 0.5, hook=0.1)
    turn.llm(at + 0.6, at + 1.0, 0.3, **llm_metrics(100, 20, at + 1.0, cached=40))
    turn.tts(at + 0.9, at + e2e, e2e - 1.0, **tts_metrics(17, 0.3, at + e2e))
    turn.playback(at + e2e - 0.1, at + e2e + 2)


def test_all_latencies_of_a_turn() -> None:
    """Every name of MetricsReport is there, from the spans alone."""
    script = Script()
    answered(script.turn(1.0, 9.0))
    assert derive_session(script.spans).turns[0].latency == TurnLatency(
        started_speaking_at=1_800_000_001.0,
        stopped_speaking_at=1_800_000_002.0,
        transcription_delay=0.2,
        end_of_turn_delay=0.5,
        on_user_turn_completed_delay=0.1,
        llm_node_ttft=0.3,
        llm_node_tps=200.0,
        llm_node_ttfs=None,
        tts_node_ttfb=0.5,
        playback_latency=0.0,
        e2e_latency=1.4,
        answer_latency=1.4,
        dead_air=0.0,
        wait=1.4,
    )


def test_reported_values_beside_derived_ones() -> None:
    """A reported time that is off by more than 5 ms is noted, one within it is not; all reported values are kept."""
    script = Script()
    reported = {
        "e2e_latency": 1.4049,
        "transcription_delay": 0.5,
        "started_speaking_at": 1_799_999_998.0,
        "llm_node_tps": 3.0,
        "llm_node_ttfs": 0.9,
    }
    answered(script.turn(1.0, 9.0, **{attr.reported(name): value for name, value in reported.items()}))  # type: ignore[arg-type]
    turn = derive_session(script.spans).turns[0]
    assert turn.reported == reported
    assert turn.notes == (
        "started_speaking_at: LiveKit reported -3.000 s from what the spans say",
        "transcription_delay: LiveKit reported 0.500 s, the spans say 0.200 s",
    )


def test_usage_is_livekits() -> None:
    """Usage is summed by type, provider and model, in LiveKit's order: types, then first use."""
    script = Script()
    answered(script.turn(1.0, 9.0))
    second = script.turn(11.0, 19.0)
    answered(second, at=12.0)
    second.llm(11.0, 11.5, 0.1, "P", **{attr.OUTCOME: "discarded"}, **llm_metrics(7, 3, 2.5, model="mini"))
    script.loose().llm(15.0, 15.5, 0.1, None, **llm_metrics(5, 1, 15.5))
    session = derive_session(script.spans)
    assert [one.to_dict(zeros=False) for one in session.usage] == [
        {
            "type": "llm_usage",
            "provider": "openai",
            "model": "mini",
            "input_tokens": 7,
            "output_tokens": 3,
        },
        {
            "type": "llm_usage",
            "provider": "openai",
            "model": "gpt",
            "input_tokens": 205,
            "input_cached_tokens": 80,
            "output_tokens": 41,
        },
        {
            "type": "tts_usage",
            "provider": "cartesia",
            "model": "voice",
            "characters_count": 34,
            "audio_duration": 0.6,
        },
        {"type": "stt_usage", "provider": "deepgram", "model": "nova", "audio_duration": 2.2},
    ]
    assert session.discarded == (LLMUsage(provider="openai", model="mini", input_tokens=7, output_tokens=3),)
    assert session.turns[1].discarded == session.discarded
    assert session.turns[0].usage == (
        LLMUsage(provider="openai", model="gpt", input_tokens=100, input_cached_tokens=40, output_tokens=20),
        TTSUsage(provider="cartesia", model="voice", characters_count=17, audio_duration=0.3),
        STTUsage(provider="deepgram", model="nova", audio_duration=1.1),
    )


def test_a_discarded_generation_is_not_in_the_latency() -> None:
    """Its tokens count, its times do not."""
    script = Script()
    turn = script.turn(1.0, 9.0)
    turn.llm(2.05, 2.1, 0.01, "P", **{attr.OUTCOME: "discarded"}, **llm_metrics(9, 1, 2.1))
    answered(turn)
    assert derive_session(script.spans).turns[0].latency.llm_node_ttft == 0.3


def test_every_field_of_livekits_usage_is_there() -> None:
    """Each usage class has LiveKit's fields, types and order."""
    usage = pytest.importorskip("livekit.agents.metrics.usage")
    from livekit_otel import turns

    for name in ("LLM", "TTS", "STT", "Interruption", "EOT"):
        theirs = getattr(usage, f"{name}ModelUsage")(provider="p", model="m").model_dump()
        ours = getattr(turns, f"{name}Usage")(provider="p", model="m").to_dict()
        assert list(ours.items()) == list(theirs.items())


def test_interruptions_are_counted() -> None:
    """Verdicts are counted per turn and per session; the rate is of turns in which the agent spoke."""
    script = Script()
    for verdicts in (["interruption", "backchannel"], [], ["false_interruption"], ["unknown"]):
        turn = script.turn(1.0, 9.0)
        answered(turn)
        for verdict in verdicts:
            turn.verdict(4.0, 4.5, verdict)
    script.turn(20.0, 21.0).stt(20.0, 21.0)
    script.loose().verdict(5.0, 5.1, "backchannel")
    session = derive_session(script.spans)
    assert [(one.interruptions, one.false_interruptions, one.backchannels) for one in session.turns] == [
        (1, 0, 1),
        (0, 0, 0),
        (0, 1, 0),
        (0, 0, 0),
        (0, 0, 0),
    ]
    assert (session.interruptions, session.false_interruptions, session.backchannels) == (1, 1, 2)
    assert session.interruption_rate == 0.25
    assert session.turn_count == 5


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank, over the turns that have the latency."""
    script = Script()
    for number in range(10):
        answered(script.turn(1.0, 20.0), e2e=1.1 + number / 10)
    script.turn(30.0, 31.0)
    session = derive_session(script.spans)
    expected = Percentiles(count=10, p50=1.4, p90=1.8, p95=1.9, p99=1.9, max=1.9)
    assert session.latency["e2e_latency"] == expected
    assert "llm_node_ttfs" not in session.latency
    assert sum(session.silence.values()) == pytest.approx(sum(t.latency.e2e_latency or 0 for t in session.turns))


def test_percentiles_of_long_calls() -> None:
    """Above the exact limit they are true to 1 %, in whatever order the values came, in bounded memory."""
    rng = random.Random(7)
    values = [int(rng.lognormvariate(20.5, 0.6)) for _ in range(EXACT * 5)]
    one, other = Quantiles(), Quantiles()
    for value in values:
        one.add(value)
    for value in sorted(values):
        other.add(value)
    assert one.result() == other.result()
    ordered = sorted(values)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        exact = ordered[int(len(ordered) * share) - 1] / 1e9
        assert getattr(one.result(), name) == pytest.approx(exact, rel=0.01)
    assert one.result().max == max(values) / 1e9
    assert len(one._buckets) < 3_000


def test_stages_without_their_turns_span() -> None:
    """After a crash the open turn's span is missing; its stages still make a turn, after those that ended."""
    script = Script()
    answered(script.turn(1.0, 9.0))
    answered(script.turn(10.0, 19.0), at=11.0)
    script.span(attr.KIND_SESSION_CHECKPOINT, 5.0, 5.0, "f" * 16)
    lost = next(one for one in script.spans if one.attributes.get(attr.TURN_INDEX) == 1)
    session = derive_session([one for one in script.spans if one is not lost])
    assert [(one.index, one.span_id == lost.span_id, one.latency.e2e_latency) for one in session.turns] == [
        (0, False, 1.4),
        (1, True, 1.4),
    ]


def test_stages_below_the_session_find_their_turn() -> None:
    """A stage below the session belongs to the latest turn before it that names its speech."""
    script = Script()
    for start in (1.0, 10.0):
        answered(script.turn(start, start + 8, **{attr.TURN_SPEECH_IDS: ("A", f"S{start:.0f}")}), at=start + 1)  # type: ignore[arg-type]
    script.loose().llm(12.0, 12.5, 0.1, "A", **llm_metrics(1, 0, 12.5, model="late"))
    script.loose().llm(0.5, 0.7, 0.1, "S10", **llm_metrics(1, 0, 0.7, model="early"))
    script.loose().llm(5.0, 5.5, 0.1, "nobody", **llm_metrics(1, 0, 5.5, model="none"))
    first, second = derive_session(script.spans).turns
    assert {one.model for one in first.usage} == {"gpt", "voice", "nova"}
    assert {one.model for one in second.usage} == {"gpt", "voice", "nova", "late", "early"}


def test_text_only_answer_has_the_answers_first_token() -> None:
    """Without audio the request is the one that answered, not the one that called a tool."""
    script = Script()
    turn = script.turn(1.0, 9.0)
    turn.llm(2.0, 3.0, 0.7, **{attr.RESPONSE_FINISH_REASONS: ("tool_call",)})  # type: ignore[arg-type]
    turn.llm(4.0, 5.0, 0.25)
    assert derive_session(script.spans).turns[0].latency.llm_node_ttft == 0.25


def test_nothing_at_all() -> None:
    """An empty session and an empty turn are no error."""
    empty = derive_session([])
    assert (empty.turns, empty.latency, empty.usage, empty.interruption_rate) == ((), {}, (), None)
    assert derive_turn([], index=3).index == 3


def test_values_that_a_store_turned_into_text() -> None:
    """Numbers and flags that come back as strings count the same."""
    script = Script()
    answered(script.turn(1.0, 9.0))
    texts = [
        type(one)(
            **{
                **{name: getattr(one, name) for name in one.__struct_fields__},
                "attributes": {
                    name: str(value) if not isinstance(value, str | tuple) else value
                    for name, value in one.attributes.items()
                },
            }
        )
        for one in script.spans
    ]
    assert derive_session(texts) == derive_session(script.spans)
