"""Reading attribute values: whatever a store made of them, they are the type that was asked for, or absent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livekit_otel.spans import finite, flag, nanoseconds, number, seconds, text, texts, whole

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text()),
    st.lists(st.floats()),
    st.from_regex(r"-?[0-9]{1,400}(\.[0-9]+)?(e[0-9]{1,4})?", fullmatch=True),
    st.sampled_from(["nan", "inf", "-Infinity", "1e999", "1_0", " 7 ", "\ud83d", '["\ud83d"]']),
    st.dictionaries(st.text(), st.integers()),
)


@given(ANYTHING)
def test_nothing_raises_and_types_are_kept(value: object) -> None:
    """Any value at all is read as the type that was asked for; numbers are finite and fit a span."""
    have = {"a": value}
    one = number(have, "a")
    assert one is None or (type(one) is float and math.isfinite(one) and abs(one) <= 2**63)
    count = whole(have, "a")
    assert count is None or (type(count) is int and abs(count) < 2**63)
    length = nanoseconds(have, "a")
    assert length is None or 0 <= length < 2**63
    assert type(flag(have, "a")) is bool
    assert type(text(have, "a")) is str
    assert all(type(each) is str for each in texts(have, "a"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "1e999", 10**400, "9" * 400, 1e300, None, []])
def test_numbers_that_no_call_can_have_are_none(value: object) -> None:
    """Not finite, over-large, or no number: None, as a float, an integer and as nanoseconds."""
    have = {"a": value}
    assert (number(have, "a"), whole(have, "a"), nanoseconds(have, "a"), finite(value)) == (None,) * 4


def test_values_are_read_from_their_text() -> None:
    """A store that keeps text only loses nothing, large integers included."""
    have = {"n": "1.5", "i": "9007199254740993", "f": "True", "l": '["a","b"]', "s": "plain", "z": 0}
    assert (number(have, "n"), whole(have, "i"), flag(have, "f")) == (1.5, 9007199254740993, True)
    assert (texts(have, "l"), texts(have, "s"), text(have, "z"), whole(have, "n")) == (["a", "b"], ["plain"], "0", 1)
    assert (texts(have, "no"), text(have, "no"), flag(have, "no")) == ([], "", False)


def test_seconds_become_nanoseconds_and_back() -> None:
    """Seconds are rounded to nanoseconds; -1 means none."""
    assert nanoseconds({"a": 1.0000000014}, "a") == 1_000_000_001
    assert nanoseconds({"a": -1.0}, "a") is None
    assert seconds(1_500_000_000) == 1.5
