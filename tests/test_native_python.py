"""Calls that LiveKit's own tracing for Python recorded give reports, with and without the pipeline's spans beside."""

from __future__ import annotations

import importlib.metadata
import json

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_reports

from .kit.trace import names
from .native.compare import compared
from .native.known import BY_RECOGNIZER, KNOWN, known_of
from .native.page import PAGE, RELEASES, layers, recorded, replaced
from .native.recordings import FOLDER, differences, recordings

MAX_BYTES = 500_000
#: the table and the list of differences are of this one
LIVEKIT = "1.8.9"

#: LiveKit's number is that of the answer, the derived one that of the first words
BEFORE_A_TOOLS_ANSWER = {
    "tool_that_speaks",
    "tool_with_filler",
    "task_inside_a_tool",
    "task_after_a_reply_made_ahead",
}

newest = pytest.mark.skipif(
    importlib.metadata.version("livekit-agents") != LIVEKIT, reason=f"compares the layers of livekit-agents {LIVEKIT}"
)


@newest
def test_both_layers_of_a_call_say_the_same() -> None:
    """What LiveKit's spans give equals what the pipeline's give, but for what is listed with its reason."""
    played = names()
    known = {name: set(differing) for name, differing in KNOWN.items() if name in played}
    assert compared().differing() == known


@newest
def test_latencies_of_both_layers_agree() -> None:
    """Where both layers have a number: e2e and transcription within 1 ms, end of turn within 20 ms, if VAD ended it."""
    apart = compared().apart
    bounds = {"e2e_latency": 0.001, "transcription_delay": 0.001, "end_of_turn_delay": 0.020}
    both = [
        one
        for one in compared().differences
        if one.what in bounds
        and one.pipeline is not None
        and one.native is not None
        and KNOWN[one.scenario][one.what] != BY_RECOGNIZER
    ]
    assert both == []
    assert all(apart[what] <= bound for what, bound in bounds.items())


@newest
def test_the_tables_are_generated() -> None:
    """The tables of docs/native.md are what the comparisons give today."""
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(replaced(page, "layers", layers()), "recordings", recorded()) == page


@pytest.mark.parametrize("release", RELEASES)
def test_recorded_calls_read_to_livekits_reports(release: str) -> None:
    """Sessions that ran without livekit_otel: conversation, usage, close reason, job and agent are LiveKit's own."""
    found, known = {}, {}
    for name, call in recordings(release).items():
        assert len(call.ours) == len(call.theirs), name
        pairs = zip(call.ours, call.theirs, strict=True)
        found[name] = set().union(*(differences(ours, theirs) for ours, theirs in pairs))
        known[name] = set(known_of(release, name))
    assert found == known


@pytest.mark.parametrize("release", RELEASES)
def test_recorded_calls_say_where_they_come_from(release: str) -> None:
    """Provenance, one warning of what is missing, LiveKit's keys, and null for what is unknown."""
    for call in recordings(release).values():
        for report in call.ours:
            document = report.to_dict()
            assert report.provenance == "native python"
            assert not report.complete
            assert sum("LiveKit alone" in one for one in report.warnings) == 1
            assert document["events"] is document["options"] is document["tags"] is document["errors"] is None
            assert report.backchannels is None
            assert {turn.backchannels for turn in report.turns} <= {None}
            json.dumps(document, allow_nan=False)


@pytest.mark.parametrize("release", RELEASES)
def test_recorded_calls_have_latencies(release: str) -> None:
    """LiveKit's own e2e of a turn is the derived one to 20 ms, but where words came before the answer of a tool."""
    pairs = [
        (name, turn.reported["e2e_latency"], turn.latency.e2e_latency)
        for name, call in recordings(release).items()
        for report in call.ours
        for turn in report.turns
        if "e2e_latency" in turn.reported and turn.latency.e2e_latency is not None
    ]
    assert len(pairs) > 90
    assert {name for name, theirs, ours in pairs if abs(theirs - ours) > 0.020} <= BEFORE_A_TOOLS_ANSWER


def test_the_recordings_stay_small() -> None:
    """All recordings of Python together weigh less than half a megabyte."""
    assert sum(path.stat().st_size for path in FOLDER.glob("python-*")) < MAX_BYTES


@newest
def test_the_pipeline_layer_wins() -> None:
    """Where a trace has both layers, the report is the pipeline's, once, whatever comes first."""
    from .kit.trace import record

    spans = record("one_tool", native_spans=True).records
    for order in (spans, spans[::-1], sorted(spans, key=lambda span: span.scope)):
        (expected,) = build_reports([span for span in order if span.scope == attr.SCOPE])
        (found,) = build_reports(order)
        assert found == expected
        assert found.provenance == "pipeline"
