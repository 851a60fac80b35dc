"""Waits and first tokens, held against the servers' logs and the loudspeaker."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import pytest

from livekit_otel import attributes as attr

from .play import Played

Calls = Callable[[str, bool], Played]
MODES = pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
#: seconds by which two who look at the same moment may differ
NEAR = 0.05
BY_SERVER = (
    *("openai_talk", "openai_late_words", "openai_noise", "openai_messages", "openai_reconnect", "openai_closed"),
    *("openai_own_stt", "openai_half_cascade", "xai_talk", "azure_talk"),
)
BY_SESSION = ("openai_turns_of_the_session", "gemini_turns_of_the_session", "openai_half_cascade_own_stt")
GEMINI = ("gemini_talk", "gemini_usage", "gemini_turns_of_the_session")


@MODES
@pytest.mark.parametrize("talk", BY_SERVER)
def test_waits_begin_at_the_servers_end_of_speech(traced: Calls, talk: str, native: bool) -> None:
    """A wait lasts from the server's end of speech to the loudspeaker's first sound, however late that is reported."""
    one = traced(talk, native)
    spoken = [turn for turn in one.report.turns if turn.latency.stopped_speaking_at is not None]
    stops = one.call.server.log.times("speech stopped")
    assert len(spoken) == len(stops)
    for turn, stopped in zip(spoken, stops, strict=True):
        heard = one.call.speaker.started[bisect_left(one.call.speaker.started, stopped)]
        assert turn.latency.stopped_speaking_at == pytest.approx(stopped, abs=one.near(stopped))
        assert turn.latency.e2e_latency == pytest.approx(heard - stopped, abs=one.near(heard))


@MODES
@pytest.mark.parametrize("talk", BY_SESSION)
def test_waits_begin_at_the_vads_end_of_speech(traced: Calls, talk: str, native: bool) -> None:
    """Where the session's VAD ends the turns, the wait is LiveKit's, and ends with the loudspeaker's first sound."""
    one = traced(talk, native)
    assert len(one.report.turns) == len(one.call.spoken) == len(one.call.speaker.started)
    for turn, heard in zip(one.report.turns, one.call.speaker.started, strict=True):
        stopped, wait = turn.latency.stopped_speaking_at, turn.latency.e2e_latency
        assert stopped is not None
        # LiveKit before 1.8.9 reports none of a realtime model's
        assert wait == pytest.approx(turn.reported.get("e2e_latency", wait), abs=NEAR)
        assert wait == pytest.approx(heard - stopped, abs=one.near(heard))


@MODES
@pytest.mark.parametrize("talk", [*BY_SERVER, "openai_turns_of_the_session"])
def test_responses_begin_where_the_server_creates_them(traced: Calls, talk: str, native: bool) -> None:
    """A response's span begins when the server created it, and its first token is when the server sent that."""
    one = traced(talk, native)
    log = one.call.server.log
    for span in one.of(attr.KIND_REALTIME):
        if not span.attributes.get(attr.REALTIME_RESPONSE, True):
            continue
        response = str(span.attributes[attr.RESPONSE_ID])
        (created,) = log.times("response created", response)
        assert span.start_ns / 1e9 == pytest.approx(created, abs=one.near(created))
        output = log.times("first output", response)
        ttft = span.attributes.get(attr.metric("realtime", "ttft"))
        if ttft is not None:
            assert span.start_ns / 1e9 + float(ttft) == pytest.approx(output[0], abs=one.near(output[0]))  # type: ignore[arg-type]


@MODES
@pytest.mark.parametrize("talk", GEMINI)
def test_geminis_first_audio_is_when_its_server_sent_it(traced: Calls, talk: str, native: bool) -> None:
    """LiveKit has no first token of Gemini's; the first audio that is heard is the first that the server sent."""
    one = traced(talk, native)
    offsets = [(span.start_ns, span.attributes.get(attr.REALTIME_FIRST_AUDIO)) for span in one.of(attr.KIND_REALTIME)]
    heard = [start / 1e9 + float(offset) for start, offset in offsets if offset is not None]  # type: ignore[arg-type]
    sent = one.call.server.log.times("first output")
    assert len(heard) == len(sent)
    for ours, theirs in zip(heard, sent, strict=True):
        assert ours == pytest.approx(theirs, abs=one.near(theirs))


@MODES
def test_the_models_own_latency_is_the_models(traced: Calls, native: bool) -> None:
    """What a model needs from the commit to its first audio is ``llm``, also where its plugin reports only that."""
    one = traced("gemini_turns_of_the_session", native)
    for turn, sent in zip(one.report.turns, one.call.server.log.times("first output"), strict=True):
        # the script: a second to its first words, a tenth of one to its first audio
        assert turn.silence["llm"] == pytest.approx(1.1, abs=one.near(sent, 2 * NEAR))
        assert turn.silence["other"] == 0


@MODES
def test_a_second_message_is_no_first_audio(traced: Calls, native: bool) -> None:
    """The first audio of a response is that of its first message."""
    one = traced("openai_messages", native)
    (response,) = [span for span in one.of(attr.KIND_REALTIME) if span.attributes.get(attr.REALTIME_RESPONSE, True)]
    first = response.start_ns / 1e9 + float(response.attributes[attr.REALTIME_FIRST_AUDIO])  # type: ignore[arg-type]
    assert len(one.call.speaker.started) == 2
    heard = one.call.speaker.started[0]
    assert first == pytest.approx(heard, abs=one.near(heard))


@MODES
def test_no_time_of_the_tier_is_nobodys(traced: Calls, native: bool) -> None:
    """Of all silences of these calls less than 3 % are ``other``; each turn's stages sum to its wait."""
    by_stage: dict[str, float] = {}
    for talk in (*BY_SERVER, *BY_SESSION, *GEMINI):
        for turn in traced(talk, native).report.turns:
            parts = [*turn.path, *(part for gap in turn.gaps for part in gap.path)]
            for part in parts:
                by_stage[part.stage] = by_stage.get(part.stage, 0.0) + (part.end_ns - part.start_ns) / 1e9
            if turn.latency.e2e_latency is not None:
                assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency, abs=1e-6)
    assert by_stage.get("other", 0.0) < 0.03 * sum(by_stage.values())


@MODES
def test_geminis_user_began_with_the_answer(traced: Calls, native: bool) -> None:
    """LiveKit says that the user began when Gemini's answer was created; the session's VAD heard them before."""
    one = traced("gemini_turns_of_the_session", native)
    for turn, (_, stopped), sent in zip(
        one.report.turns, one.call.spoken, one.call.server.log.times("first output"), strict=True
    ):
        ours, theirs = turn.latency.started_speaking_at, turn.reported["started_speaking_at"]
        assert ours is not None
        assert ours < stopped < theirs < sent
        assert any(note.startswith("started_speaking_at") for note in turn.notes)
