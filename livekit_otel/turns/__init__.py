"""What a turn is: its latency, where its silence went, what it used. Pure functions over span records."""

from __future__ import annotations

from .attribution import TurnSpans, turns_of
from .derive import derive_session, derive_turn
from .flags import flags_of
from .model import Flag, Gap, Incident, Percentiles, Segment, SessionDerivation, TurnDerivation, TurnLatency
from .model_usage import EOTUsage, InterruptionUsage, LLMUsage, ModelUsage, STTUsage, TTSUsage
from .startup import Startup, startup_of

__all__ = [
    "EOTUsage",
    "Flag",
    "Gap",
    "Incident",
    "InterruptionUsage",
    "LLMUsage",
    "ModelUsage",
    "Percentiles",
    "STTUsage",
    "Segment",
    "SessionDerivation",
    "Startup",
    "TTSUsage",
    "TurnDerivation",
    "TurnLatency",
    "TurnSpans",
    "derive_session",
    "derive_turn",
    "flags_of",
    "startup_of",
    "turns_of",
]
