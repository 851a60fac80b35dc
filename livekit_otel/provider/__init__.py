"""The user's tracer provider: whose it is, what its exporters lose, and its flush when the process ends."""
