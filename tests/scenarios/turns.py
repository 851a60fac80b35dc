"""How a user's turn begins, ends, and sometimes leads to nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, StopResponse
from livekit.agents.metrics import EOTInferenceMetrics
from livekit.agents.metrics.base import Metadata

from tests.kit.run import CANARY, INSTRUCTIONS, Call, scenario

PREEMPTIVE = {"preemptive_generation": {"enabled": True}}


class Hooked(Agent):
    """Waits in ``on_user_turn_completed``; stays silent when it is asked to."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.delay = delay

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        if "silent" in (new_message.text_content or ""):
            raise StopResponse()
        await asyncio.sleep(self.delay)
        if "change" in (new_message.text_content or ""):
            turn_ctx.add_message(role="system", content=f"The {CANARY} changed its mind.")


@scenario()
async def user_turn_without_reply(call: Call) -> None:
    """The agent decides not to answer the first sentence, and answers the second."""
    call.caller.says(f"stay silent {CANARY}", 1.0).says("now answer", 5.0)
    session = call.session()
    await call.start(session, Hooked())
    await call.until(10.0)
    await call.close(session)


@scenario()
async def preemptive_user_turn_without_reply(call: Call) -> None:
    """The same with a generation that was begun early and is thrown away."""
    call.caller.says(f"stay silent {CANARY}", 1.0).says("now answer", 5.0)
    session = call.session(turn_handling=PREEMPTIVE)
    await call.start(session, Hooked())
    await call.until(10.0)
    await call.close(session)


@scenario()
async def slow_hook(call: Call) -> None:
    """on_user_turn_completed takes 0.7 s."""
    call.caller.says(f"think about it {CANARY}", 1.0)
    session = call.session()
    await call.start(session, Hooked(0.7))
    await call.until(7.0)
    await call.close(session)


@scenario()
async def noise_is_no_turn(call: Call) -> None:
    """VAD hears a cough, STT hears nothing, then comes a real question."""
    call.caller.noise(1.0).noise(3.0, 0.5).says(f"a real question {CANARY}", 6.0)
    session = call.session()
    await call.start(session)
    await call.until(11.0)
    await call.close(session)


@scenario()
async def transcription_times_out(call: Call) -> None:
    """VAD hears speech, no transcript comes, and the agent asks again."""
    call.caller.noise(1.0, 1.0).says(f"again {CANARY}", 7.0)
    session = call.session(transcription_timeout=1.0)
    session.on("user_transcription_timeout", lambda _: session.say(f"Pardon, {CANARY}?") and None)
    await call.start(session)
    await call.until(12.0)
    await call.close(session)


@scenario()
async def user_resumes(call: Call) -> None:
    """The user pauses, goes on before the turn is committed, and is answered once."""
    call.caller.says("the first half", 1.0, 0.6).says(f"the second half {CANARY}", 1.9, 0.6)
    session = call.session(turn_handling={"endpointing": {"min_delay": 0.8, "max_delay": 1.5}})
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def preemptive_generation_used(call: Call) -> None:
    """The answer is generated while LiveKit still waits for the end of the turn."""
    call.caller.says(f"be quick {CANARY}", 1.0)
    session = call.session(turn_handling={**PREEMPTIVE, "endpointing": {"min_delay": 0.8, "max_delay": 1.5}})
    await call.start(session)
    await call.until(7.0)
    await call.close(session)


@scenario()
async def preemptive_generation_discarded(call: Call) -> None:
    """The user goes on, so that the early answer is thrown away."""
    call.caller.says("book a table", 1.0, 0.6).says(f"for two at eight {CANARY}", 1.95, 0.8)
    session = call.session(turn_handling={**PREEMPTIVE, "endpointing": {"min_delay": 0.8, "max_delay": 1.5}})
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def preemptive_generation_invalidated(call: Call) -> None:
    """The hook changes the conversation, so that the early answer does not fit."""
    call.caller.says(f"change it {CANARY}", 1.0)
    session = call.session(turn_handling=PREEMPTIVE)
    await call.start(session, Hooked(0.1))
    await call.until(7.0)
    await call.close(session)


@scenario()
async def manual_turns(call: Call) -> None:
    """Push-to-talk: code commits the turn; once with a reply, once without."""
    call.caller.says(f"push to talk {CANARY}", 1.0).says("only a note", 6.0)
    session = call.session(turn_handling={"turn_detection": "manual"})
    await call.start(session)
    await call.until(2.2)
    session.commit_user_turn()
    await call.until(7.2)
    session.commit_user_turn(skip_reply=True)
    await call.until(10.0)
    await call.close(session)


class FakeTurnDetector:
    """An end-of-turn model that answers after 50 ms and reports its inference, as LiveKit's own do."""

    model = "fake-eot"
    provider = "kit"

    def __init__(self) -> None:
        self._callbacks: list[Any] = []
        self.asked = 0

    def on(self, event: str, callback: Any) -> None:
        if event == "metrics_collected":
            self._callbacks.append(callback)

    def off(self, event: str, callback: Any) -> None:
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    async def unlikely_threshold(self, language: Any) -> float:
        return 0.5

    async def backchannel_threshold(self, language: Any) -> None:
        return None

    async def supports_language(self, language: Any) -> bool:
        return True

    async def predict_end_of_turn(self, chat_ctx: Any, *, timeout: float | None = None) -> float:
        import time

        self.asked += 1
        await asyncio.sleep(0.05)
        metrics = EOTInferenceMetrics(
            timestamp=time.time(),
            total_duration=0.05,
            detection_delay=0.04,
            prediction_duration=0.03,
            num_requests=1,
            metadata=Metadata(model_name=self.model, model_provider=self.provider),
        )
        for callback in list(self._callbacks):
            callback(metrics)
        return 0.9 if self.asked > 1 else 0.2


@scenario()
async def end_of_turn_model(call: Call) -> None:
    """A model says whether the user is done: first no, then yes."""
    call.caller.says("well I think", 1.0, 0.6).says(f"that is all {CANARY}", 2.3, 0.6)
    session = call.session(turn_handling={"turn_detection": FakeTurnDetector()})
    await call.start(session)
    for activity in [session._activity]:
        detector = session.turn_detection
        detector.on("metrics_collected", activity._on_metrics_collected)  # type: ignore[union-attr]
    await call.until(9.0)
    await call.close(session)


@scenario()
async def user_goes_away(call: Call) -> None:
    """Nobody speaks for a while: the user is away, and code reacts to it."""

    session = call.session(user_away_timeout=3.0)
    session.on(
        "user_state_changed",
        lambda event: session.say(f"Are you there, {CANARY}?") and None if event.new_state == "away" else None,
    )
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def preemptive_voice_discarded(call: Call) -> None:
    """The same with a voice that had begun to speak the early answer."""
    call.caller.says("book a table", 1.0, 0.6).says(f"for two at eight {CANARY}", 2.4, 0.8)
    session = call.session(
        turn_handling={
            "preemptive_generation": {"enabled": True, "preemptive_tts": True},
            "endpointing": {"min_delay": 1.2, "max_delay": 2.0},
        }
    )
    await call.start(session)
    await call.until(9.0)
    await call.close(session)
