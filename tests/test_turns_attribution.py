"""Which turn a stage belongs to has one answer; and what is known of a turn whose stages are not there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from livekit_otel import SessionReport, SpanRecord, build_report, build_reports
from livekit_otel import attributes as attr
from livekit_otel.turns import derive_turn, turns_of
from livekit_otel.turns.around import arounds
from livekit_otel.turns.recorded import read_corrections

from .kit.trace import names, record
from .test_turns_session import answered
from .turns_kit import SESSION, Script, llm_metrics


def script_with_loose_stage(speech: str = "A") -> Script:
    """Two turns of one speech each, and a request below the session that names a speech."""
    script = Script()
    for number, name in enumerate(("A", "B")):
        turn = script.turn(1.0 + 10 * number, 9.0 + 10 * number, **{attr.TURN_SPEECH_IDS: (name,)})  # type: ignore[arg-type]
        answered(turn, at=2.0 + 10 * number)
    script.loose().llm(8.0, 9.5, 0.2, speech, **llm_metrics(40, 4, 9.5))
    return script


@pytest.mark.parametrize(("speech", "expected"), [("A", [1, 0]), ("B", [0, 1]), ("C", [0, 0])])
def test_a_stage_below_the_session_is_its_speechs_turns(speech: str, expected: list[int]) -> None:
    """The report's turn has it among its stages exactly where it counts in the turn's usage; by the speech it names."""
    script = script_with_loose_stage(speech)
    loose = script.spans[-1].span_id
    turns = build_report(script.spans).turns
    assert [sum(one.span_id == loose for one in turn.stages) for turn in turns] == expected
    counted = [sum(getattr(one, "input_tokens", 0) for one in turn.usage) for turn in turns]
    assert counted == [100 + 40 * number for number in expected]


@pytest.mark.parametrize("name", names())
def test_reports_and_derivation_agree_on_stages(name: str) -> None:
    """A turn's numbers are those of the stages that the report lists for it, in every scripted session."""
    for report in reports(record(name).pipeline):
        found = turns_of(report.spans)
        assert [turn.span_id for turn in report.turns] == [one.span_id for one in found]
        for turn, around in zip(report.turns, arounds(found, report.spans), strict=True):
            if turn.stages:
                assert derive_turn(turn.stages, turn.span, index=turn.index, around=around) == turn.derivation


def reports(spans: list[SpanRecord]) -> list[SessionReport]:
    return sorted(build_reports(spans), key=lambda report: report.session_id)


FILTERED = {"all": attr.STAGE_KINDS, "heard": {attr.KIND_VAD, attr.KIND_PLAYBACK, attr.KIND_INTERRUPTION}}


@pytest.mark.parametrize("filtered", FILTERED)
@pytest.mark.parametrize("name", names())
def test_turns_without_stages_say_what_was_recorded(name: str, filtered: str) -> None:
    """Where stage spans were filtered out, turns have the numbers that the trace recorded, with corrections."""
    spans = record(name).pipeline
    kept = [span for span in spans if span.kind not in FILTERED[filtered]]
    for whole, bare in zip(reports(spans), reports(kept), strict=True):
        assert [known(turn) for turn in bare.turns] == [known(turn) for turn in whole.turns]
        assert bare.latency == whole.latency
        assert bare.silence == whole.silence


def known(turn: Any) -> dict[str, Any]:
    derived = turn.derivation
    fields = (
        "index",
        "latency",
        "silence",
        "reported",
        "notes",
        "interruptions",
        "false_interruptions",
        "backchannels",
    )
    return {name: getattr(derived, name) for name in fields} | {"usage": [one.to_dict() for one in derived.usage]}


def test_corrections_are_needed() -> None:
    """Some scripted session has numbers that only a later correction says, so that the test above is about them."""
    corrected = [name for name in names() if read_corrections(record(name).pipeline)]
    assert "user_turn_without_reply" in corrected


@pytest.mark.parametrize(
    "damage", ["", "[", "[[0]]", '[["x","y",1]]', "\ud83d", 7, '[[0,"latency.e2e_latency","NaN"]]']
)
def test_damaged_corrections_are_left_out(damage: object) -> None:
    """A correction that cannot be read changes nothing, and what was read of others stays."""
    script = Script()
    script.turn(1.0, 9.0, **{attr.latency("e2e_latency"): 1.5, attr.derived("turn", "usage.by_model"): "[7]"})  # type: ignore[arg-type]
    script.span(attr.KIND_SESSION_CHECKPOINT, 9.0, 9.0, SESSION, **{f"{attr.TURN_LATE_PREFIX}000": damage})  # type: ignore[arg-type]
    fine = msgspec.json.encode([[0, "interruptions", 1]]).decode()
    script.span(attr.KIND_SESSION_END, 10.0, 10.0, SESSION, **{f"{attr.TURN_LATE_PREFIX}000": fine})  # type: ignore[arg-type]
    (turn,) = build_report(script.spans).turns
    assert turn.interruptions == 1
    assert turn.usage == ()
    assert turn.latency.e2e_latency in (1.5, None)


def test_start_of_the_session_survives_a_crash() -> None:
    """Without the session's own span, which is exported last, the report knows when start() ran."""
    spans = record("slow_hook").pipeline
    (session,) = (span for span in spans if span.kind == attr.KIND_SESSION)
    report = build_report([span for span in spans if span.kind != attr.KIND_SESSION])
    assert report.started_at == session.start_ns / 1e9
    begun = next(span for span in spans if span.kind == attr.KIND_SESSION_START)
    assert begun.start_ns >= session.start_ns
    assert begun.attributes[attr.SESSION_STARTED_AT] == report.started_at
