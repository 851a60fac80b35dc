"""Reports of spans that a redaction rule went over: sessions stay apart, and warnings say what was masked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import livekit_otel
import tests.scenarios  # noqa: F401
from livekit_otel import SessionReport, SpanRecord, build_report, build_reports, read_spans
from livekit_otel import attributes as attr

from .kit.run import assert_same_report
from .kit.trace import Trace, record

SCRUBBED = Path(__file__).parent / "fixtures" / "logfire_scrubbed.jsonl"
DOCS = Path(livekit_otel.__file__).parents[1] / "docs" / "redaction.md"
MASKS = ["[Scrubbed due to 'session']", "[REDACTED]", "****", "<redacted>", "[Filtered]", "REDACTED", "xxxxxxxx", ""]
Change = Callable[[str, Any], Any]


def changed(spans: Iterable[SpanRecord], change: Change) -> list[SpanRecord]:
    """The spans after a rule; an attribute whose value becomes None is removed."""
    after = []
    for span in spans:
        attributes = {name: change(name, value) for name, value in span.attributes.items()}
        left = {name: value for name, value in attributes.items() if value is not None}
        after.append(msgspec.structs.replace(span, attributes=left))
    return after


def masking(mask: str | None) -> Change:
    """A rule that masks every value whose key has the word session, and every text that has it."""

    def change(name: str, value: Any) -> Any:
        hit = "session" in name or (isinstance(value, str) and "session" in value and value != "session")
        return mask if hit else value

    return change


def moved(spans: Iterable[SpanRecord], number: int) -> list[SpanRecord]:
    """The same call once more: other ids, an hour later."""
    later = number * 3_600 * 10**9

    def other(span_id: str | None) -> str | None:
        return span_id and f"{int(span_id, 16) ^ number:016x}"

    return [
        msgspec.structs.replace(
            span,
            trace_id=f"{int(span.trace_id, 16) ^ number:032x}",
            span_id=other(span.span_id) or "",
            parent_id=other(span.parent_id),
            start_ns=span.start_ns + later,
            end_ns=span.end_ns + later,
        )
        for span in spans
    ]


def calls(number: int = 2) -> list[list[SpanRecord]]:
    return [moved(record("one_tool").pipeline, one) for one in range(number)]


def warned(report: SessionReport, word: str) -> list[str]:
    return [one for one in report.warnings if word in one]


def test_two_calls_through_logfire_stay_two() -> None:
    """Spans that Logfire's scrubbing masked (recorded): a report for each call, which says what masked them."""
    reports = list(build_reports(read_spans(str(SCRUBBED))))
    assert len(reports) == 2
    assert len({one.session_id for one in reports}) == 2
    for one in reports:
        assert not one.complete
        assert one.conversation_id.startswith("RM_")
        assert [turn.agent_text for turn in one.turns] == ["Hello, this is kanarienvogel."]
        assert "Scrubbed" not in one.session_id + one.job_id + one.room_id + one.room
        (said,) = warned(one, "masked by Logfire's scrubbing ([Scrubbed due to 'session'])")
        assert said.startswith(f"{attr.KIND}, {attr.SESSION_ID}, {attr.BACKEND_SESSION_ID} were masked")


@pytest.mark.parametrize("mask", [*MASKS, None], ids=str)
def test_sessions_never_merge_under_a_mask(mask: str | None) -> None:
    """Whatever a rule leaves of ids and kinds, or removes: as many reports as calls, each with its own turns."""
    whole = calls(3)
    spans = [span for call in zip(*whole, strict=True) for span in call]
    reports = list(build_reports(changed(spans, masking(mask))))
    assert sorted(len(one.turns) for one in reports) == [len(build_report(call).turns) for call in whole]
    assert {one.trace_id for report in reports for one in report.spans} == {call[0].trace_id for call in whole}
    for report in reports:
        assert not report.complete
        assert len({span.trace_id for span in report.spans}) == 1
        assert len({span.span_id for span in report.spans}) == len(whole[0])
        assert warned(report, "masked by" if mask else "was removed from the spans")


def test_equal_ids_of_several_traces_are_several_sessions() -> None:
    """A mask that looks like an id (a constant, a hash of nothing) does not make one call of two."""
    spans = [span for call in calls() for span in call]
    reports = list(build_reports(changed(spans, lambda name, v: "0" * 32 if name == attr.SESSION_ID else v)))
    assert len(reports) == 2
    assert [one.complete for one in reports] == [True, True]


def test_two_masked_sessions_of_one_trace() -> None:
    """Within a trace each session span has what is below it, and the report is named after both."""
    trace: Trace = record("two_sessions_in_one_job")
    spans = [msgspec.structs.replace(span, trace_id="ab" * 16) for span in trace.pipeline]
    expected = {one.spans[0].attributes[attr.SESSION_ID]: len(one.spans) for one in build_reports(spans)}
    reports = list(build_reports(changed(spans, masking("****"))))
    assert sorted(len(one.spans) for one in reports) == sorted(expected.values())
    assert all(one.session_id.startswith("ab" * 16 + "-") for one in reports)


def test_a_masked_session_beside_whole_ones() -> None:
    """Masks do not touch sessions that have their ids, and masked spans of a known session are its own."""
    first, second = calls()
    some = [
        span if number % 2 else changed([span], lambda n, v: "****" if n == attr.SESSION_ID else v)[0]
        for number, span in enumerate(second)
    ]
    reports = {one.session_id: one for one in build_reports([*first, *some])}
    assert len(reports) == 1
    found = list(build_reports([*first, *some]))
    assert [one.complete for one in found] == [True, True]
    assert [len(one.spans) for one in found] == [len(first), len(second)]


def test_one_report_of_a_masked_file() -> None:
    """``build_report`` takes the only masked session, and names several by their traces."""
    first, second = (changed(call, masking("[REDACTED]")) for call in calls())
    assert build_report(first).session_id == first[0].trace_id
    assert build_report([*first, *second], second[0].trace_id[:31] + second[0].trace_id[31]).turns
    with pytest.raises(livekit_otel.AmbiguousSessionError, match=first[0].trace_id):
        build_report([*first, *second])
    with pytest.raises(livekit_otel.SessionNotFoundError, match=first[0].trace_id):
        build_report(first, "nothing like it")


def test_circles_of_parents_end() -> None:
    """A damaged trace whose spans are each other's parents still gives its sessions."""
    whole = record("two_sessions_in_one_job").pipeline
    spans = [msgspec.structs.replace(span, trace_id="cd" * 16) for span in changed(whole, masking("****"))]
    spans = [msgspec.structs.replace(s, parent_id=s.span_id) if s.name == "vad" else s for s in spans]
    assert len(list(build_reports(spans))) == len(list(build_reports(whole)))


def snippet(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_the_callback_for_logfire_keeps_reports_and_content_rules() -> None:
    """The documented callback returns the value of structure, and leaves content to Logfire."""
    configured: dict[str, Any] = {}
    module = SimpleNamespace(
        ScrubMatch=object,
        ScrubbingOptions=lambda callback: callback,
        configure=lambda scrubbing: configured.update(callback=scrubbing),
    )
    code = snippet("python").replace("import logfire\n", "")
    exec(compile(code, str(DOCS), "exec"), {"logfire": module})
    keep = configured["callback"]

    def scrub(name: str, value: Any) -> Any:
        hit = re.search("session|password|kanarienvogel", f"{name} {value}")
        if hit is None or name == attr.CONVERSATION_ID:
            return value
        return keep(SimpleNamespace(path=("attributes", name), value=value)) or "[Scrubbed due to 'password']"

    trace = record("one_tool")
    report = build_report(changed(trace.pipeline, scrub))
    assert "kanarienvogel" not in str([span.attributes for span in report.spans])
    assert not warned(report, "masked")
    plain = build_report(changed(trace.pipeline, lambda n, v: scrub(n, v) if "session" in n and "pii" not in n else v))
    assert_same_report(plain.to_dict(), trace.outcomes[0].report)
    assert plain.complete
