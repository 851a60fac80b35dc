"""The models that served a turn."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...journal import Attributes
from ..values import clip

__all__ = ["TurnModels"]

#: attribute of a turn for the model of each kind of stage; a realtime model counts as the LLM
_MODEL_OF = {
    attr.KIND_LLM: attr.TURN_LLM_MODEL,
    attr.KIND_REALTIME: attr.TURN_LLM_MODEL,
    attr.KIND_STT: attr.TURN_STT_MODEL,
    attr.KIND_TTS: attr.TURN_TTS_MODEL,
}


class TurnModels:
    """All models of one turn, and for each kind of stage the model that served last."""

    __slots__ = ("_all", "_served")

    def __init__(self) -> None:
        self._all: dict[str, None] = {}
        self._served: dict[str, str] = {}

    def note(self, kind: str, attributes: Attributes, *, served: bool = True) -> None:
        """Record the model of a stage. ``served``: the stage was of use to the turn."""
        model = attributes.get(attr.REQUEST_MODEL)
        if model is None:
            return
        provider = attributes.get(attr.PROVIDER_NAME)
        self._all.setdefault(f"{provider}/{model}" if provider else str(model))
        if served or kind not in self._served:
            self._served[kind] = str(model)

    def attributes(self) -> dict[str, AttributeValue]:
        """Return attributes for the turn's span."""
        out: dict[str, AttributeValue] = {}
        if self._all:
            out[attr.TURN_MODELS] = tuple(clip(model) for model in self._all)
        for kind, model in self._served.items():
            out[_MODEL_OF[kind]] = clip(model)
        return out
