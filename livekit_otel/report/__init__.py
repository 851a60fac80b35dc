"""SessionReport: model, building it from spans, and renderers. Works without LiveKit."""

from .build import build_report, build_reports
from .missing import ReportWarning
from .model import SessionReport
from .turns import Turn

__all__ = ["ReportWarning", "SessionReport", "Turn", "build_report", "build_reports"]
