"""Pauses of the agent's voice are those of the audio output, which stays the caller's own."""

from __future__ import annotations

import pytest

from livekit_otel import attributes as attr
from livekit_otel.spans import numbers
from tests.kit.run import Call
from tests.kit.trace import play
from tests.kit.voice import FakeAudioOutput
from tests.scenarios.interruptions import long_reply


class Failing(FakeAudioOutput):
    """Cannot be paused after all."""

    def pause(self) -> None:
        raise RuntimeError("no pause")


def test_a_pause_is_on_the_playback() -> None:
    """A noise over the agent pauses its voice until LiveKit resumes it: the playback says when."""

    async def script(call: Call) -> None:
        call.caller.says("tell me", 1.0).noise(3.0, 0.8)
        session = call.session(long_reply)
        await call.start(session)
        await call.until(16.0)
        await call.close(session)

    trace = play(script)
    (playback,) = (span for span in trace.pipeline if span.kind == attr.KIND_PLAYBACK)
    paused, resumed = numbers(playback.attributes, attr.PLAYBACK_PAUSES)
    assert 0 < paused < resumed


@pytest.mark.parametrize("kind", [FakeAudioOutput, Failing])
def test_the_output_is_given_back(kind: type[FakeAudioOutput]) -> None:
    """While a session runs its output notes pauses; when it has closed, the output has its own methods alone."""
    seen: list[set[str]] = []

    async def script(call: Call) -> None:
        output = kind()
        session = call.session(long_reply, audio=output)
        await call.start(session)
        seen.append(vars(output).keys() & {"pause", "resume"})
        await call.close(session)
        seen.append(vars(output).keys() & {"pause", "resume"})
        if kind is Failing:
            with pytest.raises(RuntimeError, match="no pause"):
                output.pause()

    play(script)
    assert seen == [{"pause", "resume"}, set()]
