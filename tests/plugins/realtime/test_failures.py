"""What fails on a realtime model's server says so: the response, its turn, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from livekit_otel import attributes as attr
from livekit_otel.spans import outcome

from .play import Played

Calls = Callable[[str, bool], Played]
#: by call: how each turn ends, the error type of the turn's span, and each response's outcome and error type
FAILED = {
    "openai_failed": [
        ("failed", "APIError", [("error", "APIError")]),
        ("failed", None, [("error", "APIError")]),
        ("completed", None, [("completed", None)]),
    ],
    "openai_quota": [("failed", "APIError", [("error", "APIError")])],
    "openai_rejected": [("failed", "APIError", []), ("completed", None, [("completed", None)])],
    "openai_dropped": [
        ("failed", "APIConnectionError", [("error", "APIConnectionError")]),
        ("failed", None, [("error", "APIConnectionError")]),
        ("completed", None, [("completed", None)]),
    ],
    "gemini_dropped": [
        ("failed", "APIError", [("error", "APIError")]),
        ("failed", None, [("error", "APIError")]),
        ("failed", None, [("error", "ResponseLost")]),
        ("completed", None, [("completed", None)]),
    ],
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("talk", FAILED)
def test_a_failed_response_fails_its_turn(traced: Calls, talk: str, native: bool) -> None:
    """A response that its server ends as failed, refuses or loses is an error, and its turn has failed."""
    found = []
    for turn in traced(talk, native).report.turns:
        responses = [one.attributes for one in turn.stages if one.kind == attr.KIND_REALTIME]
        ends = [(outcome(one), one.get(attr.ERROR_TYPE)) for one in responses]
        assert turn.span is not None
        found.append((turn.end_reason, turn.span.attributes.get(attr.ERROR_TYPE), ends))
    assert found == FAILED[talk]


def test_an_answer_that_is_as_long_as_it_may_be_says_so(traced: Calls) -> None:
    """A response that ends at the token limit is no failure, and says why it ended."""
    turn = traced("openai_failed", False).report.turns[2]
    (response,) = [one for one in turn.stages if one.kind == attr.KIND_REALTIME]
    assert response.attributes[attr.RESPONSE_FINISH_REASONS] == ("max_output_tokens",)
