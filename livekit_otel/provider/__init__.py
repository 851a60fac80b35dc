"""The user's tracer provider: its identity, the spans that its exporters lose, and its flush when the process ends."""
