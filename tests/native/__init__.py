"""Calls that LiveKit's own instrumentation traced, without livekit_otel: recordings of them, and what they read to."""
