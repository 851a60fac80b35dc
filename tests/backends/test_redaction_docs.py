"""The collector's redaction processor as docs/redaction.md has it, on a whole session."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel import build_report, read_spans

from ..kit.trace import record
from . import calls
from .process import wait_until
from .servers import Collector
from .waiting import in_files

pytestmark = pytest.mark.backend
DOCS = Path(livekit_otel.__file__).parents[1] / "docs" / "redaction.md"
PIPELINE = """
service:
  pipelines:
    traces/file:
      receivers: [otlp]
      processors: [redaction]
      exporters: [file/archive]
"""


def test_a_report_behind_the_redaction_processor(collector: Callable[..., Collector], tmp_path: Path) -> None:
    """Content is masked, and what is left gives a report with every event, timing and token."""
    (rules,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    config = tmp_path / "redaction.yaml"
    config.write_text(rules + PIPELINE)
    server = collector("file.yaml", config, name="file")
    trace = record("one_tool")
    assert calls.send(server.otlp_http, trace.exported)
    folder = tmp_path / "file" / "traces"
    wait_until("the call in the file", lambda: len(in_files(folder)) == len(trace.exported))
    assert "kanarienvogel" not in "".join(path.read_text() for path in folder.iterdir())
    report, whole = build_report(read_spans(str(folder))), build_report(trace.pipeline)
    assert report.session_id == whole.session_id
    assert report.redacted
    assert [one for one in report.warnings if "masked" in one or "damaged" in one or "missing" in one] == []
    assert [one["type"] for one in report.events] == [one["type"] for one in whole.events]
    assert report.usage == whole.usage
    assert [one.latency for one in report.turns] == [one.latency for one in whole.turns]
    assert [span.attributes.get(attr.USAGE_INPUT_TOKENS) for span in report.spans] == [
        span.attributes.get(attr.USAGE_INPUT_TOKENS) for span in whole.spans
    ]
