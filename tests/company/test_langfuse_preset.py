"""``langfuse()`` beside instrumentations of the model's client: tokens count once, and every parent is there."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import pytest

import livekit_otel
from livekit_otel.exporters import langfuse
from tests import json_server, langfuse_double
from tests.kit.run import assert_same_report

from . import call
from .bench import Bench
from .conftest import need
from .forked import Cases
from .rows import ROWS

pytestmark = pytest.mark.company

INSTRUMENTATIONS = ("none", "OpenInference openai", "openai-v2", "OpenLLMetry openai")
NATIVE: tuple[tuple[bool, Literal["drop", "keep"]], ...] = ((False, "drop"), (True, "drop"), (True, "keep"))
KEYS = [(name, *mode) for name in INSTRUMENTATIONS for mode in NATIVE]
each = pytest.mark.parametrize(
    ("name", "native_spans", "native"),
    [pytest.param(*key, id=f"{key[0]}-{'native' if key[1] else 'pipeline'}-{key[2]}") for key in KEYS],
)


@dataclass
class InLangfuse:
    """What Langfuse has, and both reports."""

    observations: list[dict[str, Any]]
    ours: list[dict[str, Any]]
    theirs: list[dict[str, Any]]


def run(name: str, native_spans: bool, native: Literal["drop", "keep"]) -> InLangfuse:
    double = langfuse_double.Langfuse()
    keys = {"public_key": langfuse_double.PUBLIC, "secret_key": langfuse_double.SECRET}
    bench = Bench(native_spans=native_spans)
    provider = bench.provider(bench.memory())
    with json_server.serving(double) as server:
        provider.add_span_processor(langfuse(**keys, host=server.url, native=native))  # type: ignore[arg-type]
        if name != "none":
            bench.provider = lambda *_, **__: provider  # type: ignore[method-assign]
            ROWS[name].set_up(bench)
        else:
            bench.ours(provider)
        outcomes = call.run(call.openai_llm, provider.get_tracer("user"))
        provider.force_flush()
        os.environ.update(LANGFUSE_PUBLIC_KEY=langfuse_double.PUBLIC, LANGFUSE_SECRET_KEY=langfuse_double.SECRET)
        source = server.url.replace("http://", "langfuse+http://") + "?since=2020-01-01T00:00:00Z"
        reports = [one.to_dict() for one in livekit_otel.build_reports(livekit_otel.read_spans(source))]
    return InLangfuse(double.observations, reports, [outcome.report for outcome in outcomes])


_cases = Cases(run, [key for key in KEYS if key[0] == "none" or not ROWS[key[0]].missing])


def result(name: str, native_spans: bool, native: str) -> InLangfuse:
    need(*ROWS["httpx" if name == "none" else name].missing)
    return _cases.result(name, native_spans, native)  # type: ignore[no-any-return]


@each
def test_the_report_out_of_langfuse_equals_livekits(name: str, native_spans: bool, native: str) -> None:
    """What is read back from Langfuse is LiveKit's own report."""
    found = result(name, native_spans, native)
    for ours, theirs in zip(found.ours, found.theirs, strict=True):
        assert_same_report(ours, theirs)


@each
def test_tokens_are_counted_once(name: str, native_spans: bool, native: str) -> None:
    """Langfuse's sum over all observations is what the model was asked and answered: 200 and 8 tokens."""
    counted: Counter[str] = Counter()
    for one in result(name, native_spans, native).observations:
        for bucket, number in one["usageDetails"].items():
            counted["input" if "input" in bucket else "output" if "output" in bucket else bucket] += number
    assert (counted["input"], counted["output"], counted["total"]) == (200, 8, 208)


@each
def test_every_parent_is_in_langfuse(name: str, native_spans: bool, native: str) -> None:
    """No observation points to one that Langfuse never gets, the user's own spans among them."""
    observations = result(name, native_spans, native).observations
    ids = {one["id"] for one in observations}
    assert [
        one["name"] for one in observations if one["parentObservationId"] and one["parentObservationId"] not in ids
    ] == []
    names = {one["name"] for one in observations}
    assert {call.OWN_TOOL, call.OWN_HTTP} <= names
