"""All exceptions of livekit_otel.

::

    LiveKitOtelError                  everything below; catch this one
    ├── OptionError (ValueError)      an option or argument has an invalid value
    ├── MissingDependencyError        a package that this call needs is not installed, or too old
    ├── SourceError                   a trace source cannot be read: missing, unreachable, not a trace
    │   └── PartialReadError          a backend stopped responding: only part of the data was read
    ├── EndpointError                 an OTLP endpoint rejects spans, or does not respond
    ├── SessionNotFoundError          the spans contain no such session (or no session at all)
    └── AmbiguousSessionError         the spans contain several sessions, and none was selected

Every message says what is wrong, where, and how to fix it, in one line.
"""

from __future__ import annotations

from ._display import visible

__all__ = [
    "AmbiguousSessionError",
    "EndpointError",
    "LiveKitOtelError",
    "MissingDependencyError",
    "OptionError",
    "PartialReadError",
    "SessionNotFoundError",
    "SourceError",
]


class LiveKitOtelError(Exception):
    """Base of every error that livekit_otel raises on purpose; its message is one line, safe to print to a terminal."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(visible(one) if isinstance(one, str) else one for one in arguments))


class OptionError(LiveKitOtelError, ValueError):
    """An option or argument has an invalid value."""


class MissingDependencyError(LiveKitOtelError, ImportError):
    """A package that this call needs is not installed, or its version is not supported."""


class SourceError(LiveKitOtelError):
    """A trace source cannot be read."""


class PartialReadError(SourceError):
    """A source stopped responding before everything was read."""


class EndpointError(LiveKitOtelError):
    """The endpoint rejects spans or does not respond. The message consists of ``reason`` and, if known, ``fix``."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(f"{reason}; {fix}" if fix else reason)
        self.reason, self.fix = reason, fix


class SessionNotFoundError(LiveKitOtelError, LookupError):
    """The spans contain no session, or not the requested one."""


class AmbiguousSessionError(LiveKitOtelError):
    """The spans contain several sessions and none was selected."""
