"""TTS: one span for each synthesis request, chunked or streaming."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from .. import livekit_api
from ..clock import to_ns
from ..livekit_voices import named_voice
from ..values import clip, flatten, model_attributes, named_model
from .node_run import NodeRun, current_node
from .requests import Request, RequestTracker
from .texts import joined

if TYPE_CHECKING:
    from livekit.agents.metrics import TTSMetrics
    from livekit.agents.tts import ChunkedStream, SynthesizeStream

__all__ = ["TtsTracker"]


class TtsTracker(RequestTracker):
    """Synthesis requests of one session."""

    kind = attr.KIND_TTS
    attempts = attr.TTS_ATTEMPTS
    retried_for = attr.TTS_RETRIED_FOR
    retried_codes = attr.TTS_RETRIED_CODES

    def begin(self, stream: ChunkedStream | SynthesizeStream) -> Request:
        attributes: dict[str, AttributeValue] = {
            **named_model(stream._tts.provider, stream._tts.model),
            **named_voice(stream._tts),
            attr.OUTPUT_TYPE: "speech",
        }
        request = self.open(livekit_api.speech_handle(), attributes)
        node = current_node.get()
        node = node if node is not None and node.runs_for(self.kind, request.handle) else None
        livekit_api.on_first_audio(stream, lambda started: self._first_audio(request, started, node))
        return request

    def _first_audio(self, request: Request, started: float | None, node: NodeRun | None) -> None:
        """The first audio arrived. ``started``: ``time.perf_counter()`` when the first text reached the provider."""
        now = self.scope.now_ns()
        request.set({attr.TTS_FIRST_BYTE: (now - request.span.start_ns) / 1e9})
        self._first_text(request, started)
        if node is not None:
            node.heard(now)

    def _first_text(self, request: Request, started: float | None) -> None:
        """``started``: ``time.perf_counter()`` when the first text reached the provider, in its first attempt."""
        if started is not None and not request.has(attr.TTS_FIRST_TEXT):
            text = self.scope.now_ns() - to_ns(time.perf_counter() - started)
            request.set({attr.TTS_FIRST_TEXT: max(0, text - request.span.start_ns) / 1e9})

    def metrics(self, metrics: TTSMetrics, stream: object | None) -> None:
        """TTSMetrics of the stream that reports them, or of a request that was not traced."""
        fields = {**flatten("tts", metrics), **model_attributes(metrics)}
        for field, name in (("input_tokens", attr.USAGE_INPUT_TOKENS), ("output_tokens", attr.USAGE_OUTPUT_TOKENS)):
            if tokens := getattr(metrics, field, 0):
                fields[name] = tokens
        request = self.reporting(stream)
        if request is None or request.has_metrics:
            end = self.scope.clock.inside_ns(metrics.timestamp)
            if metrics.ttfb >= 0:
                fields[attr.TTS_FIRST_BYTE] = metrics.ttfb
            self.unseen(end - to_ns(metrics.duration), end, fields, metrics.speech_id)
            return
        request.reported(fields, metrics.speech_id)

    def ended(
        self, request: Request, text: str, error: BaseException | None, started: float | None, *, reports: bool
    ) -> None:
        """The request is done. ``started``: as in ``_first_text``. ``reports``: its metrics may still arrive."""
        self._first_text(request, started)
        if not text and (error is None or not isinstance(error, Exception)):
            # a stream without text made no request: its span is never ended, and so never exported
            self.scope.spans.count -= 1
            self.finished(request)
            return
        if self.scope.redaction is not None:
            # this is a part of an answer, which is recorded as a whole on its turn
            self.scope.redaction.withhold(text)
        elif self.scope.content and text:
            request.set({attr.TTS_TEXT: clip(text)})
        if self.scope.content and request.turn is not None:
            request.turn.synthesized = joined(request.turn.synthesized, text)
        self.work_done(request, error)
        if not reports:
            request.report_done()
