"""Native traces of several calls, and damaged ones: each call is its own, and no value is too odd to read."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from livekit_otel import SpanRecord, build_report, build_reports
from livekit_otel import attributes as attr
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_text import to_text

from .native.recordings import Recording, recordings
from .test_native_traces import call, changed

TRACE = "ab" * 16
ODD: tuple[Any, ...] = (
    *(None, "", "x", 0, -1, 1e308, float("nan"), float("inf"), True, 2**70, "\ud800", [], ["a"], [1.5], {"a": 1}),
    *("{", "[1]", '{"items":3}', '{"items":[1,{"type":3}]}', '[{"type":1}]', "null", "1e999"),
)


def of_jobs(*calls: Recording) -> list[SpanRecord]:
    """The calls in one trace, each below the span of its own job."""
    found = []
    for number, kept in enumerate(calls):
        job = f"{number + 1:016x}"
        own = [changed(span, trace_id=TRACE, parent_id=span.parent_id or job) for span in kept.spans]
        names = {"lk.job_id": f"J_{number}"}
        found += [changed(own[0], name="job_entrypoint", span_id=job, parent_id=None, attributes=names), *own]
    return found


def said(report: Any) -> list[tuple[str, str]]:
    return [(turn.user_text, turn.agent_text) for turn in report.turns]


def test_calls_of_several_jobs_in_one_trace() -> None:
    """Jobs below one span of a dispatcher: each call has its own words and its own job's name."""
    one, two = call("python-1.8.9", "one_tool"), call("python-1.8.9", "barge_in")
    found = {report.room_id: report for report in build_reports(of_jobs(one, two))}
    for kept in (one, two):
        report = found.pop(kept.ours[0].room_id)
        assert said(report) == said(kept.ours[0])
        assert report.to_dict()["chat_history"] == kept.ours[0].to_dict()["chat_history"]
    assert not found
    bare = [changed(span, attributes={**span.attributes, "lk.job_id": None}) for span in of_jobs(one, two)]
    named = [
        changed(span, attributes={"lk.job_id": f"J_{span.span_id[-1]}"}) if span.name == "job_entrypoint" else span
        for span in bare
    ]
    assert sorted(report.job_id for report in build_reports(named)) == ["J_1", "J_2"]


@pytest.mark.parametrize("both", [True, False])
def test_a_call_that_still_runs_beside_another_in_its_trace(both: bool) -> None:
    """Without the session's own span, a room's ID keeps the words of one call out of another's report."""
    one, two = call("python-1.8.9", "one_tool"), call("python-1.8.9", "barge_in")
    cut = [span for span in of_jobs(one, two) if span.name not in ("agent_session", "job_entrypoint")]
    whole = [] if both else [span for span in of_jobs(two) if span.name == "agent_session"]
    found = {report.room_id: report for report in build_reports([*cut, *whole])}
    assert len(found) == 2
    for kept in (one, two):
        assert said(found[kept.ours[0].room_id]) == said(kept.ours[0])


def _fewer(spans: list[SpanRecord], pick: random.Random) -> list[SpanRecord]:
    share = pick.random()
    return [span for span in spans if pick.random() < share]


def _odd_values(spans: list[SpanRecord], pick: random.Random) -> list[SpanRecord]:
    def odd(values: Any) -> Any:
        return {key: pick.choice(ODD) if pick.random() < 0.15 else value for key, value in values.items()}

    return [changed(span, attributes=odd(span.attributes)) for span in spans]


def _odd_times(spans: list[SpanRecord], pick: random.Random) -> list[SpanRecord]:
    def odd(span: SpanRecord) -> SpanRecord:
        start, end = (pick.choice([0, 2**63 - 1, span.start_ns, span.end_ns]) for _ in range(2))
        return changed(span, start_ns=start, end_ns=end)

    return [odd(span) if pick.random() < 0.1 else span for span in spans]


def _odd_parents(spans: list[SpanRecord], pick: random.Random) -> list[SpanRecord]:
    ids = [*(span.span_id for span in spans), None, "0" * 16]
    return [changed(span, parent_id=pick.choice(ids)) if pick.random() < 0.2 else span for span in spans]


def _odd_names(spans: list[SpanRecord], pick: random.Random) -> list[SpanRecord]:
    names = [span.name for span in spans]
    return [changed(span, name=pick.choice(names)) if pick.random() < 0.2 else span for span in spans]


DAMAGES: tuple[Callable[[list[SpanRecord], random.Random], list[SpanRecord]], ...] = (
    _fewer, _odd_values, _odd_times, _odd_parents, _odd_names,
)  # fmt: skip


def damaged(seed: int) -> None:
    """Read a recorded call with one to three kinds of damage."""
    pick = random.Random(seed)
    releases = ("python-1.8.9", "python-1.5.18", "node-1.9.0")
    spans = list(pick.choice([*recordings(pick.choice(releases)).values()]).spans)
    for damage in pick.sample(DAMAGES, pick.randint(1, 3)):
        spans = damage(spans, pick)
    for report in build_reports(spans):
        assert not any("could not be made" in one for one in report.warnings), (seed, report.warnings)
        assert to_text(report)
        assert to_document(report, full=True)


def test_damaged_traces_are_read() -> None:
    """Spans that are missing, and values, times, parents and names that no release writes: a report all the same."""
    for seed in range(10):
        damaged(seed)


@pytest.mark.slow
def test_many_damaged_traces_are_read() -> None:
    """The same, a thousand times."""
    for seed in range(10, 1_010):
        damaged(seed)


def test_models_that_are_no_text() -> None:
    """A list for the name of a model is no crash."""
    kept = call("python-1.8.9", "one_tool")
    spans = [
        changed(span, attributes={**span.attributes, attr.REQUEST_MODEL: ["a"]}) if span.name == "llm_node" else span
        for span in kept.spans
    ]
    assert said(build_report(spans)) == said(kept.ours[0])
