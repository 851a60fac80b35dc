"""Checks whether this machine can trace calls and export them: packages, configuration, endpoints."""

from .checks import Check, Level, check_all

__all__ = ["Check", "Level", "check_all"]
