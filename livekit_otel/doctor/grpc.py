"""Sends a test span over OTLP/gRPC with OpenTelemetry's own exporter, if it is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from ..errors import EndpointError

__all__ = ["send_grpc"]


class _SpanCollector(SpanExporter):
    spans: Sequence[ReadableSpan] = ()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans = spans
        return SpanExportResult.SUCCESS


class _LastMessage(logging.Handler):
    """Keeps the last log message, because the exporter reports the reason of a failure only in its log."""

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.reason = " ".join(record.getMessage().split())[:300]


def send_grpc(url: str, headers: Mapping[str, str], timeout: float) -> None:
    """Send a test span. Raises EndpointError if it is not acknowledged."""
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise EndpointError(
            "the gRPC exporter is not installed",
            "pip install opentelemetry-exporter-otlp-proto-grpc, or set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf",
        ) from None
    collector = _SpanCollector()
    provider = TracerProvider(resource=Resource({"service.name": "livekit-otel-doctor"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(collector))
    provider.get_tracer("livekit-otel-doctor").start_span("livekit-otel doctor").end()
    last, logger = _LastMessage(), logging.getLogger("opentelemetry.exporter.otlp.proto.grpc")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(last)
    try:
        exporter = OTLPSpanExporter(endpoint=url, headers=dict(headers) or None, timeout=max(1, round(timeout)))
        result = exporter.export(collector.spans)
        exporter.shutdown()
    except ValueError:
        raise EndpointError("the address is not valid", "give one like http://host:4317") from None
    finally:
        logger.removeHandler(last)
        logger.propagate = propagate
    if result is not SpanExportResult.SUCCESS:
        raise EndpointError(f"did not acknowledge the test span ({last.reason or 'no response in time'})")
