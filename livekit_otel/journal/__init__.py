"""The journal of a session: written by the instrumentation, read by the report, both sides in one place.

Import direction: ``format`` ← ``writer`` ← ``recorder`` on the side that writes, ``format`` ← ``reader`` ← ``restore``
on the side that reads. Nothing here needs LiveKit.
"""

from .reader import JournalReader
from .recorder import Recorder
from .restore import RestoredSession
from .writer import Attributes, JournalWriter, encode

__all__ = ["Attributes", "JournalReader", "JournalWriter", "Recorder", "RestoredSession", "encode"]
