"""What all voices say: a tone as long as the text takes, in pieces, faster than it plays."""

from __future__ import annotations

import array
import asyncio
import math
from collections.abc import AsyncIterator

from .world import World

#: seconds of audio for each character
PER_CHARACTER = 0.06
_PIECE = 0.1


def tone(seconds: float, rate: int) -> bytes:
    """A tone as 16-bit mono samples."""
    return array.array("h", (int(2000 * math.sin(n * 0.06)) for n in range(int(seconds * rate)))).tobytes()


async def audio_of(world: World, text: str, rate: int) -> AsyncIterator[tuple[float, bytes]]:
    """The audio of a text: seconds from its beginning, and samples."""
    await asyncio.sleep(world.timing.first_byte)
    samples = tone(len(text) * PER_CHARACTER, rate)
    step = int(rate * _PIECE) * 2
    for begin in range(0, len(samples), step):
        if begin == 0:
            world.note("tts first byte", text=text)
        yield begin / 2 / rate, samples[begin : begin + step]
        await asyncio.sleep(_PIECE / world.timing.speed)
