"""The exceptions of livekit_otel, all of them.

::

    LiveKitOtelError                  everything below; catch this one
    ├── OptionError (ValueError)      an option or argument has a value that cannot work
    ├── MissingDependencyError        a package that this call needs is not installed, or too old
    ├── SourceError                   a trace source cannot be read: missing, unreachable, not a trace
    │   └── PartialReadError          a backend stopped answering in the middle: what was read is not all
    ├── SessionNotFoundError          the spans hold no such session (or none at all)
    └── AmbiguousSessionError         several sessions, and none was named

Every message says what is wrong, where, and what to do about it, in one line.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousSessionError",
    "LiveKitOtelError",
    "MissingDependencyError",
    "OptionError",
    "PartialReadError",
    "SessionNotFoundError",
    "SourceError",
]


class LiveKitOtelError(Exception):
    """Base of every error that livekit_otel raises on purpose."""


class OptionError(LiveKitOtelError, ValueError):
    """An option or argument has a value that cannot work."""


class MissingDependencyError(LiveKitOtelError, ImportError):
    """A package that this call needs is not installed, or its version is not supported."""


class SourceError(LiveKitOtelError):
    """A trace source cannot be read."""


class PartialReadError(SourceError):
    """A source stopped answering before everything was read."""


class SessionNotFoundError(LiveKitOtelError, LookupError):
    """The spans hold no session, or not the one that was asked for."""


class AmbiguousSessionError(LiveKitOtelError):
    """The spans hold several sessions and none was named."""
