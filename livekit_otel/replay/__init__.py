"""Sends stored spans from OTLP JSON files to any OTLP/HTTP endpoint, and resumes where it was interrupted."""

from ..errors import EndpointError
from .run import Replay, Summary

__all__ = ["EndpointError", "Replay", "Summary"]
