"""A call beside each of those in docs/alongside.md, in both modes, set up in every order."""

from __future__ import annotations

from typing import Any

import pytest

from livekit_otel import attributes as attr

from . import call, checks
from .bench import Bench, Result
from .conftest import need
from .forked import Cases
from .rows import ROWS

pytestmark = pytest.mark.company

KEYS = [(name, native, order) for name, row in ROWS.items() for native in (False, True) for order in row.orders]
#: these count tokens under the same names as LiveKit and we do: a backend that adds up all spans counts twice
COUNT_TWICE = ("openai-v2", "OpenLLMetry openai")
beside_each = pytest.mark.parametrize(
    ("name", "native", "order"),
    [pytest.param(*key, id=f"{key[0]}-{'native' if key[1] else 'pipeline'}-{key[2]}") for key in KEYS],
)


def run(name: str, native: bool, order: str) -> Result:
    """The case, in this process."""
    bench = Bench(native_spans=native, order=order)
    bench.make_llm = ROWS[name].make_llm
    return bench.run(ROWS[name].set_up)


_cases = Cases(run, [key for key in KEYS if not ROWS[key[0]].missing])


def result(name: str, native: bool, order: str) -> Result:
    need(*ROWS[name].missing)
    return _cases.result(name, native, order)  # type: ignore[no-any-return]


@beside_each
def test_the_report_equals_livekits(name: str, native: bool, order: str) -> None:
    """The report that is rebuilt from what the backend got is LiveKit's own, and complete."""
    checks.report_equals(result(name, native, order))


@beside_each
def test_nothing_is_doubled(name: str, native: bool, order: str) -> None:
    """In whichever order it is set up, and however often, no span arrives twice and no processor is added twice."""
    checks.nothing_doubled(result(name, native, order))


@beside_each
def test_every_parent_is_sent(name: str, native: bool, order: str) -> None:
    """No span that the backend got points to a parent that it never gets."""
    checks.no_orphans(result(name, native, order).sent)


@beside_each
def test_the_mode_is_kept(name: str, native: bool, order: str) -> None:
    """``native_spans`` decides whether LiveKit's spans arrive, whoever made the provider global."""
    checks.layers(result(name, native, order), native_spans=native)


@beside_each
def test_tokens_are_counted_once(name: str, native: bool, order: str) -> None:
    """The sum of all spans' tokens is LiveKit's own count, and OpenInference's names add up to it apart."""
    found = result(name, native, order)
    counted = checks.tokens(found.sent)
    other = checks.openinference_tokens(found.sent)
    if ROWS[name].make_llm is call.langgraph_llm:
        # LiveKit has no tokens of a graph
        assert (counted, found.tokens, other) == ((0, 0), (0, 0), (100, 4))
        return
    assert found.tokens == (200, 8)
    twice = name in COUNT_TWICE
    assert counted == ((400, 16) if twice else (200, 8))
    assert other in ((0, 0), (200, 8))


@beside_each
def test_own_spans_nest_where_the_docs_say(name: str, native: bool, order: str) -> None:
    """Without native spans a user's spans are below our stages, with them below LiveKit's."""
    found = result(name, native, order)
    tool = (checks.LIVEKIT, "function_tool") if native else (attr.SCOPE, "tool")
    model = (checks.LIVEKIT, "llm_request_run") if native else (attr.SCOPE, "llm")
    assert checks.stage_above(found.sent, call.OWN_HTTP) == {model}
    if ROWS[name].make_llm is not call.langgraph_llm:
        assert checks.stage_above(found.sent, call.OWN_TOOL) == {tool}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "native"])
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.foreign])
def test_the_instrumentation_really_works(name: str, native: bool) -> None:
    """The packages make their spans, below the stage that runs: these tests are not about packages that sleep."""
    found = result(name, native, "after")
    theirs = [span for span in found.sent if ROWS[name].foreign in span.scope]
    model: Any = (checks.LIVEKIT, "llm_request_run") if native else (attr.SCOPE, "llm")
    above = {one for span in theirs for one in checks.stage_above(found.sent, span.name)}
    assert model in above


@beside_each
def test_nothing_is_logged_as_an_error(name: str, native: bool, order: str) -> None:
    """No failure of ours is logged beside anyone; where a provider takes no processors, one warning says so."""
    lines = result(name, native, order).log
    warnings = [line for line in lines if name == "ddtrace" and line[0] == "WARNING" and "processor" in line[1]]
    assert [line for line in lines if line not in warnings] == []
    assert len(warnings) == (1 if name == "ddtrace" else 0)
