"""What tracing costs a turn: CPU time of scripted sessions in several configurations, interleaved in one run.

``python -m tests.benchmarks.bench_overhead`` prints milliseconds per turn and the ratios, of a spoken call and of a
typed one without audio. The configuration ``sdk`` is the floor: no instrumentation, but in the middle of the call the
SDK makes the very spans that the plugin makes of a turn, each with all its attributes in one call.
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
_TOOL = ("weather", "weather", '{"city": "Oslo"}')


class _Nowhere(SpanExporter):
    def __init__(self, kept: list[ReadableSpan] | None = None) -> None:
        self._kept = kept

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._kept is not None:
            self._kept.extend(spans)
        return SpanExportResult.SUCCESS


def _words(number: int) -> str:
    """What the caller says; every fifth time a tool is called."""
    return f"{'weather' if number % 5 == 4 else 'question'} number {number}"


def _spoken(turns: int, marks: dict[int, float]) -> Callable[[Call], object]:
    async def script(call: Call) -> None:
        for number in range(turns):
            call.caller.says(_words(number), 1.0 + _SECONDS * number)
        session = call.session(calls(_TOOL))
        await call.start(session, Clerk())
        for turn in sorted({*marks, turns}):
            await call.until(_SECONDS * turn + 0.5)
            marks[turn] = time.process_time()
        await call.close(session)

    return script


def _typed(turns: int, marks: dict[int, float]) -> Callable[[Call], object]:
    async def script(call: Call) -> None:
        session = call.session(calls(_TOOL), audio=None, tts=None)
        await call.start(session, Clerk())
        for number in range(turns):
            await session.run(user_input=_words(number))
            marks[number + 1] = time.process_time()
        await call.close(session)

    return script


SHAPES = {"spoken": _spoken, "typed": _typed}


def cpu(
    configuration: str,
    turns: int,
    marks: Sequence[int],
    kept: list[ReadableSpan] | None = None,
    shape: str = "spoken",
) -> list[float]:
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
    SCENARIOS["bench"] = Scenario("bench", "", SHAPES[shape](turns, times))  # type: ignore[arg-type]
    switch_off()
    gc.collect()
    try:
        run_scenario("bench", switch_on)
    finally:
        switch_off()
        del SCENARIOS["bench"]
        provider.shutdown()
    return [times[mark] for mark in marks]


def of_a_turn(shape: str = "spoken") -> list[ReadableSpan]:
    """The spans that the plugin makes of one turn, and of the silence after it."""
    kept: list[ReadableSpan] = []
    cpu("plugin", 20, [20], kept, shape)
    start, end = [one.start_time or 0 for one in kept if one.name == "turn"][10:12]
    return [one for one in kept if start <= (one.start_time or 0) < end]


@contextmanager
def made_by_the_sdk(spans: Sequence[ReadableSpan]) -> Iterator[None]:
    """From each turn's words on, every event of the session has the SDK make the next one of the spans."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    tracer = provider.get_tracer("floor")
    context = trace.set_span_in_context(tracer.start_span("session"))
    turn = [(one.name, dict(one.attributes or {}), one.start_time, one.end_time) for one in spans]
    waiting = iter(turn[:0])
    emit = AgentSession.emit

    def wrapped(session: AgentSession, name: str, event: object) -> None:
        nonlocal waiting
        if name == "conversation_item_added" and getattr(event.item, "role", None) == "user":  # type: ignore[attr-defined]
            assert next(waiting, None) is None, "a turn has fewer events than spans"
            waiting = iter(turn)
        if one := next(waiting, None):
            kind, attributes, start, end = one
            tracer.start_span(kind, context, attributes=attributes, start_time=start).end(end)
        emit(session, name, event)  # type: ignore[arg-type]

    AgentSession.emit = wrapped  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        AgentSession.emit = emit  # type: ignore[method-assign]
        provider.shutdown()


def measure(shape: str = "spoken", rounds: int = 9, turns: int = 40) -> dict[str, float]:
    """CPU milliseconds per turn of each configuration: the best round, since other work only ever adds."""
    found: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    spans = of_a_turn(shape)
    for _ in range(rounds):
        for name in CONFIGURATIONS:
            if name == "sdk":
                with made_by_the_sdk(spans):
                    start, end = cpu("none", turns, [5, turns], shape=shape)
            else:
                start, end = cpu(name, turns, [5, turns], shape=shape)
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


def main(shape: str = "spoken") -> dict[str, float]:
    cost = measure(shape)
    native, plugin, sdk = (cost[name] - cost["none"] for name in ("native", "plugin", "sdk"))
    ratios = {
        "native adds / none": native / cost["none"],
        "plugin adds / native adds": plugin / native,
        "sdk alone adds / native adds": sdk / native,
        "both / native": cost["both"] / cost["native"],
    }
    print(f"{shape}: CPU per turn, ms:", {name: round(value, 2) for name, value in cost.items()})
    print({name: round(value, 2) for name, value in ratios.items()})
    return ratios


if __name__ == "__main__":
    for one in SHAPES:
        main(one)
    print("growth over a long call:", round(growth(), 2))
