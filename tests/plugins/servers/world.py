"""What the servers of one call share: their log, what the caller says, what the model answers, and what goes wrong.

The log is the truth that the tier holds traces against: each entry has the ``time.perf_counter()`` at which a server
got or sent something.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

#: recognizers that listen to the same words finish them within this time
_SAME = 0.2


@dataclass(frozen=True)
class Timing:
    """How long the servers take, seconds.

    Attributes:
        silence: silence after which a recognizer takes an utterance for finished.
        final: from there to its final transcript.
        interim: between interim transcripts; the first comes as long after the speech begins.
        end_of_turn: silence after which a recognizer with turn detection ends the turn.
        token: from a request to the model's first token.
        first_byte: from a text to its first audio.
        speed: audio is sent this many times as fast as it plays.
    """

    silence: float = 0.3
    final: float = 0.1
    interim: float = 0.3
    end_of_turn: float = 0.7
    token: float = 0.25
    first_byte: float = 0.15
    speed: float = 5.0


@dataclass(frozen=True)
class Fault:
    """What goes wrong, once, at a point of a protocol.

    Attributes:
        at: the point: ``connect``, ``request``, ``answer`` of ``stt``, ``llm`` or ``tts``.
        status: the HTTP status of the refusal.
        close: the code with which the socket closes; 0: it is dropped without one.
        error: the provider's own error message is sent, and the socket stays.
        after: seconds of speech or audio, or tokens, after which it happens.
    """

    at: str
    status: int | None = None
    close: int | None = None
    error: bool = False
    after: float = 0.0


FAULTS: dict[str, Fault] = {
    "stt refused": Fault("stt.connect", status=429),
    "stt dropped": Fault("stt.answer", close=1011, after=0.5),
    "llm refused": Fault("llm.request", status=400),
    "llm overloaded": Fault("llm.request", status=503),
    "llm dies": Fault("llm.answer", close=0, after=6),
    "tts refused": Fault("tts.connect", status=503),
    "tts error": Fault("tts.request", error=True),
    "tts dropped": Fault("tts.request", close=1011),
    "tts dies": Fault("tts.answer", close=1011, after=1.5),
}
"""Every fault that a call can ask for, by name; a call says which come, and in which order."""


@dataclass
class ToolCall:
    """The model calls this tool instead of answering."""

    name: str
    arguments: dict[str, str] = field(default_factory=dict)


@dataclass
class World:
    """One call's servers, seen from the test."""

    timing: Timing = field(default_factory=Timing)
    answers: tuple[tuple[str, str | ToolCall], ...] = ()
    log: list[dict[str, Any]] = field(default_factory=list)
    #: texts that the caller is about to say, in order, and the one that is being said
    pieces: deque[str] = field(default_factory=deque)
    _piece: str | None = None
    _said: tuple[float, str] = (0.0, "")
    _faults: deque[str] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, at: float | None = None, **details: Any) -> None:
        """Something happened, now or at this ``time.perf_counter()``."""
        self.log.append({"at": time.perf_counter() if at is None else at, "what": what, **details})

    def arm(self, *names: str) -> None:
        """These faults come next, each once."""
        for name in names:
            assert name in FAULTS
        self._faults.extend(names)

    def strikes(self, at: str, done: float = 0.0) -> Fault | None:
        """The fault that comes now, at this point, after ``done`` seconds, or tokens."""
        with self._lock:
            for name in self._faults:
                fault = FAULTS[name]
                if fault.at == at and done >= fault.after:
                    self._faults.remove(name)
                    self.note("fault", name=name)
                    return fault
        return None

    def speaking(self) -> str:
        """The text that the caller is saying."""
        if self._piece is None and time.perf_counter() - self._said[0] < _SAME:
            return self._said[1]
        if self._piece is None:
            self._piece = self.pieces.popleft() if self.pieces else "mm"
        return self._piece

    def said(self) -> str:
        """That text is over. Who listens beside the one that says so hears the same."""
        text, self._piece = self.speaking(), None
        self._said = (time.perf_counter(), text)
        return text

    def answer(self, question: str) -> str | ToolCall:
        """What the model says to a question."""
        return next((answer for words, answer in self.answers if words in question.lower()), "I see.")


def world_of(request: web.Request) -> World:
    """The world of the call that asks."""
    world: World = request.app["world"]
    return world


async def refused(request: web.Request, at: str) -> web.Response | None:
    """The refusal of a request, if a fault says so."""
    fault = world_of(request).strikes(at)
    if fault is None or fault.status is None:
        return None
    body = {"error": {"message": "refused", "type": "server_error", "code": None}}
    return web.Response(status=fault.status, text=json.dumps(body), content_type="application/json")


async def struck(socket: web.WebSocketResponse, fault: Fault | None, error: dict[str, Any] | None = None) -> bool:
    """Carry out a fault on a socket; whether there was one."""
    if fault is None:
        return False
    if fault.error and error is not None:
        await socket.send_json(error)
    elif fault.close is not None:
        await socket.close(code=fault.close or 1006, message=b"gone")
    return True
