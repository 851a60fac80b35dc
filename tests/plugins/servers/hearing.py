"""How the recognizers hear: energy says when somebody speaks, and the script knows the words."""

from __future__ import annotations

import array
import math
from typing import Any

from .world import World

_LOUD = 250.0
_WINDOW = 0.02


def loudness(samples: bytes) -> float:
    """Root mean square of 16-bit samples."""
    values = array.array("h", samples[: len(samples) // 2 * 2])
    return math.sqrt(sum(value * value for value in values) / len(values)) if values else 0.0


class Ear:
    """Follows one audio stream. Times are seconds of that stream."""

    def __init__(self, world: World, rate: int) -> None:
        self._silence = world.timing.silence
        self._window = int(rate * _WINDOW) * 2
        self._rate = rate
        self._rest = b""
        self._samples = 0
        self.speaking = False
        self.onset = 0.0
        self.last = 0.0

    @property
    def now(self) -> float:
        return self._samples / self._rate

    @property
    def spoken(self) -> float:
        """How long the speech has lasted."""
        return self.now - self.onset

    @property
    def quiet(self) -> float:
        """How long nobody has spoken."""
        return self.now - self.last

    def hear(self, data: bytes) -> list[str]:
        """``start``, ``going`` and ``end`` of speech in the next samples."""
        self._rest += data
        heard: list[str] = []
        while len(self._rest) >= self._window:
            window, self._rest = self._rest[: self._window], self._rest[self._window :]
            loud = loudness(window) > _LOUD
            self._samples += len(window) // 2
            if loud:
                self.last = self.now
                if not self.speaking:
                    self.speaking, self.onset = True, self.now - _WINDOW
                    heard.append("start")
            elif self.speaking and self.quiet >= self._silence:
                self.speaking = False
                heard.append("end")
        if self.speaking:
            heard.append("going")
        return heard


def words_of(text: str, start: float, end: float) -> list[dict[str, Any]]:
    """The words of a text, evenly spread over a time, as Deepgram has them."""
    words = text.split()
    each = max(0.01, (end - start) / max(1, len(words)))
    return [
        {
            "word": word.lower(),
            "punctuated_word": word,
            "confidence": 0.97,
            "start": round(start + number * each, 3),
            "end": round(start + (number + 1) * each, 3),
        }
        for number, word in enumerate(words)
    ]


def beginning(text: str) -> str:
    """What an interim transcript has of a text: its first half."""
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)])
