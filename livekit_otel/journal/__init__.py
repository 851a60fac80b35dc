"""The journal of a session: written by the instrumentation, read by the report, both sides in one place.

Import direction: ``format`` ← ``writer`` ← ``recorder`` on the side that writes, ``format`` ← ``reader`` and ``format``
← ``restore`` on the side that reads. Nothing here needs LiveKit.
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
