"""The verdict: what went wrong, in sentences that text, JSON and the page share; every failure with its reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from livekit_otel import SessionReport, build_report, build_reports, read_spans
from livekit_otel import attributes as attr
from livekit_otel.report.failures import failures, reason_of
from livekit_otel.report.notes import notes_of
from livekit_otel.report.render_html import to_html
from livekit_otel.report.render_json import to_document, turn_document
from livekit_otel.report.render_text import to_text
from livekit_otel.report.verdict import verdict
from livekit_otel.report.view import offset

from .golden import FOLDER, SUFFIX, golden_names
from .turns_kit import Script, llm_metrics

pytest.importorskip("jinja2")
#: the stored calls in which something failed
FAILING = (
    "apology_for_a_failed_request", "failing_tools", "llm_fails_for_good", "llm_falls_back", "llm_node_that_raises",
    "llm_recovers", "providers_refuse", "stt_fails", "tts_fails", "tts_falls_back",
)  # fmt: skip


def stored(name: str) -> SessionReport:
    return build_report(read_spans(FOLDER / f"{name}{SUFFIX}"))


def sentences(report: SessionReport) -> list[str]:
    return [one.text for one in verdict(report).sentences]


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", FAILING)
def test_every_failure_is_in_every_verdict(name: str) -> None:
    """Each span that failed is among the failures, and its reason is in the verdict of text, JSON and the page."""
    report = stored(name)
    found = failures(report)
    spans = [span for span in report.spans if span.kind in attr.STAGE_KINDS and span.status == "error"]
    assert {span.span_id for span in spans} <= {one.span_id for one in found}
    text = squeezed(to_text(report).partition("\nConversation\n")[0])
    document = to_document(report, full=True)["livekit_otel"]
    said = " ".join(one["text"] for one in document["verdict"])
    page = to_html(report).partition('id="data"')[0]
    shown = re.sub(r"&(#34|#39|quot|lt|gt|amp);", lambda one: {"#34": '"', "#39": "'"}.get(one[1], one[0]), page)
    for one in found:
        for place in (text, said, shown):
            assert reason_of(one) in place
    assert len(document["failures"]) == len(found)
    json.dumps(document)


def test_a_call_that_its_llm_ended() -> None:
    """The first sentence says that and how the call ended, the next ones why, and whose answer never came."""
    end, failed, never, *_ = verdict(stored("llm_fails_for_good")).sentences
    assert end.text == (
        "LiveKit ended the call because of an error after 2.90 s and 1 turn: the LLM kit/fake-llm failed (CR_ERROR)."
    )
    assert failed.text == (
        "The LLM kit/fake-llm failed after 3 attempts (APIConnectionError: failed to generate LLM completion after 3 "
        "attempts (caused by APIConnectionError: the kanarienvogel model is down))."
    )
    assert never.text == "1 answer never came because the session was closed; the user waited 1.10 s."
    assert [one.level for one in (end, failed, never)] == ["bad"] * 3
    assert [[place.turn for place in one.places] for one in (end, failed, never)] == [[0]] * 3


def test_a_failure_outside_of_turns_has_a_place() -> None:
    """A recognizer that fails between turns is named by its number and its time."""
    found = verdict(stored("stt_fails"))
    (sentence,) = [one for one in found.sentences if one.kind == "failure"]
    assert sentence.text == "The speech recognition failed (APIConnectionError: line is dead)."
    (place,) = sentence.places
    assert (place.turn, place.failure) == (None, 0)
    assert found.failures[0].turn is None
    assert "    0:06  failed  speech recognition: APIConnectionError: line is dead\n" in to_text(stored("stt_fails"))


def test_what_saved_the_call_is_said() -> None:
    """Retries and fallbacks that worked are no failures of the call, but they are named with their reasons."""
    texts = sentences(stored("providers_refuse"))
    llm = "kit/first-llm failed 2 times, each after 2 attempts"
    assert any(llm in one and "; kit/second-llm answered instead" in one for one in texts)
    assert any("HTTP 429" in one for one in texts)
    assert any("websocket closed with 1011" in one and "kit/second-tts answered instead" in one for one in texts)
    assert "The speech recognition kit/fake-stt worked only after 2 attempts (APIStatusError)." in texts
    assert [one.level for one in verdict(stored("providers_refuse")).sentences if one.kind == "failure"] == ["warn"] * 2
    (retry,) = [one for one in verdict(stored("llm_recovers")).sentences if one.kind == "retry"]
    assert retry.text.startswith("The LLM kit/fake-llm worked only after 2 attempts (")


def test_what_a_tool_raised_and_what_the_model_was_given() -> None:
    """Both are there, each with its name, where they differ."""
    report = stored("failing_tools")
    given = "the model was given: An internal error occurred"
    assert f"The tool crashing failed (ValueError: kanarienvogel not found); {given}." in sentences(report)
    text = to_text(report)
    assert "-> raised ValueError: kanarienvogel not found\n" in text
    assert "-> the model was given: An internal error occurred\n" in text


def test_what_happens_often_is_one_sentence_with_all_its_places() -> None:
    """Equal failures are counted, and each of their turns is a place."""
    script = Script()
    for number in range(30):
        at = 10.0 * number
        turn = script.turn(at + 1.0, at + 5.0)
        turn.vad(at + 1.0, at + 2.0)
        broken = {attr.OUTCOME: attr.OUTCOME_ERROR, attr.ERROR_TYPE: "APIStatusError", attr.HTTP_STATUS: 503}
        turn.llm(at + 2.2, at + 3.0, None, **{**llm_metrics(1, 0, at + 3), **broken})  # type: ignore[arg-type]
    (one,) = [one for one in verdict(build_report(script.spans)).sentences if one.kind == "failure"]
    assert "failed 30 times (APIStatusError, HTTP 503)" in one.text
    assert [place.turn for place in one.places] == list(range(30))


@pytest.mark.parametrize("name", [one for one in golden_names() if not one.endswith(".native")])
def test_no_turn_without_an_answer_is_completed(name: str) -> None:
    """Where the user was never answered, no renderer says that the turn was completed."""
    for report in build_reports(read_spans(FOLDER / f"{name}{SUFFIX}")):
        for turn in report.turns:
            if turn.answered == "no":
                assert turn_document(turn)["end_reason"] != attr.END_COMPLETED
        if any(turn.answered == "no" for turn in report.turns):
            assert any(one.kind == "never_answered" for one in verdict(report).sentences)


def test_one_clock() -> None:
    """Words stand at the time at which they began to be heard, in text as in the list of turns."""
    text = to_text(stored("handoff"))
    assert [line.split()[:3] for line in text.splitlines() if re.match(r" +\d+:\d\d  (user|agent)", line)] == [
        ["0:01", "user", "transfer"], ["0:02", "agent", "Here"], ["0:07", "user", "thank"], ["0:08", "agent", "Here"],
    ]  # fmt: skip
    assert "handoff from clerk to specialist" in text


def test_words_that_nobody_heard() -> None:
    """An answer that was thrown away is shown as such, and only the text of all words needs --full."""
    assert "not heard (made ahead, and thrown away): You said 12 letters" in squeezed(
        to_text(stored("preemptive_generation_discarded"))
    )


def test_all_words_with_full(tmp_path: Path) -> None:
    """A text that is cut says by how much; ``full`` has all of it."""
    report = stored("long_tool_result")
    (output,) = [item["output"] for item in report.history if item.get("type") == "function_call_output"]
    assert len(output) > 10_000
    cut, full = squeezed(to_text(report)), squeezed(to_text(report, full=True))
    assert squeezed(output) not in cut
    assert re.search(r"… \(\+[\d,]+ characters\)", cut)
    assert squeezed(output).replace(" ", "") in full.replace(" ", "")


def test_percentiles_are_exact_at_any_length() -> None:
    """From stored spans the percentiles of thousands of turns are values that occurred."""
    script = Script()
    waits = [0.3 + 0.001 * number for number in range(1_000)]
    for number, wait in enumerate(waits):
        at = 20.0 * number
        turn = script.turn(at + 1.0, at + 8.0)
        turn.vad(at + 1.0, at + 2.0)
        turn.eou(at + 2.0, at + 2.2)
        turn.llm(at + 2.2, at + 2.2 + wait, wait - 0.2, **llm_metrics(1, 1, at + 4))
        turn.playback(at + 2.0 + wait, at + 5.0)
    found = build_report(script.spans).latency["e2e_latency"]
    assert found.count == 1_000
    ranks = {"p50": 499, "p90": 899, "p95": 949, "p99": 989, "max": 999}
    for name, rank in ranks.items():
        assert getattr(found, name) == pytest.approx(waits[rank], abs=1e-6)


def test_notes_say_who_is_right_and_whether_it_matters() -> None:
    """Where LiveKit counts something else the note says what; differences that nobody hears are one sentence."""
    (turn,) = stored("tool_that_speaks").turns
    (note,) = notes_of(turn)
    assert note == (
        "LiveKit reports 2.100 s more of e2e_latency than the spans' 0.600 s: it counts to the answer after the tool, "
        "the spans to the first words that the caller heard"
    )
    turn.reported.update(llm_node_ttft=(turn.latency.llm_node_ttft or 0.0) + 0.02)
    turn.__dict__["derivation"] = msgspec.structs.replace(
        turn.derivation, notes=("llm_node_ttft: LiveKit reported 0.220 s, the spans say 0.200 s",)
    )
    assert list(notes_of(turn)) == []
    assert list(notes_of(turn, small=True)) == [
        "LiveKit's own numbers differ by at most 0.020 s (llm_node_ttft): too little to hear"
    ]


@pytest.mark.parametrize(
    ("at", "shown"), [(0.0, "  0:00"), (59.9, "  0:59"), (3599.0, " 59:59"), (6111.0, "1:41:51"), (None, "      ")]
)
def test_times_of_long_calls(at: float | None, shown: str) -> None:
    """Times are minutes and seconds since the call began, and have hours from the first one on."""
    assert offset(None if at is None else 1_000.0 + at, 1_000.0) == shown


@pytest.mark.parametrize("asked", [False, True])
def test_what_a_hook_raised(asked: bool) -> None:
    """What has no stage of its own is told by its turn: the hook's error, or that of code after a request began."""
    script = Script()
    raised = {attr.OUTCOME: attr.OUTCOME_ERROR, attr.ERROR_TYPE: "KeyError", attr.ERROR_MESSAGE: "no such customer"}
    turn = script.turn(1.0, 3.0, **{attr.END_REASON: attr.END_FAILED, **raised})  # type: ignore[arg-type]
    turn.vad(1.0, 2.0)
    turn.eou(2.0, 2.2)
    if asked:
        turn.llm(2.2, 2.6, 0.2, **llm_metrics(1, 1, 2.6))
    what = "agent's code" if asked else "hook of the agent"
    assert f"The {what} failed (KeyError: no such customer)." in sentences(build_report(script.spans))
