"""Detects when an audio output is paused and resumed: LiveKit calls methods for this and emits no event."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

from ...containment import contained

if TYPE_CHECKING:
    from livekit.agents.voice.io import AudioOutput

__all__ = ["PauseWatch"]

_PAUSED = {"pause": True, "resume": False}


class PauseWatch:
    """Watches the output at the top of a session's chain, which is the one that LiveKit pauses.

    ``changed(paused)`` is called after each call of ``pause()`` or ``resume()``, even if it changed nothing.
    """

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed

    def attach(self, output: AudioOutput) -> None:
        """Wrap the methods on this object only: other sessions may use outputs of the same class."""
        for name in _PAUSED:
            setattr(output, name, self._wrapper(output, name))

    def detach(self, output: AudioOutput) -> None:
        """Remove the wrappers, unless someone else has wrapped them."""
        for name in _PAUSED:
            if getattr(vars(output).get(name), "livekit_otel", None) is self:
                delattr(output, name)

    def _wrapper(self, output: AudioOutput, name: str) -> Callable[[], None]:
        original: Callable[[], None] = getattr(output, name)

        @wraps(original)
        def call() -> None:
            original()
            with contained(f"playback.{name}"):
                self._changed(_PAUSED[name])

        call.livekit_otel = self  # type: ignore[attr-defined]
        return call
