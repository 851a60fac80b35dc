"""What the processor says while a call runs equals what a report says afterwards, to the last digit."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livekit_otel import attributes as attr
from livekit_otel.turns import derive_session

from .turns_kit import Exchange, Script, llm_metrics, stt_metrics, tts_metrics
from .turns_live import Live, assert_live_equals_rebuilt

moments = st.integers(0, 8_000).map(lambda ms: ms / 1000)
lengths = st.one_of(st.just(0.0), st.floats(0, 3, allow_nan=False), st.integers(0, 3000).map(lambda ms: ms / 1000))
speeches = st.sampled_from(["A", "A", "B", None])
offsets = st.one_of(st.none(), st.floats(0, 2, allow_nan=False))
outcomes = st.sampled_from(["completed", "completed", "completed", "error", "cancelled", "discarded"])
REASONS = ["", "completed", "interrupted", "session_closed", "failed", "no_reply"]
KINDS = ["vad", "stt", "eou", "not_committed", "llm", "tts", "tool", "playback", "realtime", "verdict"]


@st.composite
def sessions(draw: Any) -> Script:
    """Turns with any stages at any times, some without sense: the numbers must hold all the same."""
    script = Script()
    exchanges = []
    for _ in range(draw(st.integers(1, 4))):
        start = draw(moments)
        reported = draw(st.dictionaries(st.sampled_from(attr.REPORTED_METRICS), st.floats(0, 5), max_size=3))
        more = {attr.reported(name): value for name, value in reported.items()}
        more[attr.TURN_SPEECH_IDS] = tuple(draw(st.lists(st.sampled_from("ABX"), unique=True)))
        if reason := draw(st.sampled_from(REASONS)):
            more[attr.END_REASON] = reason
        exchanges.append(script.turn(start, start + draw(lengths), has_user=draw(st.booleans()), **more))
    exchanges.append(script.loose())
    for _ in range(draw(st.integers(0, 24))):
        stage(draw, draw(st.sampled_from(exchanges)))
    return script


def stage(draw: Any, turn: Exchange) -> None:
    kind, start = draw(st.sampled_from(KINDS)), draw(moments)
    end, speech, first = start + draw(lengths), draw(speeches), draw(offsets)
    outcome = {attr.OUTCOME: draw(outcomes)}
    amount, seconds = draw(st.integers(0, 500)), draw(st.floats(0, 9))
    if kind == "vad":
        turn.vad(start, end)
    elif kind == "stt":
        turn.stt(start, end, **outcome, **(stt_metrics(seconds, end) if draw(st.booleans()) else {}))
    elif kind == "eou":
        turn.eou(start, end, hook=first, speech=speech)
    elif kind == "not_committed":
        turn.not_committed(start, end)
    elif kind == "llm":
        metrics = llm_metrics(amount, amount // 3, end, model=draw(st.sampled_from(["gpt", "mini"])))
        turn.llm(start, end, first, speech, **outcome, **metrics)
    elif kind == "tts":
        turn.tts(start, end, first, ttfb=draw(offsets), speech=speech, **outcome, **tts_metrics(amount, seconds, end))
    elif kind == "tool":
        turn.tool(start, end, speech)
    elif kind == "playback":
        pauses = {attr.PLAYBACK_PAUSES: (0.25, 0.5)} if draw(st.booleans()) else {}
        turn.playback(start, end, speech, **pauses)
    elif kind == "realtime":
        turn.realtime(start, end, first, speech)
    else:
        verdict = draw(st.sampled_from(["interruption", "false_interruption", "backchannel", "unknown"]))
        turn.verdict(start, end, verdict)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(sessions(), st.randoms(use_true_random=False))
def test_live_equals_rebuilt_in_any_order(script: Script, rng: Any) -> None:
    """Whatever the session and whatever the order in which its spans end, both ways give the same numbers."""
    order = list(range(len(script.spans)))
    rng.shuffle(order)
    assert_live_equals_rebuilt(Live().play(script.spans, order))


def test_what_no_longer_holds_is_taken_back() -> None:
    """A number that a live turn was told and a later stage makes wrong is gone from the trace in the end."""
    script = Script()
    turn = script.turn(0, 1)
    first, second = turn.eou(1, 1, hook=0.5), turn.eou(1, 1, hook=None)
    # decisions of one moment are ordered by their span ids, which are drawn: some rounds take the number back
    for _ in range(12):
        for stages in ((first, second), (second, first)):
            order = [script.spans.index(one) for one in (*stages, script.spans[0])]
            assert_live_equals_rebuilt(Live().play(script.spans, order))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(sessions())
def test_silence_sums_to_the_whole(script: Script) -> None:
    """The stages sum to e2e_latency within a microsecond, none is negative, and the path has no gap."""
    for turn in derive_session(script.spans).turns:
        if turn.latency.e2e_latency is None:
            assert turn.silence == {}
            assert turn.path == ()
            continue
        assert list(turn.silence) == list(attr.SILENCE_STAGES)
        assert min(turn.silence.values()) >= 0
        assert abs(sum(turn.silence.values()) - turn.latency.e2e_latency) < 1e-6
        assert sum(one.end_ns - one.start_ns for one in turn.path) == round(turn.latency.e2e_latency * 1e9)
        assert all(one.start_ns < one.end_ns for one in turn.path)
        assert [one.end_ns for one in turn.path[:-1]] == [one.start_ns for one in turn.path[1:]]
        if turn.path:
            assert turn.path[-1].end_ns == turn.answered_ns
        assert all(value is None or value >= 0 for value in _latencies(turn.latency))


def _latencies(latency: Any) -> list[float | None]:
    return [getattr(latency, name) for name in attr.REPORTED_METRICS]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(sessions(), st.randoms(use_true_random=False))
def test_order_and_copies_do_not_matter(script: Script, rng: Any) -> None:
    """The derivation is the same for spans in any order, some of them twice."""
    again = script.spans + rng.sample(script.spans, len(script.spans) // 2)
    rng.shuffle(again)
    assert derive_session(again) == derive_session(script.spans)
