"""Limits of the SDK: where spans keep few attributes, or short ones, the report is LiveKit's and says what is gone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.instrumentation import budget
from livekit_otel.journal.pieces import cut, parse_piece
from livekit_otel.spans import SpanRecord
from tests.kit.run import assert_same_report
from tests.kit.trace import Trace, trace_scenario

IDS = (attr.SESSION_ID, attr.BACKEND_SESSION_ID, attr.CONVERSATION_ID)
#: spans of tools, retries, interruptions, a realtime model; a head with everything
SCENARIOS = ("question_and_answer", "one_tool", "barge_in")


def play(name: str, limits: SpanLimits | None = None, **options: Any) -> Trace:
    provider = TracerProvider(shutdown_on_exit=False, span_limits=limits)
    return trace_scenario(name, provider, native_spans=False, options=options)


def dropped(spans: list[SpanRecord]) -> int:
    return sum(span.dropped_attributes for span in spans)


@pytest.mark.parametrize("limit", [6, 8, 16, 32, 48, 64, 128])
@pytest.mark.parametrize("name", SCENARIOS)
def test_few_attributes(name: str, limit: int) -> None:
    """However few attributes a span keeps, each says its session and kind, and the report is LiveKit's; it is complete
    exactly where none was dropped."""
    made = play(name, SpanLimits(max_span_attributes=limit))
    spans = made.pipeline
    session_id = spans[0].session_id
    for span in spans:
        assert span.attributes[attr.SESSION_ID] == session_id
        assert span.kind == span.name
        assert limit < 16 or all(one in span.attributes for one in IDS)
    report = livekit_otel.build_report(made.records)
    assert_same_report(report.to_dict(), made.outcomes[0].report)
    assert report.complete == (not dropped(spans))
    assert ["were dropped by a limit of the SDK" in one for one in report.warnings] == [True] * (not report.complete)
    assert [turn.index for turn in report.turns] == list(range(len(report.turns)))
    assert all(turn.end_reason for turn in report.turns)
    assert report.complete or limit < 64


@pytest.mark.parametrize("length", [32, 64, 100, 256, 1_000, 1_900, 2_100])
@pytest.mark.parametrize("count", [None, 16])
def test_short_values(length: int, count: int | None) -> None:
    """Pieces of the journal follow a limit of the values' length, also together with one of their number."""
    made = play("one_tool", SpanLimits(max_span_attribute_length=length, max_span_attributes=count))
    report = livekit_otel.build_report(made.records)
    assert_same_report(report.to_dict(), made.outcomes[0].report)
    assert report.complete == (count is None)


@pytest.mark.parametrize("count", [60, 120, 300])
def test_many_attributes_of_the_user(
    count: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users' attributes never push out ours: those for which there is no room are left out, which is logged once."""
    monkeypatch.setattr(budget, "_warned", False)
    given_ = {f"team.value.{number}": number for number in range(count)}
    made = play("one_tool", session_attributes=lambda job, session: {"user.id": "ada", **given_})
    spans = made.pipeline
    assert dropped(spans) == 0
    for span in spans:
        mine = [name for name in span.attributes if name.startswith("team.value.")]
        assert mine == list(given_)[: len(mine)]
        assert len(mine) >= 30
        assert span.attributes[attr.USER_ID] == "ada"
    report = livekit_otel.build_report(made.records)
    assert_same_report(report.to_dict(), made.outcomes[0].report)
    assert (report.complete, report.warnings) == (True, [])
    assert sum("of your attributes are missing" in one.getMessage() for one in caplog.records) == 1


def test_without_a_limit_nothing_is_left_out() -> None:
    """A provider without a limit gets all attributes of the user on every span."""
    made = play(
        "question_and_answer",
        SpanLimits(max_span_attributes=SpanLimits.UNSET, max_attributes=SpanLimits.UNSET),
        session_attributes=lambda job, session: {f"team.value.{number}": number for number in range(300)},
    )
    assert all(sum(name.startswith("team.value.") for name in span.attributes) == 300 for span in made.pipeline)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 99_999), st.text(min_size=1, max_size=3_000), st.integers(24, 3_000))
def test_pieces_fit(batch: int, text: str, length: int) -> None:
    """No piece is longer than the SDK keeps, and together they are the stream."""
    stream = text.encode("utf-8", "replace")
    values = cut(batch, stream, length)
    assert max(map(len, values)) <= length
    parsed = [parse_piece(value) for value in values]
    assert all(one is not None and one[0] == batch and one[2] == len(values) for one in parsed)
    assert "".join(one[4] for one in parsed if one).encode() == stream
