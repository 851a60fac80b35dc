"""A report's turns: latencies, silence and usage over real LiveKit sessions, from the exported file alone."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from livekit_otel import SessionReport, build_report, build_reports, read_spans
from livekit_otel import attributes as attr
from livekit_otel.report import Turn
from livekit_otel.report.render_json import to_document
from livekit_otel.turns import TurnLatency, derive_session
from livekit_otel.turns.latency import TOLERANCE
from tests import report_kit

from .kit.trace import OWN_MODELS, names, record

#: what LiveKit alone reports: of a filler that comes first, of a hook that is cut off with the call, of words that come
#: when the answer has been asked for
ONLY_REPORTED = {
    # LiveKit counts from the moment at which its filters let the first text pass
    "tts_node_of_its_own": {"tts_node_ttfb"},
    "tool_that_speaks": {"llm_node_ttfs"},
    "tool_with_filler": {"llm_node_ttfs"},
    "filler_before_a_slow_answer": {"llm_node_ttfs"},
    "cut_off_while_waiting": {"on_user_turn_completed_delay"},
    "realtime_committed_by_hand": {"transcription_delay"},
}
#: (scenario, latency): differences from LiveKit's own values; docs/latency.md explains each
EXPLAINED = {
    ("batch_recognizer", "started_speaking_at"),
    ("noise_before_a_reply_made_ahead", "started_speaking_at"),
    ("noise_is_no_turn", "started_speaking_at"),
    ("transcription_times_out", "started_speaking_at"),
    ("tool_that_speaks", "e2e_latency"),
    ("tool_with_filler", "e2e_latency"),
    ("realtime_committed_by_hand", "end_of_turn_delay"),
    ("filler_before_a_slow_answer", "e2e_latency"),
    *itertools.product(
        (
            "few_words_and_a_batch_recognizer",
            "interrupted_by_code_after_noise",
            "recognizer_that_is_faster_than_vad",
        ),
        ("e2e_latency", "end_of_turn_delay", "stopped_speaking_at", "transcription_delay"),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


def reports(name: str, folder: Path) -> list[SessionReport]:
    """The reports of a scenario, by start, read from the file that the official exporter wrote."""
    path = folder / f"{name}.jsonl"
    if not path.exists():
        path.write_text(record(name).text, encoding="utf-8")
    return sorted(build_reports(read_spans(path)), key=lambda report: report.started_at or 0.0)


def all_turns(name: str, folder: Path) -> Iterator[Turn]:
    for report in reports(name, folder):
        yield from report.turns


@pytest.mark.parametrize("name", names())
def test_silence_sums_to_the_whole(name: str, folder: Path) -> None:
    """The stages of each turn's silence sum to its e2e_latency, none is negative, and the session's are their sums."""
    for report in reports(name, folder):
        sums = dict.fromkeys(attr.SILENCE_STAGES, 0.0)
        for turn in report.turns:
            assert all(value >= 0 for value in turn.silence.values())
            assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency or 0.0, abs=1e-6)
            assert bool(turn.silence) == (turn.latency.e2e_latency is not None)
            assert sum(one.end_ns - one.start_ns for one in turn.path) / 1e9 == (turn.latency.e2e_latency or 0.0)
            sums = {stage: value + turn.silence.get(stage, 0.0) for stage, value in sums.items()}
        assert report.silence == (pytest.approx(sums, abs=1e-6) if report.silence else {})
        assert any(sums.values()) == bool(report.silence)


@pytest.mark.parametrize("name", names())
def test_latencies_are_livekits(name: str, folder: Path) -> None:
    """Derived and reported values agree within 5 ms wherever both exist, but for the documented differences."""
    for turn in all_turns(name, folder):
        differing = set()
        for one, theirs in turn.reported.items():
            ours = getattr(turn.latency, one)
            if ours is not None and one != "llm_node_tps" and abs(ours - theirs) > TOLERANCE:
                differing.add(one)
        assert {(name, one) for one in differing} <= EXPLAINED
        assert [note.split(":")[0] for note in turn.notes] == [n for n in attr.REPORTED_METRICS if n in differing]


def test_noise_before_the_first_words(folder: Path) -> None:
    """LiveKit counts noise before the first words as speech; the turn here begins where the words do."""
    for name in ("batch_recognizer", "noise_is_no_turn", "transcription_times_out"):
        earlier = [
            turn.reported["started_speaking_at"] - turn.latency.started_speaking_at
            for turn in all_turns(name, folder)
            if turn.latency.started_speaking_at is not None and "started_speaking_at" in turn.reported
        ]
        assert min(earlier) < -TOLERANCE
        assert max(earlier) <= TOLERANCE


def test_what_is_heard_after_the_words(folder: Path) -> None:
    """LiveKit counts from whatever was heard last before the commit; the wait here is that of the committed words."""
    _, few, _ = all_turns("few_words_and_a_batch_recognizer", folder)
    assert (few.latency.e2e_latency, few.reported["e2e_latency"]) == pytest.approx((6.0, 0.6), abs=1e-6)
    (noise,) = all_turns("interrupted_by_code_after_noise", folder)
    assert (noise.latency.e2e_latency, noise.reported["e2e_latency"]) == pytest.approx((0.88, 0.6), abs=1e-6)


def test_a_recognizer_that_ends_the_turns(folder: Path) -> None:
    """LiveKit counts from the recognizer's end of speech; the wait begins where VAD last heard the user."""
    for turn in all_turns("recognizer_that_is_faster_than_vad", folder):
        assert turn.latency.e2e_latency == pytest.approx(turn.reported["e2e_latency"] + 0.1, abs=1e-6)
        assert turn.latency.stopped_speaking_at == pytest.approx(turn.reported["stopped_speaking_at"] - 0.1, abs=1e-6)


def test_a_model_that_is_asked_before_the_words_come(folder: Path) -> None:
    """A turn committed by hand is over with the call that asks the model; LiveKit counts to the words that follow."""
    *_, turn = all_turns("realtime_committed_by_hand", folder)
    assert turn.latency.end_of_turn_delay == pytest.approx(0.3, abs=1e-6)
    assert turn.reported["end_of_turn_delay"] == pytest.approx(0.6, abs=TOLERANCE)


def test_first_audio_counts(folder: Path) -> None:
    """A tool that speaks while it works ends the silence; LiveKit measures to the answer that follows."""
    (turn,) = all_turns("tool_that_speaks", folder)
    assert turn.latency.e2e_latency == pytest.approx(0.6, abs=1e-6)
    assert turn.reported["e2e_latency"] == pytest.approx(2.7, abs=TOLERANCE)
    assert turn.notes == ("e2e_latency: LiveKit reported 2.700 s, the spans say 0.600 s",)
    assert (turn.latency.llm_node_ttfs, turn.reported["llm_node_ttfs"]) == (None, pytest.approx(0.28, abs=TOLERANCE))


def test_answers_nobody_heard(folder: Path) -> None:
    """An answer in text only ends no silence; LiveKit measures to its first text, and calls its playback 0."""
    *_, report = reports("two_sessions_in_one_job", folder)
    (turn,) = report.turns
    assert not [one for one in turn.stages if one.kind == attr.KIND_PLAYBACK]
    assert (turn.latency.e2e_latency, turn.latency.playback_latency, turn.silence, turn.path) == (None, None, {}, ())
    assert turn.reported["e2e_latency"] == pytest.approx(0.5, abs=TOLERANCE)
    for name in ("typed_questions", "realtime_conversation"):
        for turn in all_turns(name, folder):
            assert turn.reported["playback_latency"] == 0.0
            assert turn.latency.playback_latency is None


@pytest.mark.parametrize("name", names())
def test_what_only_livekit_reports(name: str, folder: Path) -> None:
    """Where LiveKit reports a latency, the trace has it too, unless nobody heard an answer or a tool spoke first."""
    for turn in all_turns(name, folder):
        missing = {one for one in turn.reported if getattr(turn.latency, one) is None}
        silent = turn.derivation.answered_ns is None or any(one.kind == attr.KIND_REALTIME for one in turn.stages)
        expected = {"e2e_latency", "playback_latency"} if silent else set()
        assert missing <= expected | ONLY_REPORTED.get(name, set())


@pytest.mark.parametrize(
    ("name", "silence"),
    [
        ("question_and_answer", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.1}),
        ("slow_voice", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 1.5}),
        ("slow_hook", {"transcription": 0.1, "eou": 0.2, "hook": 0.7, "llm": 0.32, "tts": 0.1}),
        ("preemptive_generation_used", {"transcription": 0.1, "eou": 0.7, "tts": 0.1}),
        ("one_tool", {"transcription": 0.1, "eou": 0.2, "llm": 0.48, "tool": 0.3, "tts": 0.1}),
        ("avatar_starts_late", {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.1, "playback": 0.4}),
        ("tool_that_speaks", {"transcription": 0.1, "eou": 0.2, "llm": 0.2, "tts": 0.1}),
    ],
)
def test_silence_is_the_scripts(name: str, silence: dict[str, float], folder: Path) -> None:
    """Stages of known length on the virtual clock come back from the file to the microsecond, each with its name."""
    turn = next(one for one in all_turns(name, folder) if one.silence)
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **silence}, abs=1e-6)


def test_two_requests_and_a_tool_are_told_apart(folder: Path) -> None:
    """The path of an answer that needed a tool shows the request, the tool and the second request in turn."""
    (turn,) = all_turns("one_tool", folder)
    path = [(one.stage, (one.end_ns - one.start_ns) / 1e9) for one in turn.path if one.end_ns - one.start_ns > 1_000]
    assert [stage for stage, _ in path] == ["transcription", "eou", "llm", "tool", "llm", "tts"]
    assert [seconds for _, seconds in path] == pytest.approx([0.1, 0.2, 0.2, 0.3, 0.28, 0.1], abs=1e-6)


@pytest.mark.parametrize("name", [name for name in names() if name not in OWN_MODELS])
def test_usage_is_livekits(name: str, folder: Path) -> None:
    """The report's usage is LiveKit's, what the stage spans sum up to is the same, and the report stays LiveKit's."""
    for report, outcome in zip(reports(name, folder), record(name).outcomes, strict=True):
        before = json.dumps(report.to_dict())
        theirs = [_without_zeros(one) for one in outcome.report["usage"] or []]
        assert [_without_zeros(one) for one in report.usage] == theirs
        assert [_without_zeros(one.to_dict()) for one in report.derivation.usage] == theirs
        assert json.dumps(report.to_dict()) == before


def _without_zeros(usage: dict[str, Any]) -> dict[str, Any]:
    """LiveKit adds seconds with rounding at each step: compared to the picosecond."""
    return {k: round(v, 12) if isinstance(v, float) else v for k, v in usage.items() if v}


def test_discarded_generations_are_shown_apart(folder: Path) -> None:
    """Tokens of a preemptive generation that was thrown away are in the usage, and named as discarded."""
    (report,) = reports("preemptive_generation_discarded", folder)
    (turn,) = report.turns
    (wasted,) = turn.discarded
    assert report.discarded == turn.discarded
    assert (wasted.type, wasted.to_dict()["input_tokens"]) == ("llm_usage", 20)
    assert report.usage[0]["input_tokens"] == 40


def test_a_turn_says_what_the_derivation_says(folder: Path) -> None:
    """Every derived attribute of a turn and of the session is that of derive_session, joined by the turn's span."""
    (report,) = reports("barge_in", folder)
    derived = derive_session(report.spans)
    assert report.derivation == derived
    assert report.latency == derived.latency
    assert report.latency["e2e_latency"].count == 2
    counts = (report.interruptions, report.false_interruptions, report.backchannels, report.interruption_rate)
    assert counts == (1, 0, 0, 0.5)
    for turn, own in zip(report.turns, derived.turns, strict=True):
        assert turn.span_id == own.span_id
        assert turn.derivation == own
        assert (turn.latency, turn.silence, turn.path) == (own.latency, own.silence, own.path)
        assert (turn.usage, turn.discarded, turn.notes) == (own.usage, own.discarded, own.notes)
        assert turn.reported == own.reported
        assert (turn.interruptions, turn.false_interruptions, turn.backchannels) == (
            own.interruptions, own.false_interruptions, own.backchannels,
        )  # fmt: skip
        assert {stage.parent_id for stage in turn.stages} == {turn.span_id}


def test_latency_has_livekits_names() -> None:
    """A turn's latency has one attribute per name of LiveKit's MetricsReport, and those of the whole wait."""
    assert TurnLatency.__struct_fields__ == attr.DERIVED_LATENCIES
    assert (*attr.REPORTED_METRICS, "answer_latency", "dead_air", "wait") == attr.DERIVED_LATENCIES


def test_a_turn_that_broke_off(folder: Path) -> None:
    """A turn whose own span is missing has the latencies of the stages that were exported."""
    (whole,) = reports("question_and_answer", folder)
    kept = [one for one in whole.spans if one.kind in (*attr.STAGE_KINDS, attr.KIND_SESSION_START)]
    report = build_report(kept)
    (turn,) = report.turns
    assert turn.span is None
    assert turn.latency == whole.turns[0].latency
    assert turn.silence == whole.turns[0].silence
    assert turn.reported == {}


@pytest.mark.parametrize("name", ["one_tool", "realtime_late_usage", "preemptive_generation_discarded"])
def test_stores_that_keep_text_only(name: str, folder: Path) -> None:
    """Where every attribute came back as text, the numbers are the same."""
    for report in reports(name, folder):
        texts = [
            msgspec.structs.replace(one, attributes={k: _text(v) for k, v in one.attributes.items()})
            for one in report.spans
        ]
        assert derive_session(texts) == report.derivation


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode() if isinstance(value, list | tuple) else str(value)


def test_nothing_is_derived_until_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, to_dict() and the list of turns cost no derivation; it is made once, when a number is asked for."""
    made = []
    monkeypatch.setattr(
        "livekit_otel.report.model.derive_session", lambda *given: made.append(1) or derive_session(*given)
    )
    call = report_kit.call(turns=3)
    report = build_report(report_kit.records(call.spans))
    assert report.to_dict() == call.report
    assert [turn.index for turn in report.turns] == [0, 1, 2]
    assert report.turns[0].reported == {"e2e_latency": 1.234}
    assert made == []
    assert [turn.latency.e2e_latency is not None for turn in report.turns] == [False] * 3
    assert report.latency
    assert made == [1]
    report.to_dict()["more"] = 1
    assert "more" not in report.to_dict()


def test_full_document(folder: Path) -> None:
    """JSON with everything has each turn's latencies, silence, path, usage and notes, and the session's."""
    (report,) = reports("tool_that_speaks", folder)
    ours = to_document(report, full=True)["livekit_otel"]
    (turn,) = ours["turns"]
    assert turn["latency"] == msgspec.structs.asdict(report.turns[0].latency)
    assert turn["silence"] == report.turns[0].silence
    assert turn["notes"] == list(report.turns[0].notes)
    assert [one["stage"] for one in turn["path"]][:2] == ["transcription", "eou"]
    assert ours["latency"]["e2e_latency"]["max"] == turn["latency"]["e2e_latency"]
    assert ours["silence"] == report.silence
    assert (ours["interruptions"], ours["backchannels"], ours["interruption_rate"]) == (0, 0, 0.0)
    msgspec.json.encode(ours)


def test_importing_the_report_stays_light() -> None:
    """A report needs neither rich nor jinja2; only the terminal's and the page's renderers do."""
    code = "import sys, livekit_otel.report.render_text; print({'rich', 'jinja2', 'typer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
