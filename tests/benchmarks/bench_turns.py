"""What TurnSpanProcessor costs, in units of creating one span with the SDK.

    python -m tests.benchmarks.bench_turns [--turns 10000]

Prints ratios (medians of several rounds) and what a long call holds in memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

from livekit_otel import TurnSpanProcessor
from livekit_otel import attributes as attr
from livekit_otel.spans import SpanRecord
from livekit_otel.turns import derive_turn
from tests.turns_kit import ZERO, Script, llm_metrics, stt_metrics, tts_metrics

#: like a pipeline span's: identity and a few metrics
_ATTRIBUTES = {f"livekit_otel.some.field_{letter}": "a value of some length" for letter in "abcdefghij"}


def script(*, tools: bool) -> list[SpanRecord]:
    """A plain turn (7 spans), or one with two tools (12 spans); the turn's own span first."""
    made = Script()
    turn = made.turn(1.0, 9.0, **{attr.reported("e2e_latency"): 1.4})  # type: ignore[arg-type]
    turn.vad(1.0, 2.0)
    turn.stt(1.0, 2.2, **stt_metrics(1.1, 2.2))
    turn.eou(2.0, 2.5, hook=0.1)
    if tools:
        turn.llm(2.55, 2.6, 0.05, **llm_metrics(100, 20, 2.6))
        turn.tool(2.6, 2.6)
        turn.tool(2.6, 2.6)
    turn.llm(2.6, 3.0, 0.3, **llm_metrics(100, 20, 3.0, cached=40))
    turn.tts(2.9, 3.4, 0.5, **tts_metrics(17, 0.3, 3.4))
    turn.playback(3.4, 6.0)
    if tools:
        turn.tts(4.0, 4.4, 0.5, **tts_metrics(17, 0.3, 4.4))
        turn.verdict(5.0, 5.1, "backchannel")
    return made.spans


def timed(run: Callable[[], object], times: int) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


class Call:
    """A session whose turns are replayed through a provider, with the processor on it or without."""

    def __init__(self, processor: TurnSpanProcessor | None) -> None:
        self._provider = TracerProvider(shutdown_on_exit=False)
        if processor is not None:
            self._provider.add_span_processor(processor)
        self.tracer = self._provider.get_tracer(attr.SCOPE)
        known = {attr.KIND: attr.KIND_SESSION, attr.SESSION_ID: "s"}
        self.session = self.tracer.start_span(attr.KIND_SESSION, Context(), attributes=known, start_time=ZERO)
        self._index = 0

    def turn(self, spans: list[SpanRecord]) -> None:
        own, *stages = spans
        known = {**own.attributes, attr.TURN_INDEX: self._index}
        span = self._start(own, self.session, known)
        # in the order in which stages end, but a playout is a live span while others go on
        stages.sort(key=lambda one: one.end_ns)
        playing = [(one, self._start(one, span, one.attributes)) for one in stages if one.kind == attr.KIND_PLAYBACK]
        for stage in stages:
            if stage.kind == attr.KIND_PLAYBACK:
                playing.pop(0)[1].end(stage.end_ns)
            else:
                self._start(stage, span, stage.attributes).end(stage.end_ns)
        span.end(own.end_ns)
        self._index += 1
        if self._index % 4 == 0:
            known = {attr.KIND: attr.KIND_SESSION_CHECKPOINT, attr.SESSION_ID: "s"}
            self.tracer.start_span(attr.KIND_SESSION_CHECKPOINT, Context(), attributes=known).end()

    def _start(self, record: SpanRecord, parent: trace.Span, attributes: Any) -> trace.Span:
        context = trace.set_span_in_context(parent, Context())
        return self.tracer.start_span(record.name, context, attributes=attributes, start_time=record.start_ns)


@dataclass(frozen=True)
class Result:
    """All but ``grown`` in units of one SDK span."""

    span_us: float
    derive_plain: float
    derive_tools: float
    processor_plain: float
    processor_tools: float
    first_turns: float
    last_turns: float
    grown: int
    turns: int


def measure(turns: int = 10_000, rounds: int = 9) -> Result:
    plain, tools = script(tools=False), script(tools=True)
    bare = Call(None)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    def start_and_end() -> None:
        bare.tracer.start_span("span", attributes=_ATTRIBUTES).end()

    for _ in range(rounds):
        # each round in units of its own, so that a busy machine slows both
        unit = timed(start_and_end, 2_000)
        note("unit", unit)
        note("derive plain", timed(lambda: derive_turn(plain[1:], plain[0]), 300) / unit)
        note("derive tools", timed(lambda: derive_turn(tools[1:], tools[0]), 300) / unit)
        with_it, without = Call(TurnSpanProcessor()), Call(None)
        for name, spans in (("plain", plain), ("tools", tools)):
            base = timed(lambda without=without, spans=spans: without.turn(spans), 200)
            note(f"processor {name}", (timed(lambda w=with_it, s=spans: w.turn(s), 200) - base) / unit)
    first, last, grown = long_call(plain, turns)
    unit = statistics.median(found["unit"])
    middle = {name: statistics.median(values) for name, values in found.items()}
    return Result(
        span_us=unit * 1e6,
        derive_plain=middle["derive plain"],
        derive_tools=middle["derive tools"],
        processor_plain=middle["processor plain"],
        processor_tools=middle["processor tools"],
        first_turns=first / unit,
        last_turns=last / unit,
        grown=grown,
        turns=turns,
    )


def long_call(spans: list[SpanRecord], turns: int) -> tuple[float, float, int]:
    """Seconds per turn (spans included) near the beginning and at the end of a long call, and bytes that it grew by."""
    call, tenth = Call(TurnSpanProcessor()), turns // 10
    timed(lambda: call.turn(spans), 200)
    first = timed(lambda: call.turn(spans), tenth)
    timed(lambda: call.turn(spans), turns // 2)
    last = timed(lambda: call.turn(spans), tenth)
    call = Call(TurnSpanProcessor())
    timed(lambda: call.turn(spans), 200)
    tracemalloc.start()
    timed(lambda: call.turn(spans), tenth)
    before, _ = tracemalloc.get_traced_memory()
    timed(lambda: call.turn(spans), turns - tenth)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return first, last, after - before


def show(result: Result) -> str:
    return "\n".join(
        (
            f"one SDK span with ten attributes              {result.span_us:7.1f} us",
            f"derive a plain turn                           {result.derive_plain:7.1f} spans",
            f"derive a turn with two tools                  {result.derive_tools:7.1f} spans",
            f"processor's share of a plain turn (7 spans)   {result.processor_plain:7.1f} spans",
            f"processor's share with two tools (12 spans)   {result.processor_tools:7.1f} spans",
            f"a whole turn at the beginning, at the end     {result.first_turns:7.1f} {result.last_turns:7.1f} spans",
            f"memory that {result.turns:,} turns add              {result.grown / 1024:7.0f} KiB",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10_000)
    print(show(measure(parser.parse_args().turns)))


if __name__ == "__main__":
    main()
