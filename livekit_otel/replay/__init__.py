"""Sending stored spans on: files of OTLP JSON to any OTLP/HTTP endpoint, resumed where it was interrupted."""

from .run import Replay, Summary
from .send import Endpoint, EndpointError, environment_headers, parse_header, shown, traces_url

__all__ = [
    "Endpoint",
    "EndpointError",
    "Replay",
    "Summary",
    "environment_headers",
    "parse_header",
    "shown",
    "traces_url",
]
