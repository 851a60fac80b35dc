"""OpenTelemetry-first tracing for LiveKit Agents."""
