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


@pytest.mark.parametrize(
    ("talk", "codes"),
    [
        ("openai_failed", [("inference_rate_limit_exceeded", None)] * 2),
        ("openai_quota", [("insufficient_quota", None)]),
        ("gemini_dropped", [(None, 1011)] * 2),
    ],
)
def test_a_failed_response_has_the_servers_code(traced: Calls, talk: str, codes: list[tuple[object, object]]) -> None:
    """A rate limit, an empty account and a close of the connection are distinguished by the server's own code."""
    failed = [one.attributes for turn in traced(talk, False).report.turns for one in turn.stages]
    failed = [one for one in failed if one.get(attr.ERROR_TYPE) in ("APIError", "APIConnectionError")]
    assert [(one.get(attr.ERROR_CODE), one.get(attr.ERROR_CLOSE_CODE)) for one in failed] == codes


def test_an_answer_that_is_as_long_as_it_may_be_says_so(traced: Calls) -> None:
    """A response that ends at the token limit is no failure, and says why it ended."""
    turn = traced("openai_failed", False).report.turns[2]
    (response,) = [one for one in turn.stages if one.kind == attr.KIND_REALTIME]
    assert response.attributes[attr.RESPONSE_FINISH_REASONS] == ("max_output_tokens",)
