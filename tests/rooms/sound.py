"""Where speech is in samples."""

from __future__ import annotations

import array

#: samples louder than this are speech: the codec turns silence into less
_LOUD = 300


def loud_samples(samples: bytes | memoryview) -> list[int]:
    """Positions of the first and the last loud sample of 16-bit mono audio, or nothing."""
    found = [at for at, one in enumerate(array.array("h", bytes(samples))) if abs(one) > _LOUD]
    return [found[0], found[-1]] if found else []
