"""A recognizer's metadata of its transcripts: confidence, request ids, and the recognizer's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from .. import livekit_api
from ..values import clip, named_model
from .own_nodes import SttRun

if TYPE_CHECKING:
    from livekit.agents.stt import RecognizeStream, SpeechEvent

__all__ = ["Heard"]

_MAX_STREAMS = 16


class Heard:
    """The recognizer streams of one session, and the latest transcript."""

    def __init__(self) -> None:
        self._streams: list[RecognizeStream] = []
        self._event: SpeechEvent | None = None
        #: id of the agent that the user spoke to last
        self.agent: str | None = None
        #: the overridden ``stt_node`` that the transcripts come from, and since when it held the latest
        self.node: SttRun | None = None
        self._held_ns: int | None = None

    def begins(self, stream: RecognizeStream) -> None:
        """A recognizer starts listening; an adapter starts before the recognizers inside it."""
        self._streams.append(stream)
        if len(self._streams) > _MAX_STREAMS:
            del self._streams[1]

    def ends(self, stream: RecognizeStream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)

    def final(self, event: SpeechEvent, agent: str | None = None) -> None:
        """A final transcript is about to be passed to the session, in an activity of this agent."""
        self._event, self.agent = event, agent
        if self.node is not None:
            self._held_ns = self.node.gave(event)

    def held(self) -> int | None:
        """Return since when an ``stt_node`` held the latest transcript; None if it did not."""
        held, self._held_ns = self._held_ns, None
        return held

    def take(self) -> dict[str, AttributeValue]:
        """Return attributes of the latest transcript."""
        event, self._event = self._event, None
        out: dict[str, AttributeValue] = {}
        for stream in self._streams:
            # the first stream is an adapter, if there is one; it knows which recognizer is serving
            serving = livekit_api.recognizer(stream)
            if named := named_model(serving.provider, serving.model):
                out.update(named)
                break
        if event is None:
            return out
        if event.alternatives and event.alternatives[0].confidence:
            # LiveKit's default of 0 stands for an unknown confidence
            out[attr.STT_CONFIDENCE] = float(event.alternatives[0].confidence)
        if event.request_id:
            out[attr.STT_REQUEST_IDS] = (clip(event.request_id),)
        return out
