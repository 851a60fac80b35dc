"""User and agent get in each other's way."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from livekit.agents.inference.interruption import OverlappingSpeechEvent
from livekit.agents.metrics import InterruptionMetrics
from livekit.agents.metrics.base import Metadata

from tests.kit.run import CANARY, Call, scenario
from tests.kit.voice import FakeAudioOutput

LONG = f"This is a long answer of the {CANARY} that goes on and on and on until somebody stops it at last."


async def long_reply(stream: Any, items: list[Any]) -> None:
    await stream.text(LONG)
    stream.usage(25, 20)


@scenario()
async def barge_in(call: Call) -> None:
    """The user talks over a long answer, which is cut off, and is answered."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("stop it now", 4.5)
    session = call.session(long_reply)
    await call.start(session)
    await call.until(13.0)
    await call.close(session)


@scenario()
async def barge_in_before_the_voice(call: Call) -> None:
    """The user goes on while the model still thinks."""
    call.caller.says("the first thing", 1.0).says(f"no wait {CANARY}", 2.6)
    session = call.session(llm_delay=2.0)
    await call.start(session)
    await call.until(10.0)
    await call.close(session)


@scenario()
async def false_interruption(call: Call) -> None:
    """A noise pauses the agent; it turns out to be nothing and the agent goes on."""
    call.caller.says(f"a long story {CANARY}", 1.0).noise(4.0, 0.8)
    session = call.session(
        long_reply,
        audio=FakeAudioOutput(truth=call.truth, can_pause=True),
        turn_handling={"interruption": {"resume_false_interruption": True, "false_interruption_timeout": 1.0}},
    )
    await call.start(session)
    await call.until(14.0)
    await call.close(session)


@scenario()
async def backchannel_of_few_words(call: Call) -> None:
    """The user says "uh huh" while the agent speaks; two words are too few to interrupt."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 4.0, 0.4).says("thanks that is enough", 9.0)
    session = call.session(long_reply, turn_handling={"interruption": {"min_words": 3}})
    await call.start(session)
    await call.until(17.0)
    await call.close(session)


@scenario()
async def judged_overlaps(call: Call) -> None:
    """The adaptive model judges one overlap a backchannel and the next an interruption."""
    call.caller.says(f"a long story {CANARY}", 1.0)
    session = call.session(long_reply)
    await call.start(session)
    await call.until(3.5)
    _judge(session, is_interruption=False)
    await call.until(4.5)
    _judge(session, is_interruption=True)
    await call.until(9.0)
    await call.close(session)


def _judge(session: Any, *, is_interruption: bool) -> None:
    """What the adaptive detector does with a verdict: the event, and its metrics."""
    activity = session._activity
    now = time.time()
    event = OverlappingSpeechEvent(
        detected_at=now,
        is_interruption=is_interruption,
        total_duration=0.06,
        prediction_duration=0.02,
        detection_delay=0.3,
        overlap_started_at=now - 0.3,
        speech_input=np.zeros(160, dtype=np.int16),
        probabilities=np.array([0.1, 0.9], dtype=np.float32),
        probability=0.9 if is_interruption else 0.1,
        num_requests=2,
    )
    activity.on_overlap_speech(event)
    activity._on_metrics_collected(
        InterruptionMetrics(
            timestamp=now,
            total_duration=0.06,
            prediction_duration=0.02,
            detection_delay=0.3,
            num_interruptions=int(is_interruption),
            num_backchannels=int(not is_interruption),
            num_requests=2,
            metadata=Metadata(model_name="adaptive", model_provider="livekit"),
        )
    )


@scenario()
async def interrupted_by_code(call: Call) -> None:
    """Code interrupts the agent and lets it say something else."""
    call.caller.says(f"a long story {CANARY}", 1.0)
    session = call.session(long_reply)
    await call.start(session)
    await call.until(4.0)
    await session.interrupt()
    await session.say(f"Sorry, {CANARY}.")
    await call.until(9.0)
    await call.close(session)


@scenario()
async def closed_while_speaking(call: Call) -> None:
    """The session is closed in the middle of an answer."""
    call.caller.says(f"a long story {CANARY}", 1.0)
    session = call.session(long_reply)
    await call.start(session)
    await call.until(4.0)
    await call.close(session)
