"""The backends' fixtures for the tests of this folder; tests elsewhere import them by name."""

from .fixtures import clickhouse, collector, jaeger, otelcol, phoenix

__all__ = ["clickhouse", "collector", "jaeger", "otelcol", "phoenix"]
