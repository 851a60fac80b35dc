"""The exceptions of livekit_otel, all of them.

::

    LiveKitOtelError                  everything below; catch this one
    ├── OptionError (ValueError)      an option or argument has a value that cannot work
    ├── MissingDependencyError        a package that this call needs is not installed, or too old
    ├── SourceError                   a trace source cannot be read: missing, unreachable, not a trace
    │   └── PartialReadError          a backend stopped answering in the middle: what was read is not all
    ├── EndpointError                 an OTLP endpoint refuses spans, or does not answer
    ├── SessionNotFoundError          the spans hold no such session (or none at all)
    └── AmbiguousSessionError         several sessions, and none was named

Every message says what is wrong, where, and what to do about it, in one line.
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
    """Base of every error that livekit_otel raises on purpose; its message is one line, inert on a terminal."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(visible(one) if isinstance(one, str) else one for one in arguments))


class OptionError(LiveKitOtelError, ValueError):
    """An option or argument has a value that cannot work."""


class MissingDependencyError(LiveKitOtelError, ImportError):
    """A package that this call needs is not installed, or its version is not supported."""


class SourceError(LiveKitOtelError):
    """A trace source cannot be read."""


class PartialReadError(SourceError):
    """A source stopped answering before everything was read."""


class EndpointError(LiveKitOtelError):
    """The endpoint refuses, or did not answer for too long. ``reason`` and what may help, ``fix``, are its message."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(f"{reason}; {fix}" if fix else reason)
        self.reason, self.fix = reason, fix


class SessionNotFoundError(LiveKitOtelError, LookupError):
    """The spans hold no session, or not the one that was asked for."""


class AmbiguousSessionError(LiveKitOtelError):
    """The spans hold several sessions and none was named."""
