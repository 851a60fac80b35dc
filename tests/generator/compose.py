"""Composes calls: what is said when, what answers it, and what happens meanwhile. Times are hundredths of seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .plan import Act, Noise, Plan, Says, Tool

#: without a VAD, speech that is cleared never ends
_ACTS = {"vad": ["say", "clear", "clock"], "stt": ["say", "clock"], "server": ["clock"]}


def seconds(low: float, high: float) -> st.SearchStrategy[float]:
    """Whole hundredths of seconds."""
    return st.integers(round(low * 100), round(high * 100)).map(lambda number: number / 100)


def rarely(odds: int) -> st.SearchStrategy[bool]:
    return st.integers(1, odds).map(lambda number: number == odds)


@st.composite
def tools(draw: Any, mode: str) -> Tool:
    speaks = mode != "server"
    result = draw(st.sampled_from(["text", "text", "none", "speaks" if speaks else "none", "agent", "agent"]))
    # the word on its progress is heard while a tool still works
    short = [seconds(0.01, 0.05), seconds(0.1, 2)] if speaks else []
    update = result == "text" and draw(rarely(2))
    return Tool(
        # a server's words are there before the next agent has a session of its own
        draw(st.one_of(seconds(2.5, 3), seconds(3, 7)) if update else st.one_of(seconds(1, 3), seconds(3, 7), *short)),
        preamble=draw(st.booleans()),
        filler=speaks and draw(rarely(3)),
        update=update,
        own_request=draw(rarely(4)),
        result=result,
        enter=draw(st.one_of(st.none(), seconds(0, 4), seconds(0.6, 4))) if result == "agent" else None,
    )


@st.composite
def speeches(draw: Any, at: float, mode: str) -> Says:
    backchannel = draw(rarely(2))
    tool = draw(st.one_of(st.none(), tools(mode)))
    hook: Any = draw(st.sampled_from(["", "", "", "", "slow", "fails", "stops", "speaks"])) if mode != "server" else ""
    return Says(
        at,
        draw(seconds(0.2, 0.4) if backchannel else seconds(0.5, 2.0)),
        interims=draw(st.sampled_from(["usual", "early", "late", "missing"])),
        final_after=draw(seconds(0.05, 0.6)),
        words=draw(st.sampled_from([2, 6, 20, 20])),
        tool=tool,
        hook=hook,
        hook_seconds=draw(seconds(0.1, 3)) if hook else 0.0,
        model_fails=mode != "server" and draw(rarely(12)),
    )


@st.composite
def plans(draw: Any) -> Plan:
    """Any call."""
    mode = draw(st.sampled_from(["vad", "vad", "vad", "stt", "server"]))
    at, said, noises = 1.0, [], []
    for _ in range(draw(st.integers(1, 4))):
        # a server has begun its answer before the user speaks again
        pauses = {"vad": [seconds(0.25, 0.34), seconds(0.7, 1.5)], "stt": [seconds(0.7, 1.5)], "server": []}[mode]
        at = round(at + draw(st.one_of(*pauses, seconds(1.5, 4), seconds(4, 10))), 2)
        if mode == "vad" and draw(rarely(4)):
            noises.append(Noise(at, draw(seconds(0.1, 0.9))))
            at = round(at + noises[-1].length + 0.3 + draw(seconds(0, 3)), 2)
        said.append(draw(speeches(at, mode)))
        at = round(at + said[-1].length, 2)
    if mode == "vad" and draw(rarely(4)):
        noises.append(Noise(round(at + draw(seconds(0.7, 4)), 2)))
    close_at = draw(seconds(1.0, at + 5)) if draw(rarely(3)) else round(at + 12.0, 2)
    return _plan(draw, mode, tuple(said), tuple(noises), at, close_at)


def _plan(draw: Any, mode: Any, said: tuple[Says, ...], noises: tuple[Noise, ...], at: float, close_at: float) -> Plan:
    """The rest of a call in which the user's last sound ends at ``at``."""
    acts = [
        Act(
            draw(seconds(0.5, min(close_at, at + 4))),
            what,
            draw(st.sampled_from([-2.0, 0.3, 5.0])) if what == "clock" else 0.0,
        )
        for what in draw(st.lists(st.sampled_from(_ACTS[mode]), max_size=2))
    ]
    own = mode != "server"
    node: Any = draw(st.sampled_from(["", "", "works", "strings"])) if own else ""
    return Plan(
        said,
        close_at,
        noises,
        tuple(sorted(acts, key=lambda act: act.at)),
        mode,
        greeting=draw(st.booleans()),
        preemptive=own and draw(st.booleans()),
        pausing=draw(st.booleans()),
        model_seconds=draw(st.sampled_from([0.2, 0.2, 0.5, 1.2] if own else [0.2, 0.5])),
        voice_seconds=draw(st.sampled_from([0.1, 0.1, 0.4])),
        output_seconds=draw(st.sampled_from([0.0, 0.0, 0.2])),
        llm_node=node,
        llm_node_seconds=draw(seconds(0.1, 1.5)) if node else 0.0,
        tts_node=own and draw(rarely(4)),
    )


def some(number: int, runs: int) -> Iterator[Plan]:
    """The calls of a seed: always the same ones with one version of hypothesis."""
    found: list[Plan] = []

    @seed(number)
    @settings(
        max_examples=runs,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(plans())
    def collect(plan: Plan) -> None:
        found.append(plan)

    collect()
    yield from found
