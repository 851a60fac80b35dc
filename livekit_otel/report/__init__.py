"""SessionReport: its model, its construction from spans, and its renderers. Works without LiveKit."""

from .build import build_report, build_reports
from .missing import ReportWarning
from .model import SessionReport
from .room import Outage, Participant, Room
from .turns import Turn

__all__ = ["Outage", "Participant", "ReportWarning", "Room", "SessionReport", "Turn", "build_report", "build_reports"]
