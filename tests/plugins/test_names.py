"""The private names of plugins that the instrumentation reads, and the names of their voices."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel.instrumentation import livekit_names, livekit_voices
from tests.kit.fields import fields_of

from .conftest import REQUIRED

if not os.environ.get(REQUIRED):
    pytest.importorskip("livekit.plugins.silero", reason=".ci/plugins installs tests/plugins/requirements.txt")
    pytest.importorskip("livekit.plugins.google", reason=".ci/plugins installs tests/plugins/realtime/requirements.txt")

pytestmark = pytest.mark.plugins


@pytest.mark.parametrize(("module", "cls", "name"), [field[:3] for field in livekit_names.PLUGIN_FIELDS])
def test_private_fields_exist_in_the_installed_plugins(module: str, cls: str, name: str) -> None:
    """The code of each plugin class whose private field we read sets it."""
    assert name in fields_of(getattr(importlib.import_module(module), cls))


def _openai() -> Any:
    from livekit.plugins import openai

    return openai.TTS(api_key="none", voice="ash")


def _openai_realtime() -> Any:
    from livekit.plugins import openai

    return openai.realtime.RealtimeModel(api_key="none", voice="marin")


def _cartesia() -> Any:
    from livekit.plugins import cartesia

    return cartesia.TTS(api_key="none", voice="f786b574")


def _cartesia_embedding() -> Any:
    from livekit.plugins import cartesia

    return cartesia.TTS(api_key="none", voice=[0.1, 0.2])


def _elevenlabs() -> Any:
    from livekit.plugins import elevenlabs

    return elevenlabs.TTS(api_key="none", voice_id="hpp4J3")


def _deepgram() -> Any:
    from livekit.plugins import deepgram

    return deepgram.TTS(api_key="none", model="aura-2-andromeda-en")


def _gemini() -> Any:
    from livekit.plugins import google

    return google.realtime.RealtimeModel(api_key="none", voice="Puck")


def _google() -> Any:
    from livekit.plugins import google

    return google.TTS(credentials_info={}, voice_name="en-US-Chirp-HD-F")


def _inference() -> Any:
    from livekit.agents import inference

    return inference.TTS("cartesia/sonic-3", voice="blue", api_key="none", api_secret="none")


@pytest.mark.parametrize(
    ("make", "voice"),
    [
        (_openai, "ash"),
        (_openai_realtime, "marin"),
        (_cartesia, "f786b574"),
        (_elevenlabs, "hpp4J3"),
        (_gemini, "Puck"),
        (_google, "en-US-Chirp-HD-F"),
        (_inference, "blue"),
        # the model is the voice
        (_deepgram, None),
        # a voice without a name
        (_cartesia_embedding, None),
    ],
)
def test_the_voice_that_was_chosen_is_named(make: Callable[[], Any], voice: str | None) -> None:
    """A plugin's voice comes from its options, as the user gave it; where there is no name, there is no attribute."""

    async def main() -> dict[str, Any]:
        return livekit_voices.named_voice(make())

    assert asyncio.run(main()).get(attr.SPEECH_VOICE) == voice
