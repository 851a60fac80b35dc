"""Sending stored spans on: files of OTLP JSON to any OTLP/HTTP endpoint, resumed where it was interrupted."""

from ..errors import EndpointError
from .address import check_url, environment_headers, parse_header, shown, traces_url
from .run import Replay, Summary
from .send import Endpoint

__all__ = [
    "Endpoint",
    "EndpointError",
    "Replay",
    "Summary",
    "check_url",
    "environment_headers",
    "parse_header",
    "shown",
    "traces_url",
]
