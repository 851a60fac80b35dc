"""What tracing costs a turn: CPU time of a scripted spoken call in several configurations, interleaved in one run.

``python -m tests.benchmarks.bench_overhead`` prints milliseconds per turn and the ratios. The configuration ``sdk`` is
the floor: no instrumentation, but in the middle of the call the SDK makes the very spans that the plugin makes of a
turn, each with all its attributes in one call.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.kit import clock

clock.install()

from livekit.agents import AgentSession
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import livekit_otel
from tests.kit.run import SCENARIOS, Call, Scenario, run_scenario
from tests.kit.trace import switch_off
from tests.scenarios.tools import Clerk, calls

CONFIGURATIONS = ("none", "native", "plugin", "both", "sdk")
_SECONDS = 4.8


class _Nowhere(SpanExporter):
    def __init__(self, kept: list[ReadableSpan] | None = None) -> None:
        self._kept = kept

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._kept is not None:
            self._kept.extend(spans)
        return SpanExportResult.SUCCESS


def _script(turns: int, marks: dict[int, float]) -> Callable[[Call], object]:
    async def script(call: Call) -> None:
        for number in range(turns):
            word = "weather" if number % 5 == 4 else "question"
            call.caller.says(f"{word} number {number}", 1.0 + _SECONDS * number)
        session = call.session(calls(("weather", "weather", '{"city": "Oslo"}')))
        await call.start(session, Clerk())
        for turn in sorted({*marks, turns}):
            await call.until(_SECONDS * turn + 0.5)
            marks[turn] = time.process_time()
        await call.close(session)

    return script


def cpu(configuration: str, turns: int, marks: Sequence[int], kept: list[ReadableSpan] | None = None) -> list[float]:
    """CPU seconds at each of the given turns of one call."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Nowhere(kept)))

    def switch_on() -> None:
        if configuration in ("plugin", "both"):
            livekit_otel.set_tracer_provider(provider, native_spans=configuration == "both")
        elif configuration == "native":
            from livekit.agents import telemetry

            telemetry.set_tracer_provider(provider)

    times = dict.fromkeys(marks, 0.0)
    SCENARIOS["bench"] = Scenario("bench", "", _script(turns, times))  # type: ignore[arg-type]
    switch_off()
    gc.collect()
    try:
        run_scenario("bench", switch_on)
    finally:
        switch_off()
        del SCENARIOS["bench"]
        provider.shutdown()
    return [times[mark] for mark in marks]


def of_a_turn() -> list[ReadableSpan]:
    """The spans that the plugin makes of one turn, and of the silence after it."""
    kept: list[ReadableSpan] = []
    cpu("plugin", 20, [20], kept)
    turn = [one for one in kept if one.name == "turn"][10]
    start = turn.start_time or 0
    return [one for one in kept if start <= (one.start_time or 0) < start + _SECONDS * 1e9]


@contextmanager
def made_by_the_sdk(spans: Sequence[ReadableSpan]) -> Iterator[None]:
    """With every other event of a session the SDK makes one of the spans: a turn has twice as many events as spans."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    tracer = provider.get_tracer("floor")
    context = trace.set_span_in_context(tracer.start_span("session"))
    endless = itertools.cycle([(one.name, dict(one.attributes or {}), one.start_time, one.end_time) for one in spans])
    emit, number = AgentSession.emit, itertools.count()

    def wrapped(session: AgentSession, *args: object) -> None:
        if next(number) % 2:
            name, attributes, start, end = next(endless)
            tracer.start_span(name, context, attributes=attributes, start_time=start).end(end)
        emit(session, *args)  # type: ignore[arg-type]

    AgentSession.emit = wrapped  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        AgentSession.emit = emit  # type: ignore[method-assign]
        provider.shutdown()


def measure(rounds: int = 9, turns: int = 40) -> dict[str, float]:
    """CPU milliseconds per turn of each configuration: the best round, since other work only ever adds."""
    found: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    spans = of_a_turn()
    for _ in range(rounds):
        for name in CONFIGURATIONS:
            if name == "sdk":
                with made_by_the_sdk(spans):
                    start, end = cpu("none", turns, [5, turns])
            else:
                start, end = cpu(name, turns, [5, turns])
            found[name].append((end - start) * 1000 / (turns - 5))
    return {name: min(values) for name, values in found.items()}


def growth(rounds: int = 3, turns: int = 240) -> float:
    """What the plugin adds to the last third of a long call, over what it adds to the second."""
    marks = [turns // 3, turns * 2 // 3, turns]
    best: dict[tuple[str, int], float] = {}
    for _ in range(rounds):
        for name in ("none", "plugin"):
            for third, (start, end) in enumerate(itertools.pairwise(cpu(name, turns, marks))):
                best[name, third] = min(best.get((name, third), float("inf")), end - start)
    return (best["plugin", 1] - best["none", 1]) / (best["plugin", 0] - best["none", 0])


def main() -> dict[str, float]:
    cost = measure()
    native, plugin, sdk = (cost[name] - cost["none"] for name in ("native", "plugin", "sdk"))
    ratios = {
        "plugin adds / native adds": plugin / native,
        "sdk alone adds / native adds": sdk / native,
        "both / native": cost["both"] / cost["native"],
    }
    print("CPU per turn, ms:", {name: round(value, 3) for name, value in cost.items()})
    print({name: round(value, 3) for name, value in ratios.items()})
    return ratios


if __name__ == "__main__":
    main()
    print("growth over a long call:", round(growth(), 2))
