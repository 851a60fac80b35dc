"""The schema: one home for every name, and a reference page that says the same."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import attributes as attr
from tests.kit.run import SCENARIOS
from tests.kit.trace import every_name, names, record

#: what no script can bring about, and who does
NOT_SCRIPTED = {
    attr.USER_ID: "a user's session_attributes",
    attr.SESSION_REDACTED_IN_PART: "a user's redact",
    attr.SESSION_REDACT_FAILED: "a user's redact that raises",
    attr.SESSION_DROPPED: "an exporter that loses spans",
    attr.SESSION_LOST: "a journal entry above the limit",
    attr.SESSION_FAILED: "a journal entry that cannot be written",
    attr.SESSION_CLOCK_STEP: "a wall clock that is moved",
    attr.SESSION_ENTRYPOINT_FAILED: "a job that LiveKit runs (tests/test_room.py, tests/rooms)",
    attr.REPORT_FINAL: "a job that LiveKit runs (tests/test_job_reports.py, tests/rooms)",
    attr.SESSION_REPORT_FOLLOWS: "a job that LiveKit runs (tests/test_job_reports.py, tests/rooms)",
    attr.TURN_UNFINISHED: "a process that ends while the agent speaks (tests/test_unfinished.py)",
    attr.SESSION_LATE_LOST: "more corrections than spans of the session can carry",
    **dict.fromkeys(
        [attr.metric(stage, "label") for stage in ("decision", "llm", "realtime", "stt", "tts", "vad")]
        + [attr.metric(stage, "speech_id") for stage in ("eou", "llm", "tts")]
        + [attr.metric("llm", "request_id")],
        "traces of schema 1, or metrics that name another speech than their request",
    ),
    **dict.fromkeys(
        [attr.metric("realtime", name) for name in ("cancelled", "connection_reused", "session_duration")]
        + [attr.metric("realtime", "input_token_details.cached_tokens_details.image_tokens")]
        + [attr.metric("realtime", "output_token_details.image_tokens")]
        + [attr.metric("stt", name) for name in ("connection_reused", "input_audio_tokens")]
        + [attr.metric("tts", name) for name in ("acquire_time", "connection_reused")],
        "a provider that fills a field of LiveKit's metrics which is 0 or False by default",
    ),
}
_OF_A_ROOM = ("livekit_otel.participant.", "livekit_otel.pii.participant.", "livekit_otel.connection.")
_OF_A_DISPATCH = (
    "job.dispatch_id",
    "job.worker_id",
    "job.region",
    "job.deployment",
    "pii.job.metadata",
    "pii.room.metadata",
)
_OF_A_WORKER = ("accept", "assign", "process", "job", "setup", "room")
NOT_SCRIPTED |= dict.fromkeys(
    [
        *attr.SIP.values(),
        *(name for name in attr.REGISTRY if name.startswith(_OF_A_ROOM)),
        *(f"livekit_otel.{name}" for name in _OF_A_DISPATCH),
        *map(attr.startup, _OF_A_WORKER),
    ],
    "a job that a worker runs in a room (tests/test_room.py, tests/rooms)",
)
NOT_SCRIPTED |= dict.fromkeys(
    [attr.gap("other"), attr.derived("session", "gap.other")],
    "a silence that no stage explains: a busy machine, or LiveKit itself (tests/test_turns_silence.py)",
)
#: what is known only after a turn's span has ended: corrections carry it, always
LATE = {attr.TURN_FALSE_CUTOFF}
PIECES = (attr.JOURNAL_PREFIX, attr.PII_JOURNAL_PREFIX, attr.TURN_LATE_PREFIX)
ROOT = Path(__file__).parent.parent


def test_reference_page_is_generated_from_the_schema() -> None:
    """docs/attributes.md equals what docs/generate_attributes.py writes today."""
    spec = importlib.util.spec_from_file_location("generate_attributes", ROOT / "docs" / "generate_attributes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "attributes.md").read_text(encoding="utf-8") == module.render()


@pytest.mark.parametrize("name", sorted(attr.REGISTRY))
def test_names_suit_every_backend(name: str) -> None:
    """Names are lower-case dotted words, and no segment is a number (Phoenix takes it for a list position)."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", name)


@pytest.fixture(scope="module")
def emitted() -> set[str]:
    """Names of all attributes on the pipeline spans of all scripted sessions, with and without native spans."""
    traces = [record(name, native_spans=native) for name in names() for native in (False, True)]
    return {name for trace in traces for span in trace.pipeline for name in span.attributes}


def test_what_is_emitted_is_declared(emitted: set[str]) -> None:
    """Every attribute of ours on a span is declared, or is a numbered piece of one that is."""
    assert {name for name in emitted if name not in attr.REGISTRY and not re.match(_PIECE, name)} == set()


def test_what_is_declared_is_emitted(emitted: set[str]) -> None:
    """Every declared attribute is on a span of some scripted session, but for those that no script can bring about."""
    if len(every_name()) < len(SCENARIOS):
        pytest.skip("this LiveKit cannot play all scenarios")
    assert attr.REGISTRY.keys() - emitted == NOT_SCRIPTED.keys() | LATE


_PIECE = rf"({'|'.join(map(re.escape, PIECES))})\d{{3}}$"


def test_content_is_told_by_the_key() -> None:
    """An attribute is content exactly when LiveKit's own filter would withhold its key."""
    assert {one.name for one in attr.REGISTRY.values() if one.content} == {
        name for name in attr.REGISTRY if attr.is_content(name)
    }


def test_every_field_of_livekits_metrics_is_declared() -> None:
    """The schema declares every field of every metrics class of the newest LiveKit, nested ones included."""
    base = pytest.importorskip("livekit.agents.metrics.base")
    for stage, cls in attr._METRICS_CLASS.items():
        metrics_class = getattr(base, cls, None)
        if metrics_class is None:
            continue
        assert set(_fields(metrics_class)) <= set(attr.STAGE_METRICS[stage]), cls


def _fields(model: type, prefix: str = "") -> list[str]:
    import typing

    names: list[str] = []
    hints = typing.get_type_hints(model)
    for name in model.model_fields:  # type: ignore[attr-defined]
        if name == "type":
            continue
        inner = [one for one in (hints[name], *typing.get_args(hints[name])) if hasattr(one, "model_fields")]
        names += _fields(inner[0], f"{prefix}{name}.") if inner else [prefix + name]
    return names


def test_a_metrics_field_that_somebody_filled_is_recorded() -> None:
    """Of a metrics object, every number but LiveKit's own defaults is an attribute, also where it is 0 or False."""
    from livekit.agents.metrics import TTSMetrics

    from livekit_otel.instrumentation.values import flatten

    given: dict[str, Any] = {"label": "x", "request_id": "r", "timestamp": 1.0, "ttfb": 0.0, "duration": 0.0}
    given |= {"audio_duration": 0.0, "cancelled": False, "characters_count": 0, "streamed": False}
    left_out: dict[str, Any] = {"input_tokens": 0, "acquire_time": 0.0, "connection_reused": False}
    found = flatten("tts", TTSMetrics(**given, **left_out))
    assert found == {attr.metric("tts", name): value for name, value in given.items() if name != "label"}
    filled: dict[str, Any] = {"input_tokens": 3, "acquire_time": 0.2, "connection_reused": True}
    assert flatten("tts", TTSMetrics(**given, **filled)).items() >= {
        (attr.metric("tts", name), value) for name, value in filled.items()
    }
