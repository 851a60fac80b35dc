"""Reads the name of a voice from the plugins, most of which keep it in private options.

LiveKit's base classes have no property for it. The names are listed in
:mod:`livekit_otel.instrumentation.livekit_names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .values import clip

if TYPE_CHECKING:
    from livekit.agents.llm import RealtimeModel
    from livekit.agents.tts import TTS

__all__ = ["named_voice"]

#: properties of a model, and fields of its options, in which plugins have the voice
_PROPERTIES = ("voice", "voice_id")
_OPTIONS = ("voice", "voice_id", "voice_name")


def named_voice(model: TTS[Any] | RealtimeModel) -> dict[str, AttributeValue]:
    """Return the GenAI attribute of a model's voice; empty if the plugin does not say it."""
    try:
        voice = _first(model, _PROPERTIES) or _first(getattr(model, "_opts", None), _OPTIONS)
    except Exception:  # a property of the plugin's own raised
        return {}
    return {attr.SPEECH_VOICE: clip(voice)} if voice else {}


def _first(source: TTS[Any] | RealtimeModel | None, names: tuple[str, ...]) -> str | None:
    for name in names:
        voice = getattr(source, name, None)
        # Google's options have an object with a name
        found = voice if isinstance(voice, str) else getattr(voice, "name", None)
        if isinstance(found, str) and found:
            return found
    return None
