"""An overridden ``stt_node``, ``transcription_node`` or ``realtime_audio_output_node``: a stage of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, RunContext, function_tool, stt

from livekit_otel import LiveKitInstrumentor, build_reports
from livekit_otel import attributes as attr
from livekit_otel.instrumentation.trackers.own_nodes import OwnNodes
from livekit_otel.report.turns import Turn
from livekit_otel.spans import outcome

from .kit.realtime import Answer, FakeRealtimeModel, Step
from .kit.run import INSTRUCTIONS, Call, assert_same_report, last_text
from .kit.trace import Trace, play

QUESTION = "where is my order"
#: what the kit's plain call waits for
PLAIN = {"transcription": 0.1, "eou": 0.2, "llm": 0.32, "tts": 0.1}


def _translated(event: stt.SpeechEvent) -> stt.SpeechEvent:
    if event.type != stt.SpeechEventType.FINAL_TRANSCRIPT:
        return event
    return replace(event, alternatives=[replace(one, text=f"{one.text}, por favor") for one in event.alternatives])


class Translates(Agent):
    """Translates each final transcript for 0.8 s before it asks for the next event."""

    async def stt_node(self, audio: Any, model_settings: Any) -> AsyncIterator[stt.SpeechEvent]:
        async for event in Agent.default.stt_node(self, audio, model_settings):
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                await asyncio.sleep(0.8)
            yield _translated(event)


class TranslatesBeside(Agent):
    """The same in a task of its own, which a queue feeds; its ``stt_node`` is a coroutine that returns the output."""

    async def stt_node(self, audio: Any, model_settings: Any) -> AsyncIterable[stt.SpeechEvent]:  # type: ignore[override]
        queue: asyncio.Queue[stt.SpeechEvent] = asyncio.Queue()

        async def read() -> None:
            async for event in Agent.default.stt_node(self, audio, model_settings):
                queue.put_nowait(event)

        async def write() -> AsyncIterator[stt.SpeechEvent]:
            reader = asyncio.create_task(read())
            try:
                while True:
                    event = await queue.get()
                    if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                        await asyncio.sleep(0.8)
                    yield _translated(event)
            finally:
                reader.cancel()

        return write()


class LosesItsEars(Agent):
    """Fails at the first final transcript."""

    async def stt_node(self, audio: Any, model_settings: Any) -> AsyncIterator[stt.SpeechEvent]:
        async for event in Agent.default.stt_node(self, audio, model_settings):
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                raise ValueError("no dictionary")
            yield event


class WritesSlowly(Agent):
    """Its text comes 0.8 s late; its audio does not wait for that."""

    async def transcription_node(self, text: AsyncIterable[Any], model_settings: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.8)
        async for part in text:
            yield part


class PreparesText(Agent):
    """A coroutine: LiveKit plays nothing before it has returned."""

    async def transcription_node(  # type: ignore[override]
        self, text: AsyncIterable[Any], model_settings: Any
    ) -> AsyncIterable[Any]:
        await asyncio.sleep(0.8)
        return Agent.default.transcription_node(self, text, model_settings)


class WritesOn(Agent):
    """Its text ends 6 s after its words, and LiveKit asks for the answer to a tool's result after that."""

    async def transcription_node(self, text: AsyncIterable[Any], model_settings: Any) -> AsyncIterator[Any]:
        async for part in text:
            yield part
        await asyncio.sleep(6.0)

    @function_tool
    async def status(self, context: RunContext[Any]) -> str:
        """Looks the status up."""
        return "on its way"


class LosesItsText(Agent):
    async def transcription_node(self, text: AsyncIterable[Any], model_settings: Any) -> AsyncIterator[Any]:
        raise ValueError("no font")
        yield


class Effects(Agent):
    """Holds the first frame back for 0.6 s."""

    async def realtime_audio_output_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: Any
    ) -> AsyncIterator[rtc.AudioFrame]:
        first = True
        async for frame in Agent.default.realtime_audio_output_node(self, audio, model_settings):
            if first:
                await asyncio.sleep(0.6)
            first = False
            yield frame


class LoadsEffects(Agent):
    """A coroutine that returns its output after 0.4 s."""

    async def realtime_audio_output_node(  # type: ignore[override]
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: Any
    ) -> AsyncIterable[rtc.AudioFrame]:
        await asyncio.sleep(0.4)
        return Agent.default.realtime_audio_output_node(self, audio, model_settings)


class HandsOn(Agent):
    """Overrides all three, and only hands on."""

    def stt_node(self, audio: Any, model_settings: Any) -> Any:
        return Agent.default.stt_node(self, audio, model_settings)

    async def transcription_node(self, text: AsyncIterable[Any], model_settings: Any) -> AsyncIterator[Any]:
        async for part in text:
            yield part

    async def realtime_audio_output_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: Any
    ) -> AsyncIterator[rtc.AudioFrame]:
        async for frame in audio:
            yield frame


async def _looks_up(stream: Any, items: list[Any]) -> None:
    """A preamble and a tool, and then what it gave."""
    if any(getattr(item, "type", "") == "function_call_output" for item in items):
        await stream.text("It is on its way.")
    elif last_text(items):
        await stream.text("One moment.")
        stream.call("status", "{}", "call_1")
    stream.usage()


def _call(agent: type[Agent], until: float = 12.0, **options: Any) -> Callable[[Call], Any]:
    async def script(call: Call) -> None:
        call.caller.says(QUESTION, 1.0)
        session = call.session(**options)
        await call.start(session, agent(instructions=INSTRUCTIONS))
        await call.until(until)
        await call.close(session)

    return script


def _realtime(agent: type[Agent]) -> Callable[[Call], Any]:
    async def script(call: Call) -> None:
        steps = [Step(1.0, "start"), Step(1.8, "stop"), Step(1.9, "transcript", QUESTION)]
        steps.append(Step(2.0, "answer", answer=Answer("Here it is.")))
        model = FakeRealtimeModel(steps, reply=Answer("Hello."), truth=call.truth)
        session = call.session(
            llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"}
        )
        await call.start(session, agent(instructions=INSTRUCTIONS))
        await call.until(6.0)
        await call.close(session)

    return script


CALLS: dict[str, Callable[[Call], Any]] = {
    "translates": _call(Translates),
    "translates beside": _call(TranslatesBeside),
    "loses its ears": _call(LosesItsEars, until=4.0),
    "writes slowly": _call(WritesSlowly),
    "prepares text": _call(PreparesText),
    "writes on": _call(WritesOn, reply=_looks_up),
    "writes on at the end": _call(WritesOn),
    "loses its text": _call(LosesItsText),
    "hands on": _call(HandsOn),
    "effects": _realtime(Effects),
    "loads effects": _realtime(LoadsEffects),
    "hands audio on": _realtime(HandsOn),
}


def _turn(name: str) -> Turn:
    (report,) = build_reports(play(CALLS[name]).pipeline)
    return report.turns[0]


def _nodes(trace: Trace) -> list[tuple[Any, ...]]:
    return [
        (one.attributes[attr.NODE_NAME], round((one.end_ns - one.start_ns) / 1e9, 3), outcome(one.attributes))
        for one in sorted(trace.of(attr.KIND_NODE), key=lambda one: one.start_ns)
    ]


@pytest.mark.parametrize(
    ("name", "silence"),
    [
        ("translates", {"transcription": 0.1, "node": 0.8, "llm": 0.32, "tts": 0.1}),
        ("translates beside", {"transcription": 0.1, "node": 0.8, "llm": 0.32, "tts": 0.1}),
        ("writes slowly", PLAIN),
        # the first words came 0.22 s after the node began, and it needs 0.8 s
        ("prepares text", {**PLAIN, "node": 0.58}),
        ("hands on", PLAIN),
        ("loses its text", PLAIN),
        # the server decides after 0.2 s, its first frame comes 0.02 s later
        ("effects", {"llm": 0.22, "node": 0.6}),
        ("loads effects", {"llm": 0.22, "node": 0.4}),
        ("hands audio on", {"llm": 0.22}),
    ],
)
def test_only_what_was_waited_for_is_in_the_wait(name: str, silence: dict[str, float]) -> None:
    """A node that holds words or audio back is ``node`` for as long as it did; the parts sum, nothing is ``other``."""
    turn = _turn(name)
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **silence}, abs=1e-5)
    assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency, abs=1e-9)


def test_text_that_ends_after_its_words_delays_the_answer() -> None:
    """LiveKit asks the model about a tool's result when the text before it is complete: that wait is the node's."""
    (gap,) = _turn("writes on").gaps
    assert gap.stages == pytest.approx({"node": 5.33, "llm": 0.2, "tts": 0.1}, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("translates", [("stt_node", 0.8, "completed")]),
        ("translates beside", [("stt_node", 0.8, "completed")]),
        ("loses its ears", [("stt_node", 0.0, "error")]),
        ("writes slowly", []),
        ("prepares text", [("transcription_node", 0.8, "completed")]),
        ("writes on", [("transcription_node", 5.33, "completed")]),
        # nothing is said after it in the turn
        ("writes on at the end", []),
        ("loses its text", [("transcription_node", 0.0, "error")]),
        ("hands on", []),
        ("effects", [("realtime_audio_output_node", 0.62, "completed")]),
        ("hands audio on", []),
    ],
)
def test_a_node_has_a_span_where_somebody_waits_for_it(name: str, expected: list[tuple[Any, ...]]) -> None:
    """One ``node`` span for each time that a node delayed the agent, or failed; none where nobody waited for it."""
    assert _nodes(play(CALLS[name])) == expected


@pytest.mark.parametrize("name", list(CALLS))
def test_the_call_is_livekits(name: str) -> None:
    """What LiveKit reports of a call with such nodes comes back exactly."""
    trace = play(CALLS[name])
    (made,) = trace.outcomes
    (report,) = build_reports(trace.pipeline)
    assert_same_report(report.to_dict(), made.report)


def test_a_node_that_is_busy_with_earlier_words_holds_the_later_ones() -> None:
    """Two transcripts, 0.5 s apart: the second waits for the translation of the first, and then for its own."""

    async def script(call: Call) -> None:
        call.caller.says("one", 1.0, length=0.3).says("two", 1.5, length=0.3)
        session = call.session(turn_handling={"endpointing": {"min_delay": 1.5, "max_delay": 3.0}})
        await call.start(session, Translates(instructions=INSTRUCTIONS))
        await call.until(9.0)
        await call.close(session)

    (report,) = build_reports(play(script).pipeline)
    (turn,) = report.turns
    assert turn.user_text == "one, por favor two, por favor"
    # the user stopped at 1.8, the recognizer is done at 1.9; 1.4 to 2.2 and 2.2 to 3.0 the node works
    assert turn.silence["transcription"] == pytest.approx(0.0, abs=1e-6)
    assert turn.silence["node"] == pytest.approx(1.2, abs=1e-6)


def test_words_of_a_node_are_the_turns() -> None:
    """The turn has the words that the node made of the recognizer's, and the node's span lies within the turn."""
    trace = play(CALLS["translates"])
    assert _turn("translates").user_text == f"{QUESTION}, por favor"
    (node,), (turn, *_) = trace.of(attr.KIND_NODE), trace.of(attr.KIND_TURN)
    assert node.parent_id == turn.span_id
    assert turn.start_ns <= node.start_ns <= node.end_ns <= turn.end_ns


def test_a_node_of_livekits_is_not_touched() -> None:
    """Only overridden nodes are wrapped, only while the session runs, and LiveKit's own comparison still holds."""
    seen: list[set[str]] = []
    agents: list[Agent] = [Agent(instructions=INSTRUCTIONS), WritesSlowly(instructions=INSTRUCTIONS)]

    async def script(call: Call) -> None:
        for agent in agents:
            session = call.session()
            await call.start(session, agent)
            seen.append(set(vars(agent)) & {"stt_node", "transcription_node", "realtime_audio_output_node"})
            await call.close(session)

    play(script)
    assert seen == [set(), {"transcription_node"}]
    assert not [name for agent in agents for name in vars(agent) if name.endswith("_node")]
    assert type(agents[1]).stt_node is Agent.stt_node


def test_uninstrumenting_gives_the_nodes_back() -> None:
    """After ``uninstrument()`` within a call the agent has its own methods, and the call continues."""
    agent = PreparesText(instructions=INSTRUCTIONS)
    left: list[set[str]] = []

    async def script(call: Call) -> None:
        call.caller.says(QUESTION, 2.0)
        session = call.session()
        await call.start(session, agent)
        LiveKitInstrumentor().uninstrument()
        left.append(set(vars(agent)) & {"transcription_node"})
        await call.until(8.0)
        await call.close(session)

    (made,) = play(script).outcomes
    assert left == [set()]
    assert [item["role"] for item in made.report["chat_history"]["items"] if item["type"] == "message"][
        -1
    ] == "assistant"


def test_a_method_that_the_user_set_on_the_agent_comes_back() -> None:
    """A node that the user put on the agent itself is used, and is there again after the session."""
    agent = Agent(instructions=INSTRUCTIONS)

    async def shouts(text: AsyncIterable[str], model_settings: Any) -> AsyncIterator[str]:
        async for part in text:
            yield part.upper()

    agent.transcription_node = shouts  # type: ignore[method-assign,assignment]

    async def script(call: Call) -> None:
        call.caller.says(QUESTION, 1.0)
        session = call.session()
        await call.start(session, agent)
        await call.until(6.0)
        await call.close(session)

    (report,) = build_reports(play(script).pipeline)
    assert agent.transcription_node is shouts  # type: ignore[comparison-overlap]
    assert report.turns[0].agent_text.isupper()


@pytest.mark.parametrize("agent", [Translates, PreparesText, LosesItsText])
def test_a_fault_of_ours_leaves_the_nodes_alone(agent: type[Agent], monkeypatch: pytest.MonkeyPatch) -> None:
    """With every method of the tracker broken, the call is LiveKit's."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    for name in ("stt_run", "held", "text_returned", "text_over", "now_ns", "failed"):
        monkeypatch.setattr(OwnNodes, name, broken)
    trace = play(_call(agent))
    (report,) = build_reports(trace.pipeline)
    assert_same_report(report.to_dict(), trace.outcomes[0].report)
