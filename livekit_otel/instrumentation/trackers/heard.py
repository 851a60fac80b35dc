"""What a recognizer says of its words beside them: how sure it is, the ids of its requests, and which one it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from .. import livekit_api
from ..values import clip, named_model

if TYPE_CHECKING:
    from livekit.agents.stt import RecognizeStream, SpeechEvent

__all__ = ["Heard"]

_MAX_STREAMS = 16


class Heard:
    """The recognizer streams of one session, and the transcript that came last."""

    def __init__(self) -> None:
        self._streams: list[RecognizeStream] = []
        self._event: SpeechEvent | None = None

    def begins(self, stream: RecognizeStream) -> None:
        """A recognizer listens. Adapters do not: those inside do."""
        self._streams.append(stream)
        del self._streams[:-_MAX_STREAMS]

    def ends(self, stream: RecognizeStream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)

    def final(self, event: SpeechEvent) -> None:
        """A final transcript is about to be handed to the session."""
        self._event = event

    def take(self) -> dict[str, AttributeValue]:
        """Attributes of the transcript that came last."""
        event, self._event = self._event, None
        out: dict[str, AttributeValue] = {}
        if self._streams:
            # an adapter asks a failed recognizer again while another one serves: that one has listened for longer
            serving = livekit_api.recognizer(self._streams[0])
            out.update(named_model(serving.provider, serving.model))
        if event is None:
            return out
        if event.alternatives and event.alternatives[0].confidence:
            # LiveKit's default for recognizers that do not say is 0
            out[attr.STT_CONFIDENCE] = float(event.alternatives[0].confidence)
        if event.request_id:
            out[attr.STT_REQUEST_IDS] = (clip(event.request_id),)
        return out
