"""Flags: which turns deserve a look, by which thresholds, live and from stored spans."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider

import livekit_otel
from livekit_otel import OptionError, SpanRecord, TurnSpanProcessor, build_report, build_reports, read_spans
from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_text import to_text

from .kit.run import Call
from .kit.trace import Trace, play, record, trace_scenario
from .test_calls_of_tools import hook_raises, hook_raises_over_a_reply_made_ahead
from .turns_live import assert_live_equals_rebuilt, told

#: a call of each threshold's kind, and what its first turn says then: value, stage, seconds of the call
BY_THRESHOLD = {
    "slow": ("slow_voice", 2.12, "tts", 1.8),
    "dead_air": ("preamble_and_filler", 4.66, "tool", 4.04),
}


def traced(name: str, **thresholds: float) -> Trace:
    provider = TracerProvider(shutdown_on_exit=False)
    return trace_scenario(name, provider, native_spans=False, options={"thresholds": thresholds})


def flags(spans: list[SpanRecord], **thresholds: float) -> list[tuple[Any, ...]]:
    """Of a call's first turn: each flag with its fields, the time in seconds of the call."""
    report = build_report(spans, thresholds=thresholds)
    return [
        (one.name, _rounded(one.value), one.threshold, one.unit, one.turn, one.stage, _at(one.at, report))
        for one in report.turns[0].flags
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _at(at: float | None, report: livekit_otel.SessionReport) -> float | None:
    return None if at is None else round(at - (report.started_at or 0.0), 2)


@pytest.mark.parametrize("name", sorted(BY_THRESHOLD))
def test_a_wait_is_flagged_from_its_threshold_on(name: str) -> None:
    """A wait a millisecond above the threshold is flagged and one below is not, live as rebuilt; no number changes."""
    scenario, value, stage, at = BY_THRESHOLD[name]
    below, above = traced(scenario, **{name: value - 0.001}), traced(scenario, **{name: value + 0.001})
    for trace, threshold in ((below, value - 0.001), (above, value + 0.001)):
        both = {**build_report(trace.pipeline).thresholds}
        assert both[name] == threshold
        assert_live_equals_rebuilt(trace.pipeline, both)
    found = [one for one in flags(below.pipeline) if one[0] == name]
    assert found == [(name, value, value - 0.001, "s", 0, stage, at)]
    said = told(below.pipeline)[0]
    assert name in said[attr.FLAGS]
    assert said[attr.signal(name)] == pytest.approx(value, abs=1e-3)
    assert [one for one in flags(above.pipeline) if one[0] == name] == []
    assert name not in told(above.pipeline)[0].get(attr.FLAGS, ())
    numbers = [build_report(trace.pipeline).turns[0] for trace in (below, above)]
    assert numbers[0].silence == pytest.approx(numbers[1].silence, abs=1e-6)
    assert numbers[0].latency.dead_air == pytest.approx(numbers[1].latency.dead_air, abs=1e-6)


def test_a_wait_that_equals_its_threshold_is_flagged() -> None:
    """The threshold itself is too long."""
    spans = record("slow_voice").pipeline
    value = build_report(spans).turns[0].latency.e2e_latency
    assert value is not None
    assert [one.name for one in build_report(spans, thresholds={"slow": value}).turns[0].flags] == ["slow"]
    assert build_report(spans, thresholds={"slow": math.nextafter(value, 9.0)}).turns[0].flags == ()


def speaks_on(after_commit: float) -> Callable[[Call], Any]:
    """A call whose user speaks on so many seconds after the commit at 2.1, before anything is heard."""

    async def call_of_two(call: Call) -> None:
        call.caller.says("the first thing", 1.0).says("and the second", 2.1 + after_commit)
        session = call.session(llm_delay=3.0)
        await call.start(session)
        await call.until(12.0)
        await call.close(session)

    return call_of_two


@pytest.mark.parametrize(("after", "cut_off"), [(0.98, True), (1.02, False)])
def test_a_user_who_speaks_on_was_cut_off_within_a_second(after: float, cut_off: bool) -> None:
    """0.98 s after the commit the user had only paused, 1.02 s after it they interrupt; the flag says how long."""
    spans = play(speaks_on(after)).pipeline
    found = [one for one in flags(spans) if one[0] == "false_cutoff"]
    assert found == ([("false_cutoff", pytest.approx(after, abs=0.011), 1.0, "s", 0, "eou", 2.1)] if cut_off else [])
    assert_live_equals_rebuilt(spans)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("question_and_answer", []),
        ("llm_recovers", []),
        ("false_interruption", []),
        ("user_resumes", []),
        (
            "llm_fails_for_good",
            [("failed", 1.0, None, "{failure}", 0, "llm", 2.9), ("never_answered", 1.1, None, "s", 0, "llm", 1.8)],
        ),
        (
            "tts_fails",
            [("failed", 1.0, None, "{failure}", 0, "tts", 2.52), ("never_answered", 0.72, None, "s", 0, "llm", 1.8)],
        ),
        ("closed_while_a_tool_runs", [("never_answered", 2.58, None, "s", 0, "tool", 1.8)]),
        ("barge_in", [("interrupted", 1.0, None, "{interruption}", 0, None, 5.4)]),
        (
            "cut_off_while_waiting",
            [("dead_air", 3.2, 3.0, "s", 0, "hook", 1.8), ("never_answered", 3.2, None, "s", 0, "hook", 1.8)],
        ),
        (
            "barge_in_before_the_voice",
            [("false_cutoff", 0.5, 1.0, "s", 0, "eou", 2.1), ("never_answered", 0.8, None, "s", 0, "llm", 1.8)],
        ),
    ],
)
def test_what_happened_is_flagged(name: str, expected: list[tuple[Any, ...]]) -> None:
    """Failures, interruptions, cutoffs and waits without an answer are flagged with their stage and time."""
    assert flags(record(name).pipeline) == expected


@pytest.mark.parametrize("script", [hook_raises, hook_raises_over_a_reply_made_ahead])
def test_a_hook_that_raises_is_the_stage_that_failed(script: Callable[[Call], Any]) -> None:
    """Where nothing was asked for after the commit, the user's hook failed; the flag has its beginning."""
    spans = play(script).pipeline
    (found,) = [one for one in flags(spans) if one[0] == "failed"]
    assert found == ("failed", 1.0, None, "{failure}", 0, "hook", 2.1)
    assert_live_equals_rebuilt(spans)


def test_what_a_turns_end_decides_is_on_its_span() -> None:
    """Whether and why a turn was not answered, and its flags, are on the span itself and no correction."""
    trace = record("llm_fails_for_good")
    (turn,) = trace.of(attr.KIND_TURN)
    values = turn.attributes
    assert (values[attr.TURN_ANSWERED], values[attr.TURN_WHY_NOT]) == ("no", "failed")
    assert values[attr.FLAGS] == ("failed", "never_answered")
    assert values[attr.signal("never_answered")] == pytest.approx(1.1, abs=1e-3)
    assert [name for one in trace.pipeline for name in one.attributes if name.startswith(attr.TURN_LATE_PREFIX)] == []


def test_a_session_says_its_worst_turn_and_how_many() -> None:
    """On the session a flag is that of the worst turn, with the number of turns that have it."""
    spans = record("several_turns").pipeline
    report = build_report(spans, thresholds={"slow": 0.5})
    (flag,) = report.flags
    longest = max(turn.latency.e2e_latency or 0.0 for turn in report.turns)
    assert (flag.name, flag.value, report.flagged) == ("slow", longest, {"slow": 4})
    assert report.turns[flag.turn].latency.e2e_latency == longest
    assert build_report(spans).flags == ()
    trace = record("barge_in_before_the_voice")
    (end,) = trace.of(attr.KIND_SESSION_END)
    (session,) = trace.of(attr.KIND_SESSION)
    names = ("false_cutoff", "never_answered", "slow")
    for values in (end.attributes, session.attributes):
        assert values[attr.FLAGS] == names
        assert [values[attr.flagged(name)] for name in names] == [1, 1, 1]
        assert values[attr.signal("slow")] == pytest.approx(2.52, abs=1e-3)


def test_the_reader_decides_then_the_session_then_the_defaults() -> None:
    """A reader's threshold wins; what they do not say is as the session was traced, also after a crash."""
    spans = traced("slow_voice", slow=2.5).pipeline
    crashed = [one for one in spans if one.kind not in (attr.KIND_SESSION, attr.KIND_SESSION_END)]
    for records in (spans, crashed):
        assert build_report(records).thresholds == {"slow": 2.5, "dead_air": 3.0}
        assert build_report(records).flags == ()
        (report,) = build_reports(records, thresholds={"slow": 2.0})
        assert report.thresholds == {"slow": 2.0, "dead_air": 3.0}
        assert [flag.name for flag in report.flags] == ["slow"]
    bare = [_without(one, *map(attr.threshold, attr.THRESHOLD_NAMES)) for one in spans]
    assert build_report(bare).thresholds == {"slow": 2.0, "dead_air": 3.0}


def _without(span: SpanRecord, *names: str) -> SpanRecord:
    kept = {name: value for name, value in span.attributes.items() if name not in names}
    return msgspec.structs.replace(span, attributes=kept)


def test_flags_survive_without_stages() -> None:
    """Where stage spans were filtered out on the way, a turn has the flags that its span says, as far as it does."""
    for name in ("llm_fails_for_good", "barge_in_before_the_voice", "barge_in", "slow_voice", "cut_off_while_waiting"):
        records = record(name).pipeline
        kept = [one for one in records if one.kind not in attr.STAGE_KINDS]
        whole, bare = ([turn.flags for turn in build_report(some).turns] for some in (records, kept))
        assert [[(one.name, _rounded(one.value)) for one in own] for own in bare] == [
            [(one.name, _rounded(one.value)) for one in own] for own in whole
        ], name


def test_a_processor_has_thresholds_of_its_own() -> None:
    """Those given to the processor hold where set_tracer_provider has none, and are written to the trace."""
    for given, expected in (({}, 2.5), ({"slow": 2.1}, 2.1)):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(TurnSpanProcessor(thresholds={"slow": 2.5}))
        trace = trace_scenario("slow_voice", provider, native_spans=False, options={"thresholds": given})
        for kind in (attr.KIND_SESSION_START, attr.KIND_SESSION):
            assert trace.of(kind)[0].attributes[attr.threshold("slow")] == expected
        (turn,) = trace.of(attr.KIND_TURN)
        assert (attr.FLAGS in turn.attributes) == (expected < 2.12)


WRONG = [
    ({"speed": 1.0}, "thresholds has 'speed', which is none of slow, dead_air"),
    ({"slow": 0}, "thresholds: slow must be a number of seconds above 0, not 0"),
    ({"slow": -1.5}, "thresholds: slow must be a number of seconds above 0, not -1.5"),
    ({"dead_air": math.inf}, "thresholds: dead_air must be a number of seconds above 0, not inf"),
    ({"slow": True}, "thresholds: slow must be a number of seconds above 0, not bool"),
    ({"slow": "2"}, "thresholds: slow must be a number of seconds above 0, not str"),
]


@pytest.mark.parametrize(("thresholds", "message"), WRONG)
def test_wrong_thresholds_are_one_clear_error(thresholds: Any, message: str) -> None:
    """Whoever takes thresholds says which one cannot work."""
    takers: list[Callable[[], object]] = [
        lambda: livekit_otel.set_tracer_provider(TracerProvider(), thresholds=thresholds),
        lambda: livekit_otel.LiveKitInstrumentor().instrument(thresholds=thresholds),
        lambda: TurnSpanProcessor(thresholds=thresholds),
        lambda: build_report([], thresholds=thresholds),
        lambda: build_reports([], thresholds=thresholds),
    ]
    for take in takers:
        with pytest.raises(OptionError) as raised:
            take()
        assert str(raised.value) == message


@pytest.mark.parametrize("command", ["report", "turns", "sessions"])
@pytest.mark.parametrize("option", ["--slow", "--dead-air"])
def test_wrong_thresholds_of_commands(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is given no number of seconds says so, with exit code 2."""
    for value in ("0", "-1", "inf", "nan", "fast"):
        assert main([command, "trace.jsonl", f"{option}={value}"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"livekit-otel: Invalid value for '{option}'")


@pytest.fixture
def flagged(tmp_path: Path) -> Path:
    """A user who is cut off, and then waits for an answer that is slow."""
    path = tmp_path / "flagged.jsonl"
    path.write_text(record("barge_in_before_the_voice").text, encoding="utf-8")
    return path


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(one) for one in arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_report_of_a_flagged_call(flagged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report names the flags in its head, and has a line for each flagged turn with what it is held against."""
    text = shown(capsys, "report", flagged)
    assert "  flags     false cutoff in 1 turn, never answered in 1 turn, slow in 1 turn\n" in text
    assert text.partition("\nFlags\n")[2].partition("\n\n")[0] == (
        "    0:01  turn 0  false cutoff: the user spoke on 0.50 s after the commit; never answered: waited\n"
        "                  0.80 s, mostly llm\n"
        "    0:02  turn 1  slow: 2.52 s (limit 2 s), mostly llm"
    )
    without = shown(capsys, "report", flagged, "--slow", "3")
    assert "  flags     false cutoff in 1 turn, never answered in 1 turn\n" in without
    assert "slow" not in without


TABLE = """\
                                       silence before it, by stage   latencies
TURN  AT    END            E2E   DEAD  TRANSCR    EOU    LLM    TTS  TRANSCR    EOT   TTFT   TTFS   TTFB   PLAY  FLAGS
0     0:01  interrupted      -  0.800        -      -      -      -    0.100  0.300      -      -      -      -  \
false_cutoff never_answered
1     0:02  completed    2.520  0.000    0.100  0.200  2.120  0.100    0.100  0.300  2.000  2.120  0.100  0.000  slow
"""


def test_turns_of_a_flagged_call(flagged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``turns`` has the names in its last column, and ``--flagged`` leaves out turns without."""
    assert shown(capsys, "turns", flagged) == TABLE
    only = shown(capsys, "turns", flagged, "--flagged", "--slow", "3", "-f", "json")
    assert [(row["index"], [one["name"] for one in row["flags"]]) for row in json.loads(only)] == [
        (0, ["false_cutoff", "never_answered"])
    ]
    rows = list(csv.DictReader(io.StringIO(shown(capsys, "turns", flagged, "-f", "csv"))))
    assert [row["flags"] for row in rows] == ["false_cutoff never_answered", "slow"]


def test_sessions_say_how_many_turns_are_flagged(flagged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``sessions`` counts the turns with each flag; without any there is no column."""
    table = shown(capsys, "sessions", flagged).splitlines()
    assert table[0].endswith("COMPLETE  FLAGS")
    assert table[1].endswith("yes       false_cutoff 1, never_answered 1, slow 1")
    (row,) = json.loads(shown(capsys, "sessions", flagged, "-f", "json", "--slow", "3"))
    assert row["flagged"] == {"false_cutoff": 1, "never_answered": 1}


def test_json_and_page_have_the_flags(flagged: Path) -> None:
    """JSON has the flags of turns and session with all their fields, the page has them in words."""
    from livekit_otel.report.render_html import to_html

    report = build_report(read_spans(flagged))
    ours = to_document(report, full=True)["livekit_otel"]
    assert set(ours["flags"][0]) == {"name", "value", "threshold", "unit", "turn", "stage", "at"}
    assert [one["name"] for one in ours["turns"][1]["flags"]] == ["slow"]
    assert (ours["flagged"]["slow"], ours["thresholds"]) == (1, {"slow": 2.0, "dead_air": 3.0})
    assert '"f":[["slow","slow: 2.52 s (limit 2 s), mostly llm"]]' in to_html(report)
    assert to_text(report).count("mostly llm") == 2
