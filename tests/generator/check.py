"""What must hold of every composed call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from livekit_otel import build_reports
from tests.kit.clock import EPOCH
from tests.kit.run import assert_same_report
from tests.kit.trace import Trace
from tests.kit.turn_checker import check_reports, check_turns
from tests.turns_live import assert_live_equals_rebuilt

from . import truth
from .known import known
from .plan import Log, Plan, in_order
from .play import play
from .words import labels, speeches

#: seconds by which a number may differ from what the devices know
EXACT = 0.001


def check(plan: Plan, *, of_known: bool = False) -> Log:
    """Play a call and hold its numbers against what its devices know; returns their log.

    Args:
        of_known: waits and turns may not differ as they are known to.
    """
    plan = in_order(plan)
    trace, log = play(plan)
    (report,) = build_reports(trace.records)
    assert report.complete, report.warnings
    assert_same_report(report.to_dict(), trace.outcomes[0].report)
    _sums(report)
    assert_live_equals_rebuilt(trace.pipeline)
    try:
        _waits(plan, log, trace, report)
        check_turns(trace.pipeline, words_may_follow=True)
    except AssertionError:
        log.differs = None if of_known else known(plan, log)
        if log.differs is None:
            raise
    check_reports(trace.pipeline, [outcome.report for outcome in trace.outcomes])
    return log


def _history(trace: Trace) -> list[tuple[int, ...]]:
    """The user's messages of LiveKit's chat history."""
    items = trace.outcomes[0].report["chat_history"]["items"]
    messages = [one for one in items if one["type"] == "message" and one["role"] == "user"]
    return [speeches(" ".join(part for part in one["content"] if isinstance(part, str))) for one in messages]


def joined(report: Any) -> dict[str, tuple[int, ...]]:
    """What the agent said in turns of the user."""
    return {
        label: speeches(turn.user_text) for turn in report.turns for label in labels(turn.agent_text) if turn.user_text
    }


def _sums(report: Any) -> None:
    """Stages of a wait and of each silence are the whole of it."""
    for turn in report.turns:
        if turn.latency.e2e_latency is not None:
            assert abs(sum(turn.silence.values()) - turn.latency.e2e_latency) < 1e-6, "stages of e2e_latency"
        for gap in turn.gaps:
            assert sum(one.end_ns - one.start_ns for one in gap.path) == gap.end_ns - gap.start_ns, "stages of a gap"
            assert all(one.end_ns == other.start_ns for one, other in zip(gap.path, gap.path[1:], strict=False))


def _waits(plan: Plan, log: Log, trace: Trace, report: Any) -> None:
    log, left = replace(log), list(report.turns)
    words = [speeches(turn.user_text) for turn in report.turns]
    expected = truth.turns(plan, log, _history(trace), words, joined(report))
    for turn in expected:
        found = [one for one in left if set(speeches(one.user_text)) == set(turn.speeches)]
        if not found and turn.at_close:
            continue
        if not found and plan.mode == "server" and turn.stopped is not None:
            # its words come when the turn is over, and stand on no turn
            found = [one for one in left if not one.user_text and _stopped_at(one, turn.stopped)]
        assert len(found) == 1, f"{len(found)} turns of the user's speeches {turn.speeches}: {_shown(report.turns)}"
        left.remove(found[0])
        if turn.at_close:
            continue
        _same(turn, found[0])
    for one in left:
        said = labels(one.agent_text)
        assert not one.user_text, f"a turn of words that nobody committed: {one.user_text}"
        _same(truth.proactive(log, said), one)


def _stopped_at(turn: Any, stopped: float) -> bool:
    at = turn.latency.stopped_speaking_at
    return at is not None and abs(at - EPOCH - stopped) <= EXACT


def _same(expected: truth.Turn, found: Any) -> None:
    where = f"turn {found.index} (user {expected.speeches}, agent {[one.label for one in expected.voices]})"
    latency = found.latency
    for name, value in (
        ("e2e_latency", expected.e2e),
        ("answer_latency", expected.answer),
        ("dead_air", expected.dead_air),
        ("wait", expected.wait),
    ):
        ours = getattr(latency, name)
        assert _equal(value, ours), f"{where}: {name} is {ours}, the devices say {value}"
    if expected.false_cutoff is not None:
        assert found.false_cutoff == expected.false_cutoff, f"{where}: false cutoff"
    gaps = [(one.start_ns / 1e9 - EPOCH, one.end_ns / 1e9 - EPOCH) for one in found.gaps]
    assert len(gaps) == len(expected.gaps), f"{where}: gaps {gaps}, {expected.gaps}"
    for gap, other in zip(_flat(gaps), _flat(expected.gaps), strict=True):
        assert abs(gap - other) <= EXACT, f"{where}: gaps {gaps}, the devices say {expected.gaps}"


def _equal(value: float | None, ours: float | None) -> bool:
    if value is None or ours is None:
        return value is ours
    return abs(value - ours) <= EXACT


def _flat(gaps: Sequence[tuple[float, float]]) -> list[float]:
    return [moment for gap in gaps for moment in gap]


def _shown(turns: Sequence[Any]) -> list[Any]:
    return [(one.user_text, one.agent_text) for one in turns]
