"""Whether this machine can trace calls and export them: what is installed, configured, and answers."""

from .checks import Check, Level, check_all

__all__ = ["Check", "Level", "check_all"]
