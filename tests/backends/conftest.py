"""The backends' fixtures for the tests of this folder; tests elsewhere import them by name."""

from .fixtures import collector, jaeger, otelcol, phoenix

__all__ = ["collector", "jaeger", "otelcol", "phoenix"]
