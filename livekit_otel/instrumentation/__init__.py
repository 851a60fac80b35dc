"""The instrumentation of LiveKit Agents. Only this package imports livekit or wrapt."""

from __future__ import annotations

from .instrumentor import REQUIREMENT, activate, check_livekit, configure, deactivate, place_native_spans
from .options import LLMInput, Options, SessionAttributes

__all__ = [
    "REQUIREMENT",
    "LLMInput",
    "Options",
    "SessionAttributes",
    "activate",
    "check_livekit",
    "configure",
    "deactivate",
    "place_native_spans",
]
