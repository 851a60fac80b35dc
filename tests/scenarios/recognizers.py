"""Recognizers that say when the user begins and ends."""

from __future__ import annotations

from tests.kit.plugins import FlushedVAD, TurnSTT
from tests.kit.run import CANARY, Call, scenario

BY_STT = {"turn_detection": "stt"}


@scenario()
async def recognizer_that_is_faster_than_vad(call: Call) -> None:
    """The recognizer ends the turn while VAD still hears the user, and LiveKit flushes VAD."""
    call.caller.says(f"tell me {CANARY}", 1.0, 2.0)
    session = call.session(stt=TurnSTT(call.caller, end_after=0.1), vad=FlushedVAD(call.caller), turn_handling=BY_STT)
    await call.start(session)
    await call.until(7.0)
    await call.close(session)


@scenario()
async def recognizer_without_a_vad(call: Call) -> None:
    """Nobody but the recognizer hears when the user begins and ends."""
    call.caller.says(f"tell me {CANARY}", 1.0, 2.0)
    session = call.session(stt=TurnSTT(call.caller), vad=None, turn_handling=BY_STT)
    await call.start(session)
    await call.until(7.0)
    await call.close(session)
