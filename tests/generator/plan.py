"""The script of a composed call, as plain values: its ``repr`` can be pasted into a test. Times are seconds."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Literal

Mode = Literal["vad", "stt", "server"]
Interims = Literal["usual", "early", "late", "missing"]


class _Short:
    """Its ``repr`` leaves out what is as usual."""

    def __repr__(self) -> str:
        shown: list[str] = []
        for one in fields(self):  # type: ignore[arg-type]
            value: Any = getattr(self, one.name)
            if one.default is MISSING or value != one.default:
                shown.append(f"{one.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Tool(_Short):
    """A tool that the reply calls.

    Attributes:
        seconds: how long it works.
        preamble: the model says something before it calls the tool.
        filler: the tool says something while it works.
        update: it reports progress (``ctx.update``) before it works.
        own_request: it asks a model of its own before it works.
        result: ``text`` is answered by the model; ``none`` needs no reply; ``speaks`` is said by the tool itself, which
            then needs none; ``agent`` is another agent, which takes over.
        enter: for ``agent``: seconds that the other agent's ``on_enter`` takes before it speaks; None: it says nothing.
    """

    seconds: float
    preamble: bool = False
    filler: bool = False
    update: bool = False
    own_request: bool = False
    result: Literal["text", "none", "speaks", "agent"] = "text"
    enter: float | None = None


@dataclass(frozen=True, repr=False)
class Says(_Short):
    """Something that the user says, and what answers it.

    Attributes:
        at, length: when the speech begins, and how long it is.
        interims: when the first words of it come.
        final_after: seconds from the end of the speech to its words.
        words: length of the answer.
        tool: what the reply calls first.
        hook: what ``on_user_turn_completed`` does with it: ``slow``, ``fails``, ``stops`` (StopResponse), ``speaks``.
        hook_seconds: what it takes for that.
        model_fails: the model fails for good instead of answering.
    """

    at: float
    length: float = 0.8
    interims: Interims = "usual"
    final_after: float = 0.1
    words: int = 4
    tool: Tool | None = None
    hook: Literal["", "slow", "fails", "stops", "speaks"] = ""
    hook_seconds: float = 0.0
    model_fails: bool = False


@dataclass(frozen=True, repr=False)
class Noise(_Short):
    """A sound that is no speech."""

    at: float
    length: float = 0.3


@dataclass(frozen=True, repr=False)
class Act(_Short):
    """What code, or the machine's administrator, does at a moment: ``amount`` is how far the wall clock is moved."""

    at: float
    what: Literal["say", "clear", "clock"]
    amount: float = 0.0


@dataclass(frozen=True, repr=False)
class Plan(_Short):
    """A whole call.

    Attributes:
        mode: who hears the user: VAD and a recognizer, a recognizer alone, or a realtime server.
        greeting: the agent speaks first.
        preemptive: replies are generated ahead.
        pausing: the output can pause.
        model_seconds, voice_seconds, output_seconds: what model, voice and output take to begin.
        llm_node: the agent's own ``llm_node`` works before its request, or yields strings and makes none.
        llm_node_seconds: for how long.
        tts_node: the agent's own ``tts_node`` makes the audio.
        close_at: when ``aclose()`` is called.
    """

    says: tuple[Says, ...]
    close_at: float
    noises: tuple[Noise, ...] = ()
    acts: tuple[Act, ...] = ()
    mode: Mode = "vad"
    greeting: bool = False
    preemptive: bool = False
    pausing: bool = True
    model_seconds: float = 0.2
    voice_seconds: float = 0.1
    output_seconds: float = 0.0
    llm_node: Literal["", "works", "strings"] = ""
    llm_node_seconds: float = 0.0
    tts_node: bool = False


def in_order(plan: Plan) -> Plan:
    """The same call, with a recognizer that says the words of each speech after those of the speech before."""
    said: list[Says] = []
    final_at = 0.0
    for one in plan.says:
        end = one.at + one.length
        after = one.final_after if end + one.final_after > final_at else round(final_at + 0.01 - end, 2)
        final_at = end + after
        said.append(replace(one, final_after=after))
    return replace(plan, says=tuple(said))


@dataclass
class Sound:
    """The user's speech number ``of``, or a noise (None)."""

    start: float
    end: float
    of: int | None


@dataclass
class Voice:
    """A playout: which words (see ``words.py``), and when the output paused."""

    label: str
    start: float
    end: float | None = None
    pauses: list[list[float]] = field(default_factory=list)
    cut_off: bool = False


@dataclass
class Work:
    """A request, a tool or a hook: ``of`` is the user's speech that it serves, ``step`` the request's number."""

    of: int
    start: float
    end: float | None = None
    step: int = 0
    label: str = ""
    failed: bool = False


@dataclass
class Log:
    """What the stand-ins and the script's own code saw of a call. Seconds of the call, by a clock that nobody moves."""

    sounds: list[Sound] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    requests: list[Work] = field(default_factory=list)
    tools: list[Work] = field(default_factory=list)
    #: speeches of the user that were committed together, and when
    commits: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)
    hooks: list[Work] = field(default_factory=list)
    failures: list[Work] = field(default_factory=list)
    #: when code asked for words of its own
    asked: list[Work] = field(default_factory=list)
    enters: list[Work] = field(default_factory=list)
    closed: float | None = None
    #: the known difference between these waits and the trace's, once they were compared
    differs: str | None = None
