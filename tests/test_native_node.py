"""Calls that LiveKit's own tracing for Node.js recorded give reports that say what agents-js says, in seconds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from livekit_otel import SessionReport, SpanRecord, build_report, build_reports
from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.report.verdict import verdict

from .native.known import known_of
from .native.newest import changes, reported_delays
from .native.page import NODE, PAGE, README, with_conversation, with_report
from .native.recordings import FOLDER, Recording, differences, recordings

MAX_BYTES = 100_000
each_release = pytest.mark.parametrize("release", NODE)
CALLS = {
    *("greeting", "greeting_by_generate_reply", "question_and_answer", "typed_question", "tool_with_preamble"),
    *("tool_that_raises", "request_that_is_retried", "request_that_fails", "closed_by_an_error", "handoff"),
    *("barge_in", "barge_in_without_words", "preemptive_generation", "end_of_turn_model", "closed_while_speaking"),
    "realtime",
}


@each_release
def test_recorded_calls_read_to_livekits_reports(release: str) -> None:
    """Words, order, tools, handoffs and tokens are those of agents-js's own report, but for what is listed."""
    found, known = {}, {}
    for name, call in recordings(release).items():
        assert len(call.ours) == len(call.theirs) == 1, name
        found[name] = differences(call.ours[0], call.theirs[0])
        known[name] = set(known_of(release, name))
    assert found == known
    assert found.keys() == CALLS


@each_release
def test_latencies_are_livekits(release: str) -> None:
    """Of each spoken turn e2e, transcription and end-of-turn delay equal agents-js's numbers, in seconds."""
    compared = 0
    for name, call in recordings(release).items():
        theirs = list(reported_delays(call.theirs[0]))
        ours = [turn for turn in call.ours[0].turns if turn.latency.transcription_delay is not None]
        assert len(ours) == len(theirs), name
        for turn, (text, numbers) in zip(ours, theirs, strict=True):
            assert turn.user_text == text
            for what, number in numbers.items():
                compared += 1
                assert turn.reported[what] == pytest.approx(number, abs=1e-6), (name, what)
                derived = getattr(turn.latency, what)
                # a microsecond is what subtracting Unix times in JavaScript's doubles leaves
                assert derived == pytest.approx(number, abs=1e-6), (name, what)
    assert compared > 40


@each_release
def test_no_millisecond_is_taken_for_a_second(release: str) -> None:
    """No wait is longer than the call, no number is below nothing; this holds without the resource, too."""
    for call in recordings(release).values():
        bare = build_report([msgspec.structs.replace(span, resource={}) for span in call.spans])
        assert bare.provenance == "native node"
        for report in (call.ours[0], bare):
            assert report.duration is not None
            for turn in report.turns:
                numbers = [getattr(turn.latency, name) for name in attr.DERIVED_LATENCIES if name not in NO_LENGTHS]
                found = [*numbers, *turn.silence.values(), *turn.reported.values()]
                assert all(0 <= one <= report.duration for one in found if one is not None)


NO_LENGTHS = {"started_speaking_at", "stopped_speaking_at", "llm_node_tps"}


@each_release
def test_values_that_became_texts(release: str) -> None:
    """A store that keeps texts only changes nothing."""
    for call in recordings(release).values():
        texts = [
            msgspec.structs.replace(span, attributes={key: _text(value) for key, value in span.attributes.items()})
            for span in call.spans
        ]
        assert _outline(build_report(texts)) == _outline(call.ours[0])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _outline(report: SessionReport) -> Any:
    turns = [(turn.user_text, turn.agent_text, turn.latency, dict(turn.silence)) for turn in report.turns]
    return report.to_dict(), turns


def _turns(release: str, name: str) -> list[Any]:
    return recordings(release)[name].ours[0].turns


@each_release
def test_what_became_of_turns(release: str) -> None:
    """Steps of a speech are one turn; failures, interruptions and pauses are told apart."""
    (turn,) = _turns(release, "tool_with_preamble")
    assert (turn.user_text, turn.agent_text) == ("a tulip please", "One moment.  Here you are.")
    assert [stage.kind for stage in turn.stages if stage.kind in ("llm", "tool", "playback")] == [
        "llm", "tool", "playback", "llm", "playback",
    ]  # fmt: skip
    assert [turn.end_reason for turn in _turns(release, "request_that_fails")] == ["failed"]
    assert {turn.end_reason for turn in _turns(release, "closed_by_an_error")} == {"failed"}
    assert [turn.end_reason for turn in _turns(release, "barge_in")] == ["interrupted", "completed"]
    (paused,) = _turns(release, "barge_in_without_words")
    assert (paused.interruptions, paused.false_interruptions) == (0, 1)
    (retried,) = _turns(release, "request_that_is_retried")
    assert [one.attributes[attr.LLM_ATTEMPTS] for one in retried.stages if one.kind == "llm"] == [2]
    (early,) = _turns(release, "preemptive_generation")
    assert [one.attributes.get(attr.LLM_PREEMPTIVE) for one in early.stages if one.kind == "llm"] == [True]
    (detected,) = _turns(release, "end_of_turn_model")
    (decision,) = (one for one in detected.stages if one.kind == "eou")
    assert decision.attributes[attr.EOU_PROBABILITY] == 0.9
    assert decision.attributes[attr.EOU_DELAY] == 0.3


@each_release
def test_every_field_of_the_metrics_is_there(release: str) -> None:
    """Each field of agents-js's metrics on a span is an attribute of its stage, under Python's name and in seconds."""
    seen: dict[str, set[str]] = {kind: set() for kind in FIELDS}
    for call in recordings(release).values():
        for span in call.ours[0].spans:
            prefix = attr.metric(span.kind, "")
            if span.kind in FIELDS:
                seen[span.kind] |= {name.removeprefix(prefix) for name in span.attributes if name.startswith(prefix)}
    assert {kind: fields - seen[kind] for kind, fields in FIELDS.items()} == {kind: set() for kind in FIELDS}


_OF_ALL = {"label", "request_id", "timestamp", "duration", "cancelled"}
_USED = {"metadata.model_name", "metadata.model_provider"}
FIELDS = {
    "llm": _OF_ALL | _USED | {"ttft", "completion_tokens", "prompt_tokens", "prompt_cached_tokens", "total_tokens"}
    | {"tokens_per_second"},
    "tts": _OF_ALL | _USED | {"ttfb", "audio_duration", "characters_count", "streamed"},
    "realtime": _OF_ALL | _USED | {"ttft", "input_tokens", "output_tokens", "total_tokens", "tokens_per_second"}
    | {f"input_token_details.{name}" for name in ("audio_tokens", "text_tokens", "image_tokens", "cached_tokens")}
    | {f"output_token_details.{name}" for name in ("audio_tokens", "text_tokens", "image_tokens")},
}  # fmt: skip


def test_a_report_says_what_its_spans_cannot_hold() -> None:
    """Provenance, one warning, null for what is unknown: the close's reason is on no span."""
    report = _call("node-1.9.0", "question_and_answer").ours[0]
    assert report.provenance == "native node"
    assert sum("LiveKit alone" in one for one in report.warnings) == 1
    document = report.to_dict()
    assert document["close_reason"] is document["events"] is document["options"] is None
    assert report.basis["transcription_delay"] == "reported"
    assert verdict(report).sentences[0].text == "The call ended after 7.73 s and 2 turns; its spans do not say why."


def test_the_page_shows_a_report_as_it_is() -> None:
    """The report in docs/native.md, and its part in the README, are what the command prints of a recorded call."""
    text = PAGE.read_text(encoding="utf-8")
    assert with_report(text) == text
    text = README.read_text(encoding="utf-8")
    assert with_conversation(text) == text


def test_the_readmes_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``report FILE`` of that call's trace prints the lines that the README shows."""
    path = tmp_path / "trace.jsonl"
    path.write_text(_call("node-1.9.0", "tool_with_preamble").line)
    assert main(["report", str(path)]) == 0
    text = README.read_text(encoding="utf-8")
    shown = text.split("<!-- native conversation -->\n```\n")[1].split("\n```\n")[0]
    assert shown in capsys.readouterr().out


def test_the_check_of_the_newest_release_sees_what_changed() -> None:
    """Recorded releases are read alike; a delay in seconds, a lost span name and a missing call are differences."""
    newest, other = recordings("node-1.9.0"), recordings("node-1.8.1")
    assert list(changes(other, "node-1.9.0")) == []
    call = newest["question_and_answer"]
    for change in (_in_seconds, _without_names):
        spans = [change(span) for span in call.spans]
        changed = dataclasses.replace(call, spans=spans, ours=list(build_reports(spans)))
        found = list(changes({**newest, call.scenario: changed}, "node-1.9.0"))
        assert found
        assert all(one.startswith(f"{call.scenario}: ") for one in found)
    rest = {name: one for name, one in newest.items() if name != call.scenario}
    assert list(changes(rest, "node-1.9.0")) == [f"{call.scenario}: was not recorded"]


def _in_seconds(span: SpanRecord) -> SpanRecord:
    delays = {name: value / 1000 for name, value in span.attributes.items() if name.endswith("_delay")}  # type: ignore[operator]
    return msgspec.structs.replace(span, attributes={**span.attributes, **delays})


def _without_names(span: SpanRecord) -> SpanRecord:
    return msgspec.structs.replace(span, name=span.name.replace("agent_speaking", "agent_speech"))


def _call(release: str, name: str) -> Recording:
    return recordings(release)[name]


def test_the_recordings_stay_small() -> None:
    """All recordings of Node.js together weigh less than a tenth of a megabyte."""
    assert sum(path.stat().st_size for path in FOLDER.glob("node-*")) < MAX_BYTES
