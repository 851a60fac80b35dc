"""Sending stored spans on: files of OTLP JSON to any OTLP/HTTP endpoint, resumed where it was interrupted."""

from ..errors import EndpointError
from .run import Replay, Summary

__all__ = ["EndpointError", "Replay", "Summary"]
