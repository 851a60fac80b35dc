"""Tool calls by the call, not by its id: models repeat ids, leave them empty, and use those of earlier turns again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel.spans import outcome

from .kit.clock import EPOCH
from .kit.run import CANARY, Call, ScenarioFunction
from .kit.story import story_of
from .kit.trace import play
from .scenarios.tools import Clerk

ROME, BERGEN = '{"city": "Rome"}', '{"city": "Bergen"}'
SUNNY = f"It is sunny in {{}}, says the {CANARY}."
UNKNOWN = "Unknown function: no_such_tool"
#: name, arguments and call id of each call that a model makes in one answer
Calls = Sequence[tuple[str, str, str]]
#: seconds of the call, tool, outcome, and how its result begins (None: it never ran, since LiveKit refused it)
Ran = tuple[float, float, str, str, str | None]


@cache
def asking(*turns: Calls) -> ScenarioFunction:
    """One typed question for each of the turns, which the model answers with these calls and then with a word."""

    async def script(call: Call) -> None:
        left = iter(turns)

        async def reply(stream: Any, items: list[Any]) -> None:
            if items[-1].type == "message" and items[-1].role == "user":
                for name, arguments, call_id in next(left):
                    stream.call(name, arguments, call_id)
            else:
                await stream.text("fine")
            stream.usage()

        session = call.session(reply, stt=None, vad=None, tts=None, audio=None)
        await call.start(session, Clerk())
        for number in range(len(turns)):
            await session.run(user_input=f"question {number}")
        await call.close(session)

    return script


ID = "call_0"
CASES: dict[str, tuple[tuple[Calls, ...], list[Ran]]] = {
    "used again in later turns": (
        (
            (("weather", ROME, ID),),
            (("no_such_tool", "{}", ID),),
            (("weather", "not json [", ID),),
            (("weather", BERGEN, ID),),
        ),
        [
            (0.2, 0.5, "weather", "completed", SUNNY.format("Rome")),
            (0.9, 0.9, "_OTHER", "error", UNKNOWN),
            (1.3, 1.3, "weather", "error", "Error parsing arguments"),
            (1.7, 2.05, "weather", "completed", SUNNY.format("Bergen")),
        ],
    ),
    "twice in one answer": (
        ((("weather", ROME, ID), ("weather", BERGEN, ID)),),
        [
            (0.2, 0.2, "weather", "error", None),
            (0.2, 0.5, "weather", "completed", SUNNY.format("Rome")),
        ],
    ),
    "empty": (
        ((("weather", ROME, ""), ("weather", BERGEN, "")),),
        [
            (0.2, 0.2, "weather", "error", None),
            (0.2, 0.5, "weather", "completed", SUNNY.format("Rome")),
        ],
    ),
    "twice, and the first fails": (
        ((("broken", "{}", ID), ("weather", BERGEN, ID)),),
        [
            (0.2, 0.2, "weather", "error", None),
            (0.2, 0.3, "broken", "error", f"the {CANARY} is out of order"),
        ],
    ),
    "of calls that never ran and of one that did": (
        ((("no_such_tool", "{}", ID), ("weather", BERGEN, ID), ("weather", "not json [", ID)),),
        [
            (0.2, 0.55, "weather", "completed", SUNNY.format("Bergen")),
            (0.55, 0.55, "_OTHER", "error", UNKNOWN),
            (0.55, 0.55, "weather", "error", "Error parsing arguments"),
        ],
    ),
    "empty, used again in later turns": (
        ((("weather", ROME, ""),), (("broken", "{}", ""),), (("weather", BERGEN, ""),)),
        [
            (0.2, 0.5, "weather", "completed", SUNNY.format("Rome")),
            (0.9, 1.0, "broken", "error", f"the {CANARY} is out of order"),
            (1.4, 1.75, "weather", "completed", SUNNY.format("Bergen")),
        ],
    ),
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("case", CASES)
def test_each_executed_call_has_one_span(case: str, native: bool) -> None:
    """Whatever the ids: one span for each call that LiveKit executed or refused, with its own times and its own result,
    in the turn that made it."""
    turns, expected = CASES[case]
    script = asking(*turns)
    lines = story_of(script, native_spans=native)
    assert [user for user, *_ in lines] == [f"question {number}" for number in range(len(turns))]
    trace = play(script, native_spans=native)
    tools = sorted(trace.of("tool"), key=lambda span: (span.start_ns, span.end_ns))
    found = [
        (
            span.start_ns / 1e9 - EPOCH,
            span.end_ns / 1e9 - EPOCH,
            span.attributes[attr.TOOL_NAME],
            outcome(span.attributes),
        )
        for span in tools
    ]
    assert [one[2:] for one in found] == [one[2:4] for one in expected]
    for (begins, ends, *_), (begun, ended, *_) in zip(found, expected, strict=True):
        assert (begins, ends) == pytest.approx((begun, ended), abs=0.001)
    for span, (*_, result) in zip(tools, expected, strict=True):
        said = span.attributes.get(attr.TOOL_CALL_RESULT)
        assert said is None if result is None else str(said).startswith(result)
    by_id = {span.span_id: span for span in trace.pipeline}
    made = [number for number, calls in enumerate(turns) for _ in calls]
    assert [by_id[span.parent_id or ""].attributes[attr.TURN_INDEX] for span in tools] == made
    executed = [
        function_call["name"]
        for event in trace.outcomes[0].report["events"]
        if event["type"] == "function_tools_executed"
        for function_call in event["function_calls"]
    ]
    assert len(executed) == len(tools)
