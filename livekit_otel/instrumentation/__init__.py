"""The instrumentation of LiveKit Agents. The only package that imports livekit or wrapt."""

from .instrumentor import LiveKitInstrumentor, configure

__all__ = ["LiveKitInstrumentor", "configure"]
