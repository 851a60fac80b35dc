"""The journal of a session: the instrumentation writes it and the report reads it, with both sides in this package.

Import direction: ``format`` ← ``writer`` ← ``recorder`` on the writing side, ``format`` ← ``reader`` and ``format`` ←
``restore`` on the reading side. This package does not need LiveKit.
"""

from .format import Head, encode
from .reader import JournalReader
from .recorder import Recorder
from .restore import RestoredSession
from .waits import SAID_SECONDS
from .writer import Attributes, JournalWriter

__all__ = [
    "SAID_SECONDS",
    "Attributes",
    "Head",
    "JournalReader",
    "JournalWriter",
    "Recorder",
    "RestoredSession",
    "encode",
]
