"""LiveKit's tags with metadata, the outcome with its reason, judges' verdicts: recorded, and in the report."""

from __future__ import annotations

import json
from typing import Any

import pytest

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.journal import Head
from livekit_otel.journal.restore import RestoredSession
from livekit_otel.report.tagged import tagged
from tests.kit.run import CANARY, SCENARIOS, Call, Scenario, assert_same_report
from tests.kit.trace import Trace, play, record

NAME = "job_that_is_tagged"
EMAIL = "ada@example.org"


def test_a_report_has_what_the_job_was_tagged_with() -> None:
    """Tags with their metadata, outcome, reason and verdicts are beside the report, whose own tags are LiveKit's."""
    trace = record(NAME)
    report = livekit_otel.build_report(trace.pipeline)
    assert_same_report(report.to_dict(), trace.outcomes[0].report)
    assert report.complete
    assert list(report.tags) == trace.outcomes[0].report["tags"]
    assert report.tags["language:en"] == {"said": f"hello {CANARY}", "confidence": 0.9}
    assert report.tags["appointment:booked"] == {}
    assert (report.outcome, report.outcome_reason) == ("success", f"booked for {CANARY}")
    (verdict,) = report.evaluations
    assert {name: verdict[name] for name in ("name", "tag", "verdict", "instructions")} == {
        "name": "politeness",
        "tag": "lk.judge.politeness:pass",
        "verdict": "pass",
        "instructions": f"ask {CANARY}",
    }
    assert CANARY in verdict["reasoning"]


@pytest.mark.parametrize("kind", [attr.KIND_SESSION, attr.KIND_SESSION_END])
def test_the_sessions_spans_say_how_it_went(kind: str) -> None:
    """Outcome, reason and tags are attributes of the session and of its end."""
    (span,) = record(NAME).of(kind)
    assert span.attributes[attr.SESSION_OUTCOME] == "success"
    assert span.attributes[attr.SESSION_OUTCOME_REASON] == f"booked for {CANARY}"
    assert span.attributes[attr.SESSION_TAGS] == (
        "appointment:booked",
        "language:en",
        "lk.judge.politeness:pass",
        "lk.success",
    )


def test_without_content_only_the_outcome_is_left() -> None:
    """Tags, metadata, reasons and what judges wrote are content; the outcome and the verdicts are not."""
    trace = record(NAME, allow_pii=False)
    report = livekit_otel.build_report(trace.pipeline)
    assert (report.outcome, report.outcome_reason, report.tags) == ("success", "", {})
    (verdict,) = report.evaluations
    assert verdict == {"name": "", "tag": "", "verdict": "pass", "reasoning": "", "instructions": ""}
    assert not any(word in trace.text for word in (CANARY, "language:en", "appointment", "politeness"))


async def _tagged_before(call: Call) -> None:
    """A job is tagged before its session starts, with more than fits an attribute."""
    for number in range(60):
        call.ctx.tagger.add(f"tag-{number:02d}-{'x' * 60}")
    call.ctx.tagger.add("who", metadata={"mail": EMAIL})
    call.ctx.tagger.fail(reason=f"write to {EMAIL}")
    session = call.session()
    await call.start(session)
    await call.until(1.0)
    await call.close(session)


def test_tags_of_a_killed_session_are_those_of_its_start() -> None:
    """What was tagged before the session started survives a process that is killed."""
    trace = play(_tagged_before)
    left = [span for span in trace.pipeline if span.kind not in (attr.KIND_SESSION, attr.KIND_SESSION_END)]
    report = livekit_otel.build_report(left)
    assert not report.complete
    assert len(report.tags) == 62
    assert report.tags["who"] == {"mail": EMAIL}
    assert report.outcome == "fail"


def test_an_attribute_has_as_many_tags_as_fit() -> None:
    """The tags on a span stay below what backends keep of a value; the journal has all of them."""
    trace = play(_tagged_before)
    (end,) = trace.of(attr.KIND_SESSION_END)
    shown = end.attributes[attr.SESSION_TAGS]
    assert isinstance(shown, tuple)
    assert 20 < len(shown) < 62
    assert sum(len(tag) for tag in shown) <= attr.PIECE_BYTES
    assert list(livekit_otel.build_report(trace.pipeline).tags) == trace.outcomes[0].report["tags"]


def _redacted() -> Trace:
    SCENARIOS["tagged"] = Scenario("tagged", "", _tagged_before)
    try:
        return record("tagged", redact=lambda text, kind: text.replace(EMAIL, "[email]"))
    finally:
        del SCENARIOS["tagged"]


def test_redaction_covers_metadata_and_reasons() -> None:
    """What ``redact`` takes out of tags, metadata and reasons is nowhere in the trace."""
    trace = _redacted()
    assert EMAIL not in trace.text
    report = livekit_otel.build_report(trace.pipeline)
    assert report.tags["who"] == {"mail": "[email]"}
    assert report.outcome_reason == "write to [email]"


@pytest.mark.parametrize("tags", [["a", "lk.fail"], [], None, "a", [None]])
def test_a_trace_of_schema_1_has_the_names(tags: Any) -> None:
    """Where the journal holds no more than the report's own tags, these are there, and the outcome that they say."""
    restored = RestoredSession()
    restored.play([[Head({"tags": tags})]], gaps=False)
    found = tagged(restored, {"tags": tags})
    names = [tag for tag in tags if tag] if isinstance(tags, list) else []
    assert found.tags == {name: {} for name in names}
    assert found.outcome == ("fail" if "lk.fail" in names else None)


def test_what_is_damaged_is_left_out() -> None:
    """A tagger's state that makes no sense gives an empty one, not an error."""
    for state in (
        {"tags": [1, {"tag": 3}], "evaluations": {"a": 1}, "outcome": 5},
        {"tags": "x", "outcome_reason": []},
    ):
        restored = RestoredSession()
        restored.play([[Head({}, json.loads(json.dumps(state)))]], gaps=False)
        found = tagged(restored, {})
        assert all(isinstance(name, str) for name in found.tags)
        assert found.evaluations == []
