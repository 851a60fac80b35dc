"""What tracing costs a turn: CPU time of a scripted spoken call in four configurations, interleaved in one run.

``python -m tests.benchmarks.bench_overhead`` prints milliseconds per turn and the ratios.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

from tests.kit import clock

clock.install()

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import livekit_otel
from tests.kit.run import SCENARIOS, Call, Scenario, run_scenario
from tests.kit.trace import switch_off
from tests.scenarios.tools import Clerk, calls

CONFIGURATIONS = ("none", "native", "plugin", "both")
_SECONDS = 4.8


class _Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
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


def cpu(configuration: str, turns: int, marks: Sequence[int]) -> list[float]:
    """CPU seconds at each of the given turns of one call."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))

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


def measure(rounds: int = 5, turns: int = 40) -> dict[str, float]:
    """Median CPU milliseconds per turn of each configuration."""
    found: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    cpu("both", 5, [1])
    for _ in range(rounds):
        for name in CONFIGURATIONS:
            start, end = cpu(name, turns, [5, turns])
            found[name].append((end - start) * 1000 / (turns - 5))
    return {name: statistics.median(values) for name, values in found.items()}


def growth(turns: int = 300) -> float:
    """CPU time that the plugin adds to the last third of a long call, over what it adds to the first."""
    marks = [turns // 100, turns // 3, turns * 2 // 3, turns]
    plain, traced = cpu("none", turns, marks), cpu("plugin", turns, marks)
    early = (traced[1] - traced[0]) - (plain[1] - plain[0])
    late = (traced[3] - traced[2]) - (plain[3] - plain[2])
    return late / early


def main() -> dict[str, float]:
    cost = measure()
    native, plugin = cost["native"] - cost["none"], cost["plugin"] - cost["none"]
    ratios = {
        "plugin adds / native adds": plugin / native,
        "both / native": cost["both"] / cost["native"],
    }
    print("CPU per turn, ms:", {name: round(value, 3) for name, value in cost.items()})
    print({name: round(value, 3) for name, value in ratios.items()})
    return ratios


if __name__ == "__main__":
    main()
    print("growth over a long call:", round(growth(), 2))
