"""Overridden nodes, ``on_enter`` and ``on_exit``: their own work is a separate stage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from livekit.agents import Agent, StopResponse
from livekit.agents.voice import agent_activity

from livekit_otel import LiveKitInstrumentor, build_reports
from livekit_otel import attributes as attr
from livekit_otel.report.model import SessionReport
from livekit_otel.spans import SpanRecord, outcome

from .kit.run import Call, assert_same_report
from .kit.trace import names, play, record, switch_off
from .scenarios.nodes import HandsOn, LooksUp, Raises

HEARD = {"transcription": 0.1, "eou": 0.2, "tts": 0.1}


def _reports(name: str) -> list[SessionReport]:
    return list(build_reports(record(name).pipeline))


def _nodes(name: str) -> list[SpanRecord]:
    return sorted(record(name).of(attr.KIND_NODE), key=lambda one: one.start_ns)


@pytest.mark.parametrize(
    ("name", "index", "silence"),
    [
        ("llm_node_that_searches_first", 0, {**HEARD, "node": 0.8, "llm": 0.32}),
        # made ahead at 0.1 s, committed at 0.3 s: 0.2 s of the search cost nothing
        ("llm_node_that_searches_ahead", 0, {**HEARD, "node": 0.6, "llm": 0.32}),
        ("llm_node_that_checks_the_answer", 0, {**HEARD, "node": 0.4, "llm": 0.32}),
        # the sentence is whole with the second string
        ("llm_node_that_writes", 0, {**HEARD, "node": 1.2}),
        ("llm_node_that_returns_words", 0, {**HEARD, "node": 0.6}),
        ("llm_node_cut_off", 1, {**HEARD, "node": 3.0, "llm": 0.32}),
        # the answer's text is there after 0.32 s, and the node makes audio of it for 0.7 s
        ("tts_node_of_its_own", 0, {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "node": 0.7}),
        # first token after 0.2 s; 0.5 s before the TTS is asked, and 0.2 s with its audio at hand
        ("tts_node_that_starts_slowly", 0, {**HEARD, "llm": 0.2, "node": 0.7}),
        ("nodes_that_hand_on", 0, {**HEARD, "llm": 0.32}),
        ("first_agent_loads", 1, {**HEARD, "llm": 0.32}),
        # two requests of 0.2 s; on_exit 0.4 s and on_enter 2 s between them
        ("handoff_to_an_agent_that_loads", 0, {**HEARD, "llm": 0.4, "tool": 0.3, "hook": 2.4}),
        ("handoff_to_an_agent_that_loads_long", 0, {**HEARD, "llm": 0.2}),
    ],
)
def test_own_work_is_waited_for(name: str, index: int, silence: dict[str, float]) -> None:
    """The wait for what a node does itself is ``node``, for ``on_enter`` and ``on_exit`` ``hook``; the parts sum."""
    (report,) = _reports(name)
    turn = report.turns[index]
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **silence}, abs=1e-6)
    assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("handoff_to_an_agent_that_loads_long", {"hook": 7.0, "llm": 0.2, "tts": 0.1}),
        # the user speaks on 1.7 s after the end of the question
        ("llm_node_cut_off", {"transcription": 0.1, "eou": 0.2, "node": 1.4}),
        ("llm_node_that_raises", {"transcription": 0.1, "eou": 0.2, "node": 0.3}),
    ],
)
def test_own_work_is_in_the_silences_after_the_first_words(name: str, stages: dict[str, float]) -> None:
    """A silence that a node or a hook made is theirs, however long, also where no voice ended it."""
    (gap,) = _reports(name)[0].turns[0].gaps
    assert gap.stages == pytest.approx(stages, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llm_node_that_searches_first", [("llm_node", 1.12, (0.0, 0.8), "completed", None)]),
        ("llm_node_that_writes", [("llm_node", 1.2, (0.0, 1.2), "completed", None)]),
        ("llm_node_that_raises", [("llm_node", 0.3, (0.0, 0.3), "error", "ValueError")] * 2),
        ("tts_node_of_its_own", [("tts_node", 0.82, (0.12, 0.82), "completed", None)]),
        ("tts_node_that_starts_slowly", [("tts_node", 0.8, (0.0, 0.5, 0.6, 0.8), "completed", None)]),
        ("nodes_that_hand_on", []),
        ("question_and_answer", []),
        ("first_agent_loads", [("on_enter", 1.0, None, "completed", None)]),
        (
            "handoff_to_an_agent_that_loads",
            [("on_exit", 0.4, None, "completed", None), ("on_enter", 2.0, None, "completed", None)],
        ),
        ("handoff_to_an_agent_that_loads_long", [("on_enter", 7.0, None, "completed", None)]),
    ],
)
def test_a_node_has_a_span_where_it_works_itself(name: str, expected: list[tuple[Any, ...]]) -> None:
    """Each run with own work is one ``node`` span with its times and its outcome; one that only hands on has none."""
    found = [
        (
            one.attributes[attr.NODE_NAME],
            pytest.approx((one.end_ns - one.start_ns) / 1e9, abs=1e-6),
            one.attributes.get(attr.NODE_OWN_WORK) and pytest.approx(one.attributes[attr.NODE_OWN_WORK], abs=1e-6),
            outcome(one.attributes),
            one.attributes.get(attr.ERROR_TYPE),
        )
        for one in _nodes(name)
    ]
    assert expected == found


def test_a_node_that_is_cut_off_was_cancelled() -> None:
    """A barge-in cancels the node, and its span ends then; its work until then is on it."""
    cut, used = _nodes("llm_node_cut_off")
    assert (outcome(cut.attributes), outcome(used.attributes)) == ("cancelled", "completed")
    assert attr.NODE_FIRST_OUTPUT not in cut.attributes
    assert used.attributes[attr.NODE_FIRST_OUTPUT] == pytest.approx(3.2, abs=1e-6)
    turns = {turn.span_id: turn for turn in record("llm_node_cut_off").of(attr.KIND_TURN)}
    assert [turns[str(one.parent_id)].attributes[attr.TURN_INDEX] for one in (cut, used)] == [0, 1]


def test_a_turn_fails_with_its_node() -> None:
    """A node that raises in its own code fails its turn, as a request does; the message is content."""
    turn = _reports("llm_node_that_raises")[0].turns[0]
    assert (turn.end_reason, turn.answered, turn.why_not) == ("failed", "no", "failed")
    (first, _) = _nodes("llm_node_that_raises")
    assert "no index" in str(first.attributes[attr.ERROR_MESSAGE])


@pytest.mark.parametrize("name", [name for name in names() if "node" in name or "loads" in name])
@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
def test_the_call_is_livekits(name: str, native: bool) -> None:
    """What LiveKit reports of a call with overridden nodes comes back exactly."""
    trace = record(name, native_spans=native)
    (outcome,) = trace.outcomes
    (report,) = build_reports(trace.pipeline)
    assert_same_report(report.to_dict(), outcome.report)


@pytest.mark.parametrize(
    ("cls", "make"),
    [
        (LooksUp, lambda: LooksUp(0.5)),
        (HandsOn, lambda: HandsOn(instructions="")),
        (Raises, lambda: Raises(instructions="")),
    ],
)
def test_a_node_is_called_once(cls: type[Agent], make: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer calls the user's node once, with LiveKit's arguments, whatever it does."""
    calls: list[int] = []
    original = cls.llm_node

    def counted(self: Agent, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(args))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(cls, "llm_node", counted)

    async def script(call: Call) -> None:
        call.caller.says("once", 1.0)
        session = call.session()
        await call.start(session, make())
        await call.until(6.0)
        await call.close(session)

    play(script)
    assert calls == [3]


@pytest.fixture
def _off() -> Iterator[None]:
    switch_off()
    yield
    switch_off()


@pytest.mark.usefixtures("_off")
def test_uninstrumenting_gives_livekits_functions_back() -> None:
    """What runs nodes is LiveKit's very function again."""
    names = ("perform_llm_inference", "perform_tts_inference")
    before = [vars(agent_activity)[name] for name in names]
    instrumentor = LiveKitInstrumentor()
    instrumentor.instrument()
    assert all(vars(agent_activity)[name] is not one for name, one in zip(names, before, strict=True))
    instrumentor.uninstrument()
    assert all(vars(agent_activity)[name] is one for name, one in zip(names, before, strict=True))


def unexplained(reports: Iterable[SessionReport]) -> tuple[float, float]:
    """All silence of some calls, first waits and gaps, and the ``other`` in it. Seconds."""
    whole = other = 0.0
    for turn in (turn for report in reports for turn in report.turns):
        for stages in (turn.silence, *(gap.stages for gap in turn.gaps)):
            whole += sum(stages.values())
            other += stages.get("other", 0.0)
    return whole, other


def scripted_reports() -> Iterator[SessionReport]:
    """The reports of all scripted calls."""
    for name in names():
        yield from _reports(name)


def test_less_than_3_percent_of_all_silence_is_unexplained() -> None:
    """Over all scripted calls, ``other`` is under 3 % of first waits and gaps."""
    whole, other = unexplained(scripted_reports())
    assert other < 0.03 * whole


def test_a_hook_that_asks_for_no_reply_leaves_the_user_without_one() -> None:
    """StopResponse after 0.9 s of ``on_user_turn_completed``: these are ``hook``, and so is the silence it leads to."""

    class Declines(Agent):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            await asyncio.sleep(0.9)
            raise StopResponse

    async def script(call: Call) -> None:
        call.caller.says("say nothing", 1.0).says("and nothing", 5.0)
        session = call.session()
        await call.start(session, Declines(instructions=""))
        await call.until(9.0)
        await call.close(session)

    (report,) = build_reports(play(script).pipeline)
    (gap,) = report.turns[0].gaps
    assert gap.stages == pytest.approx({"transcription": 0.1, "eou": 0.2, "hook": 2.9}, abs=1e-6)
    assert report.turns[0].latency.on_user_turn_completed_delay == pytest.approx(0.9, abs=1e-6)


def test_a_hook_that_works_after_it_has_spoken() -> None:
    """The silence between what ``on_user_turn_completed`` says and the answer is ``hook`` as long as the hook runs."""

    class Announces(Agent):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            self.session.say("One moment.")
            await asyncio.sleep(3.0)

    async def script(call: Call) -> None:
        call.caller.says("where is it", 1.0)
        session = call.session()
        await call.start(session, Announces(instructions=""))
        await call.until(9.0)
        await call.close(session)

    (report,) = build_reports(play(script).pipeline)
    (gap,) = report.turns[0].gaps
    assert gap.seconds > 2.5
    assert gap.stages == pytest.approx({"hook": gap.seconds - 0.42, "llm": 0.32, "tts": 0.1}, abs=1e-6)


def test_a_voice_that_livekit_never_let_speak_is_waited_for_as_playback() -> None:
    """Answering machine detection holds back an answer that is ready until the machine speaks on."""
    (report,) = _reports("amd_machine")
    assert report.turns[0].why_not == "interrupted"
    stages = [(name, one) for gap in report.turns[0].gaps for name, one in gap.stages.items()]
    assert sum(one for name, one in stages if name == "playback") == pytest.approx(1.2, abs=1e-6)
    assert "other" not in dict(stages)
