"""What went wrong with released plugins once, each held by a call of the tier."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from livekit_otel import SpanRecord, Turn
from livekit_otel import attributes as attr
from livekit_otel.spans import outcome as ended
from livekit_otel.turns import STTUsage

from .conftest import MODES, REQUIRED

if not os.environ.get(REQUIRED):
    pytest.importorskip("livekit.plugins.silero", reason=".ci/plugins installs tests/plugins/requirements.txt")

from .outcome import Outcome

pytestmark = pytest.mark.plugins
Find = Callable[[str, str], Outcome]

each_mode = pytest.mark.parametrize("mode", MODES)


def on(*names: str) -> pytest.MarkDecorator:
    """The calls that a test is about."""
    return pytest.mark.parametrize("name", names)


def _failed(outcome: Outcome, kind: str) -> SpanRecord:
    """The one stage of a kind that failed."""
    (span,) = [one for one in outcome.of_kind(kind) if ended(one.attributes) == attr.OUTCOME_ERROR]
    return span


def _answers(outcome: Outcome) -> list[Turn]:
    return [turn for turn in outcome.report.turns if turn.user_text]


@each_mode
@on(
    "a barge-in with a late interim",
    "a barge-in while the voice streams",
    "a barge-in, eleven streams",
    "an early barge-in, aura streams",
)
def test_a_barge_in_is_a_turn_of_its_own(outcome_of: Find, name: str, mode: str) -> None:
    """Three turns with an output that pauses: the greeting, what was cut off with its words, the answer to the rest."""
    greeting, cut, stop = outcome_of(name, mode).report.turns
    assert not greeting.user_text
    assert (cut.user_text, cut.end_reason) == ("tell me the history again", "interrupted")
    assert cut.agent_text.startswith("We began")
    assert (stop.user_text, stop.end_reason) == ("please stop it now", "completed")
    assert stop.latency.e2e_latency is not None


@each_mode
@on("a barge-in while the voice streams", "a barge-in, eleven streams", "an early barge-in, aura streams")
def test_a_voice_that_is_cut_off_has_its_times(outcome_of: Find, name: str, mode: str) -> None:
    """First sentence and first byte come from the stream where LiveKit reports nothing of it, and split the wait."""
    outcome = outcome_of(name, mode)
    cut = outcome.report.turns[1]
    (span,) = [one for one in cut.stages if one.kind == attr.KIND_TTS]
    assert ended(span.attributes) == attr.OUTCOME_CANCELLED
    assert (attr.metric("tts", "ttfb") in span.attributes) is ("eleven" in name)
    heard = (cut.latency.stopped_speaking_at or 0.0) + (cut.latency.e2e_latency or 0.0)
    first = max(at for at in outcome.times("tts first byte") if at <= heard + 0.01)
    assert cut.latency.llm_node_ttfs is not None
    assert cut.latency.tts_node_ttfb is not None
    (request,) = [one for one in cut.stages if one.kind == attr.KIND_LLM]
    sentence = request.start_ns / 1e9 + cut.latency.llm_node_ttfs
    assert sentence + cut.latency.tts_node_ttfb == pytest.approx(first, abs=outcome.exact(first))
    assert cut.silence["tts"] == pytest.approx(cut.latency.tts_node_ttfb, abs=outcome.exact(first))


@each_mode
@on("the voice dies in its answer")
def test_the_wait_for_a_voice_that_dies_later_is_its_own(outcome_of: Find, name: str, mode: str) -> None:
    """It is ``tts`` and no ``other``, and the failure is the turn's."""
    outcome = outcome_of(name, mode)
    turn = _answers(outcome)[1]
    assert turn.end_reason == "failed"
    assert turn.silence["tts"] > 0.15
    assert turn.silence["other"] < 0.05 + outcome.stalled
    assert _failed(outcome, attr.KIND_TTS).attributes[attr.ERROR_CLOSE_CODE] == 1011


@each_mode
@on("nova, the STT ends turns", "flux and aura, the STT ends turns")
def test_what_the_recognizer_takes_to_say_so_is_transcription(outcome_of: Find, name: str, mode: str) -> None:
    """The wait begins where VAD heard the user stop, not where the recognizer's end arrived."""
    outcome = outcome_of(name, mode)
    turns, finals = _answers(outcome), outcome.times("stt final")
    for turn, final in zip(turns, finals, strict=True):
        stopped = turn.latency.stopped_speaking_at or 0.0
        assert turn.silence["transcription"] == pytest.approx(max(0.0, final - stopped), abs=outcome.exact(final))
    assert max(turn.silence["transcription"] for turn in turns) > 0.15


@each_mode
@on("the recognizer's socket drops")
def test_a_dropped_socket_leaves_its_trace(outcome_of: Find, name: str, mode: str) -> None:
    """The words that follow say what the recognizer connected again for, and have both connections' ids."""
    outcome = outcome_of(name, mode)
    span = next(one for one in outcome.of_kind(attr.KIND_STT) if one.attributes.get(attr.STT_RETRIED_FOR))
    assert span.attributes[attr.STT_RETRIED_FOR] == ["APIStatusError"]
    assert span.attributes[attr.STT_RETRIED_CODES] == [1011]
    ids = {one["id"] for one in outcome.log if one["what"] == "stt connected"}
    found = {one for span in outcome.of_kind(attr.KIND_STT) for one in span.attributes[attr.STT_REQUEST_IDS]}  # type: ignore[union-attr]
    assert len(ids) == 2
    assert found == ids


@each_mode
@on("the recognizer falls back")
def test_each_recognizer_of_an_adapter_has_its_own(outcome_of: Find, name: str, mode: str) -> None:
    """The one that failed is named, in the turn of its words; what it is billed for is not on the other's span."""
    outcome = outcome_of(name, mode)
    turn = _answers(outcome)[1]
    words = [one for one in turn.stages if one.kind == attr.KIND_STT]
    failed, healthy = sorted(words, key=lambda one: ended(one.attributes) != attr.OUTCOME_ERROR)
    assert (failed.attributes[attr.REQUEST_MODEL], failed.attributes[attr.ERROR_CLOSE_CODE]) == ("nova-3", 1011)
    assert healthy.attributes[attr.PROVIDER_NAME] == "AssemblyAI"
    theirs = {one["model"]: one["audio_duration"] for one in outcome.usage if one["type"] == STTUsage.type}
    ours = {one.model: one.audio_duration for one in outcome.report.derivation.usage if isinstance(one, STTUsage)}
    assert ours == pytest.approx(theirs)


@each_mode
@on("the model refuses", "the voice gives up", "the model dies in its answer")
def test_a_turn_that_failed_says_so(outcome_of: Find, name: str, mode: str) -> None:
    """Its end reason is ``failed``, it is an error where nothing was heard, and codes are no content."""
    outcome = outcome_of(name, mode)
    turn = _answers(outcome)[1]
    assert turn.end_reason == "failed"
    assert turn.span is not None
    if name == "the model dies in its answer":
        assert turn.span.status != "error"
        assert _failed(outcome, attr.KIND_LLM).attributes[attr.ERROR_TYPE] == "APIConnectionError"
        return
    kind, status = (attr.KIND_LLM, 400) if name == "the model refuses" else (attr.KIND_TTS, 503)
    assert (turn.answered, turn.why_not, turn.span.status) == ("no", "failed", "error")
    for span in (turn.span, _failed(outcome, kind)):
        assert span.attributes[attr.HTTP_STATUS] == status


@each_mode
@on("the voice gives up", "the model is overloaded once", "the voice is refused once")
def test_a_repeated_attempt_says_why(outcome_of: Find, name: str, mode: str) -> None:
    """What each attempt failed with is on the span, by type and code."""
    kind = attr.KIND_LLM if "model" in name else attr.KIND_TTS
    retried = attr.LLM_RETRIED_CODES if kind == attr.KIND_LLM else attr.TTS_RETRIED_CODES
    (codes,) = [one.attributes[retried] for one in outcome_of(name, mode).of_kind(kind) if retried in one.attributes]
    closed = (1006, 1011)  # the plugin may see the socket gone before it has read why
    if name == "the model is overloaded once":
        assert codes == [503]
    else:
        first, *others = codes  # type: ignore[misc]
        assert first in closed
        assert others == ([503, 503] if name == "the voice gives up" else [])


@each_mode
@on("late finals", "very late finals")
def test_late_words_keep_their_speech(outcome_of: Find, name: str, mode: str) -> None:
    """The wait begins where the user stopped, the segment is the turn's, and what the words took is transcription."""
    outcome = outcome_of(name, mode)
    late = 0.9 if name == "late finals" else 1.8
    turns = _answers(outcome)
    for turn, final in zip(turns, outcome.times("stt final"), strict=True):
        assert [one.kind for one in turn.stages].count(attr.KIND_VAD) == 1
        stopped = turn.latency.stopped_speaking_at or 0.0
        assert turn.silence["transcription"] == pytest.approx(final - stopped, abs=outcome.exact(final))
    assert max(turn.silence["transcription"] for turn in turns) > late - outcome.stalled


@each_mode
@on("ink and sonic without VAD")
def test_without_vad_the_recognizer_says_when_speech_began(outcome_of: Find, name: str, mode: str) -> None:
    """Turn, ``stt`` and ``started_speaking_at`` begin where LiveKit says that the user began to speak."""
    outcome = outcome_of(name, mode)
    began = [at for at, state in outcome.user_states if state == "speaking"]
    for turn, at in zip(_answers(outcome), began, strict=True):
        (words,) = [one for one in turn.stages if one.kind == attr.KIND_STT]
        for found in (turn.start_ns / 1e9, words.start_ns / 1e9, turn.latency.started_speaking_at):
            assert found == pytest.approx(at, abs=0.02)


@each_mode
@on("the voice is refused once", "the voice falls back")
def test_a_retried_voice_takes_no_time_of_the_model(outcome_of: Find, name: str, mode: str) -> None:
    """Until its text was there the model is waited for, and the first sentence is known."""
    outcome = outcome_of(name, mode)
    turn = _answers(outcome)[1]
    (request,) = [one for one in turn.stages if one.kind == attr.KIND_LLM]
    assert turn.latency.llm_node_ttfs is not None
    asked = request.start_ns / 1e9 + turn.latency.llm_node_ttfs
    heard = (turn.latency.stopped_speaking_at or 0.0) + (turn.latency.e2e_latency or 0.0)
    exact = outcome.exact(asked)
    assert turn.silence["llm"] == pytest.approx(turn.latency.llm_node_ttfs, abs=exact)
    assert turn.silence["tts"] + turn.silence["playback"] == pytest.approx(heard - asked, abs=exact)
    if name == "the voice falls back":
        sent = min(at for at in outcome.times("tts request") if at > request.start_ns / 1e9)
        assert asked == pytest.approx(sent, abs=outcome.exact(sent))


@each_mode
@on("the voice dies in its answer")
def test_usage_after_the_last_words_is_no_utterance(outcome_of: Find, name: str, mode: str) -> None:
    """Recognizers bill by the clock: what comes after the last transcript is marked, and all other spans have words."""
    for span in outcome_of(name, mode).of_kind(attr.KIND_STT):
        assert (span.attributes.get(attr.STT_SPEECH) is False) != (attr.STT_TEXT in span.attributes)


@each_mode
@on("the voice gives up")
def test_a_voice_that_never_speaks_is_waited_for_from_its_text_on(outcome_of: Find, name: str, mode: str) -> None:
    """Until then it is the model's time, and nothing of the silence is nobody's."""
    outcome = outcome_of(name, mode)
    turn, failed = _answers(outcome)[1], _failed(outcome, attr.KIND_TTS)
    sent = min(at for at in outcome.times("tts request") if at > failed.start_ns / 1e9)
    (gap,) = turn.gaps
    assert gap.stages["tts"] == pytest.approx(failed.end_ns / 1e9 - sent, abs=outcome.exact(sent))
    assert gap.stages.get("other", 0.0) < 0.03 * gap.seconds + outcome.stalled


@each_mode
@on("other models")
def test_each_turn_names_the_models_that_served_it(outcome_of: Find, name: str, mode: str) -> None:
    """Words and voices before and after a change of models name each their own."""
    first, second = _answers(outcome_of(name, mode))
    for turn, expected in ((first, ("nova-3", "aura-2-andromeda-en")), (second, ("nova-2", "aura-2-thalia-en"))):
        spoken = [one for one in turn.stages if one.kind == attr.KIND_STT and attr.STT_TEXT in one.attributes]
        voices = [one for one in turn.stages if one.kind == attr.KIND_TTS]
        assert tuple(one.attributes[attr.REQUEST_MODEL] for one in (*spoken, *voices)) == expected
