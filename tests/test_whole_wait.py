"""The whole wait: when the answer is heard, the silences before it, and who was waited for. Calls worked by hand."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_report, build_reports
from livekit_otel.report.render_text import to_text
from livekit_otel.turns import derive_session

from .kit.clock import EPOCH
from .kit.trace import names, record
from .turns_kit import Script, ns

#: call -> e2e_latency, answer_latency, gaps as (begin in the call, length) of its first turn
WORKED: dict[str, tuple[float | None, float | None, list[tuple[float, float]]]] = {
    "preamble_before_a_slow_tool": (0.6, 6.8, [(3.02, 5.58)]),
    "filler_before_a_slow_answer": (0.6, 5.8, [(3.32, 4.28)]),
    "tool_that_says_it_all": (1.6, 1.6, []),
    "preamble_and_filler": (0.6, 6.8, [(3.02, 0.10), (4.04, 4.56)]),
    "handoff_to_a_slow_colleague": (0.6, 3.67, [(3.17, 2.30)]),
    "speaks_while_a_tool_runs": (0.6, None, [(3.02, 1.98)]),
    "progress_before_the_result": (0.8, 4.8, [(3.87, 2.73)]),
    # the cough at 5.0 lasts half a second
    "noise_in_the_wait": (0.6, 6.8, [(3.02, 1.98), (5.5, 3.1)]),
    # the cough from 2.6 to 3.4 pauses the preamble, LiveKit resumes it two seconds after that
    "preamble_that_is_paused": (0.6, 6.8, [(3.4, 2.2), (7.32, 1.28)]),
    "cut_off_while_waiting": (None, None, [(1.8, 3.2)]),
    "closed_while_a_tool_runs": (0.6, None, [(3.02, 1.98)]),
    "llm_fails_for_good": (None, None, [(1.8, 1.1)]),
    # no reply: the user waits until they speak again at 5.0
    "user_turn_without_reply": (None, None, [(1.8, 3.2)]),
    "question_and_answer": (0.72, 0.72, []),
}
#: call -> answered, why not, acknowledged
ANSWERED: dict[str, tuple[str | None, str, bool]] = {
    "preamble_before_a_slow_tool": ("yes", "", True),
    "tool_that_says_it_all": ("yes", "", False),
    "speaks_while_a_tool_runs": ("no", "interrupted", True),
    "closed_while_a_tool_runs": ("no", "session_closed", True),
    "llm_fails_for_good": ("no", "failed", False),
    "user_turn_without_reply": ("no", "no_reply", False),
    "greeting_by_say": (None, "", False),
    "typed_questions": ("text", "", False),
}


def first(name: str, *, native: bool = False) -> Any:
    """The first turn of a call."""
    return next(iter(build_reports(record(name, native_spans=native).pipeline))).turns[0]


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "native"])
@pytest.mark.parametrize("name", WORKED)
def test_worked_by_hand(name: str, *, native: bool) -> None:
    """First audio, answer and silences are those of the script, whoever else traces the call."""
    turn = first(name, native=native)
    e2e, answer, gaps = WORKED[name]
    assert turn.latency.e2e_latency == (None if e2e is None else pytest.approx(e2e, abs=1e-3))
    assert turn.latency.answer_latency == (None if answer is None else pytest.approx(answer, abs=1e-3))
    found = [(one.start_ns / 1e9 - EPOCH, one.seconds) for one in turn.gaps]
    assert found == [pytest.approx(gap, abs=1e-3) for gap in gaps]
    dead = sum(length for _, length in gaps)
    assert turn.latency.dead_air == pytest.approx(dead, abs=1e-3)
    assert turn.latency.wait == pytest.approx((e2e or 0.0) + dead, abs=1e-3)


@pytest.mark.parametrize("name", ANSWERED)
def test_whether_the_user_was_answered(name: str) -> None:
    """Yes, in writing, or no and why; nobody asked where the agent speaks of itself."""
    turn = first(name)
    assert (turn.answered, turn.why_not, turn.acknowledged) == ANSWERED[name]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("preamble_before_a_slow_tool", [{"tool": 5.28, "llm": 0.2, "tts": 0.1}]),
        ("preamble_and_filler", [{"tts": 0.1}, {"tool": 4.26, "llm": 0.2, "tts": 0.1}]),
        ("noise_in_the_wait", [{"tool": 1.98}, {"tool": 2.8, "llm": 0.2, "tts": 0.1}]),
        ("preamble_that_is_paused", [{"playback": 2.2}, {"tool": 0.98, "llm": 0.2, "tts": 0.1}]),
        ("speaks_while_a_tool_runs", [{"tool": 1.98}]),
        ("cut_off_while_waiting", [{"transcription": 0.1, "eou": 0.2, "hook": 2.9}]),
        ("llm_fails_for_good", [{"transcription": 0.1, "eou": 0.2, "llm": 0.8}]),
    ],
)
def test_where_the_silences_went(name: str, stages: list[dict[str, float]]) -> None:
    """Each silence is followed back from what ended it, and no further than its beginning."""
    found = [{stage: value for stage, value in gap.stages.items() if value > 1e-6} for gap in first(name).gaps]
    assert found == [pytest.approx(one, abs=1e-3) for one in stages]


#: the calls of the table in docs/latency.md, in its order
TABLE = tuple(WORKED)[:7]


def test_the_page_on_latency_has_the_worked_calls() -> None:
    """The table in docs/latency.md has the values that the tests hold the calls to."""
    page = (Path(__file__).parent.parent / "docs" / "latency.md").read_text(encoding="utf-8")
    rows = page.partition("Seven calls, worked by hand")[2].splitlines()[4 : 4 + len(TABLE)]
    cells = [tuple(cell.strip() for cell in row.strip("|").split("|"))[1:] for row in rows]
    expected = []
    for e2e, answer, gaps in (WORKED[name] for name in TABLE):
        lengths = " + ".join(f"{length:.2f}" for _, length in gaps)
        expected.append(("" if e2e is None else f"{e2e:.2f}", "" if answer is None else f"{answer:.2f}", lengths))
    assert cells == expected


def sessions(names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    for name in names:
        for report in build_reports(record(name).pipeline):
            yield name, report


def test_every_silence_is_whole() -> None:
    """In every scripted call gaps lie after the first audio, in order, free of speech, and their stages sum exactly."""
    for name, report in sessions(names()):
        playbacks = [one for one in report.spans if one.kind == attr.KIND_PLAYBACK]
        for turn in report.turns:
            for one, other in zip(turn.gaps, turn.gaps[1:], strict=False):
                assert one.end_ns < other.start_ns, name
            for gap in turn.gaps:
                assert sum(one.end_ns - one.start_ns for one in gap.path) == gap.end_ns - gap.start_ns, name
                assert gap.end_ns - gap.start_ns >= 1_000_000
                heard = [one for one in playbacks if attr.PLAYBACK_PAUSES not in one.attributes]
                assert not [one for one in heard if one.start_ns < gap.end_ns and one.end_ns > gap.start_ns], name
            latency = turn.latency
            if latency.answer_latency is not None and latency.e2e_latency is not None:
                assert latency.answer_latency >= latency.e2e_latency, name
            assert (turn.answered == "no") == bool(turn.why_not), name


def test_a_call_says_what_it_waited_for_in_all() -> None:
    """A session has the percentiles of the three times, and its dead air by stage."""
    (report,) = build_reports(record("preamble_and_filler").pipeline)
    assert report.latency["answer_latency"].p50 == pytest.approx(6.8, abs=1e-3)
    assert report.latency["dead_air"].max == pytest.approx(4.66, abs=1e-3)
    assert report.latency["wait"].max == pytest.approx(5.26, abs=1e-3)
    stages = {stage: value for stage, value in report.gap_stages.items() if value > 1e-6}
    assert stages == pytest.approx({"tool": 4.26, "llm": 0.2, "tts": 0.2}, abs=1e-3)


def test_what_the_turns_span_says_is_enough_without_stages() -> None:
    """Where stage spans were filtered out on the way, the turn's own span has the wait, the answer and the silences."""
    records = record("preamble_and_filler").pipeline
    whole = next(iter(build_reports(records))).turns[0]
    kept = [one for one in records if one.kind not in (attr.KIND_PLAYBACK, attr.KIND_VAD, attr.KIND_TTS)]
    turn = build_report(kept).turns[0]
    assert (turn.answered, turn.acknowledged) == ("yes", True)
    assert turn.latency.answer_latency == whole.latency.answer_latency
    assert turn.latency.dead_air == whole.latency.dead_air
    assert [one.stages for one in turn.gaps] == [pytest.approx(one.stages, abs=1e-6) for one in whole.gaps]


def test_many_tools_and_playouts_take_no_more_than_their_number() -> None:
    """Ten thousand playouts beside ten thousand tools in one turn are derived in seconds, in any order."""
    script = Script()
    turn = script.turn(0.0, 20_000.0, **{attr.END_REASON: "completed"})  # type: ignore[arg-type]
    turn.vad(0.0, 0.5)
    turn.eou(0.5, 0.6)
    for number in range(5_000):
        turn.llm(1.0 + number, 1.1 + number, 0.05)
        turn.tool(1.1 + number, 3.0 + number)
        turn.playback(1.2 + number, 1.5 + number)
    random.Random(1).shuffle(script.spans)
    derived = derive_session(script.spans).turns[0]
    assert len(derived.gaps) == 4_999
    assert derived.gaps[0].start_ns == ns(1.5)
    assert derived.acknowledged


@pytest.mark.parametrize(("at", "too_early"), [(2450, True), (3000, False)])
def test_who_was_too_early(at: int, *, too_early: bool) -> None:
    """A user who speaks on right after the agent's first audio had only paused; one who speaks later interrupts."""
    (report,) = build_reports(record(f"resumes_{at}_ms").pipeline)
    assert [turn.false_cutoff for turn in report.turns] == [too_early, False]
    assert [turn.interruptions for turn in report.turns] == [int(not too_early), 0]
    assert (report.false_cutoffs, report.interruptions) == (int(too_early), int(not too_early))
    assert report.interruption_rate == (0.0 if too_early else 0.5)
    assert ("the user, who had only paused" in to_text(report)) == too_early


def cut_off(resumed: float, *, audio: float | None = 2.4, provider: str = "vad", source: str = "vad") -> Any:
    """A turn committed at 2.1 and heard at ``audio``, that words of the user at ``resumed`` cut off."""
    script = Script()
    turn = script.turn(1.0, 4.0, **{attr.END_REASON: "interrupted"})  # type: ignore[arg-type]
    turn.vad(1.0, 1.8)
    decided = {attr.EOU_COMMITTED: True, attr.metric("eou", "metadata.model_provider"): provider}
    turn.stage(attr.KIND_EOU, 1.8, 2.1, **decided)  # type: ignore[arg-type]
    if audio is not None:
        turn.playback(audio, max(audio, resumed) + 0.3)
        turn.verdict(resumed, resumed + 0.3, "interruption")
    script.turn(resumed, resumed + 3.0, **{attr.TURN_SPEECH_END_SOURCE: source})  # type: ignore[arg-type]
    return derive_session(script.spans)


@pytest.mark.parametrize(
    ("resumed", "audio", "too_early"),
    [
        (2.2, 2.4, True),
        (2.45, 2.4, True),
        (2.7, 2.4, True),
        (3.0, 2.4, False),
        (3.3, 2.4, False),
        # nothing was heard yet: only the commit counts
        (3.1, None, True),
        (3.2, None, False),
        # half a second after the voice, but more than a second after the commit
        (3.2, 3.0, False),
    ],
)
def test_how_soon_is_too_early(resumed: float, audio: float | None, *, too_early: bool) -> None:
    """Words that follow the commit by a second and the voice by half a second at most continue the turn before."""
    session = cut_off(resumed, audio=audio)
    assert session.turns[0].false_cutoff == too_early
    assert session.interruptions == int(audio is not None and not too_early)


@pytest.mark.parametrize(("provider", "source"), [("manual", "vad"), ("vad", "typed")])
def test_no_cutoff_where_code_commits_or_the_user_writes(provider: str, source: str) -> None:
    """A manual turn was not cut off by the agent, nor one that a typed message follows."""
    session = cut_off(2.6, provider=provider, source=source)
    assert (session.false_cutoffs, session.interruptions) == (0, 1)
