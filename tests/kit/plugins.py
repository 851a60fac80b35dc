"""Models with the habits of real plugins: what they say, and when, is not what the kit's plain fakes say."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from livekit.agents import APIConnectOptions, llm, stt, tts, vad
from livekit.agents.metrics import RealtimeModelMetrics
from livekit.agents.metrics.base import Metadata

from . import clock
from .realtime import Answer, FakeRealtimeModel, FakeRealtimeSession
from .voice import RETRY, Caller, FakeSTT, FakeTTS, FakeVAD, _TTSChunked, _until, _VADStream


class TurnSTT(FakeSTT):
    """A streaming recognizer that says when the user begins and, ``end_after`` the speech, ends, with the words."""

    def __init__(self, caller: Caller, *, interims: bool = True, end_after: float = 0.6) -> None:
        super().__init__(caller, model="turn-stt")
        self.interims = interims
        self.end_after = end_after

    def stream(self, *, language: Any = None, conn_options: Any = None) -> stt.RecognizeStream:
        return _TurnStream(stt=self, conn_options=APIConnectOptions(max_retry=1, retry_interval=0.1))


class _TurnStream(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, TurnSTT)
        kinds = stt.SpeechEventType
        for speech in self._stt.caller.speeches:
            if not speech.text:
                continue
            await _until(speech.start + 0.1)
            self._tell(kinds.START_OF_SPEECH)
            if self._stt.interims:
                await _until(speech.start + 0.4)
                self._tell(kinds.INTERIM_TRANSCRIPT, speech.text.split(" ")[0])
            await _until(speech.end + self._stt.end_after)
            self._tell(kinds.FINAL_TRANSCRIPT, speech.text)
            self._tell(kinds.END_OF_SPEECH)
        await asyncio.Event().wait()

    def _tell(self, kind: stt.SpeechEventType, text: str = "") -> None:
        said = [stt.SpeechData(language="en", text=text, confidence=0.9)] if text else []  # type: ignore[arg-type]
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, request_id="turn", alternatives=said))


class FlushedVAD(FakeVAD):
    """Forgets the speech that it is hearing when it is flushed, as Silero's does: it never says that it ended."""

    def stream(self) -> vad.VADStream:
        return _FlushedStream(self)


class _FlushedStream(_VADStream):
    _flushed = False

    def flush(self) -> None:
        super().flush()
        self._flushed = True

    def _tell(self, kind: vad.VADEventType, *args: Any, **kwargs: Any) -> None:
        if kind is vad.VADEventType.START_OF_SPEECH:
            self._flushed = False
        if not self._flushed:
            super()._tell(kind, *args, **kwargs)


class BusyTTS(FakeTTS):
    """A chunked voice with whose request the loop is busy for 77 ms, ``after`` its beginning."""

    def __init__(self, after: float, **options: Any) -> None:
        super().__init__(**options)
        self.after = after

    def synthesize(self, text: str, *, conn_options: Any = None) -> tts.ChunkedStream:
        return _BusyChunked(tts=self, input_text=text, conn_options=RETRY)


class _BusyChunked(_TTSChunked):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, BusyTTS)
        if self._tts.after:
            asyncio.get_running_loop().call_later(self._tts.after, clock.busy, 0.077)
        else:
            clock.busy(0.077)
        await super()._run(output_emitter)


class CountingServer(FakeRealtimeModel):
    """A realtime model that reports each response's usage in ``parts``, with the monotonic clock's time.

    ``own_ids``: its usage has other ids than its responses. ``named``: its responses have ids.
    """

    def __init__(self, *args: Any, parts: int, own_ids: bool, named: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts = parts
        self.own_ids = own_ids
        self.named = named

    def session(self, **_: Any) -> llm.RealtimeSession:
        return _CountingSession(self)


class _CountingSession(FakeRealtimeSession):
    def _respond(self, answer: Answer, *, user_initiated: bool) -> llm.GenerationCreatedEvent:
        event = super()._respond(answer, user_initiated=user_initiated)
        assert isinstance(self._model, CountingServer)
        if not self._model.named:
            event.response_id = None
        return event

    def _usage(self, response_id: str) -> None:
        assert isinstance(self._model, CountingServer)
        details = RealtimeModelMetrics
        for _ in range(self._model.parts):
            self.emit(
                "metrics_collected",
                RealtimeModelMetrics(
                    label="kit",
                    request_id="completion" if self._model.own_ids else response_id,
                    timestamp=time.monotonic(),
                    duration=0.4,
                    ttft=0.1,
                    input_tokens=40,
                    output_tokens=25,
                    total_tokens=65,
                    tokens_per_second=1.0,
                    input_token_details=details.InputTokenDetails(audio_tokens=30, text_tokens=10),
                    output_token_details=details.OutputTokenDetails(text_tokens=5, audio_tokens=20),
                    metadata=Metadata(model_name="counting", model_provider="kit"),
                ),
            )


class DeafVAD(FakeVAD):
    """Does not hear a whisper."""

    def stream(self) -> Any:
        heard = Caller()
        heard.truth = self.caller.truth
        heard.speeches = [one for one in self.caller.speeches if "whisper" not in one.text]
        return FakeVAD(heard).stream()
