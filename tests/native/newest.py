"""What is read from calls that the newest agents-js recorded, beside what is read from the last recorded release.

    python -m tests.native.newest RECORDING.jsonl.gz

Prints each difference, then the scenarios that have one, and exits with 1 if there is any. Real times differ from one
recording to the next, so no lengths are compared, except latencies with those of agents-js's own report of the same
call. Names of spans and attributes that the last recorded release does not have are listed, and are no difference.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from livekit_otel import SessionReport, Turn
from livekit_otel import attributes as attr

from .known import known_of
from .page import NODE
from .recordings import Recording, differences, recorded_in, recordings

#: what a busy machine makes or unmakes: a pause before a request counts as a node's work; a request whose span begins
#: late has no rate
_BY_CHANCE = frozenset({attr.KIND_NODE, "llm_node_tps"})
#: seconds by which JavaScript's doubles of Unix times are inexact
_INEXACT = 1e-6


def changes(found: dict[str, Recording], release: str) -> Iterator[str]:
    """How the reading of calls differs from that of a recorded release."""
    for name, known in recordings(release).items():
        call = found.get(name)
        if call is None:
            yield f"{name}: was not recorded"
            continue
        for what, one, two in _compared(call, known, set(known_of(release, name))):
            if one != two:
                yield f"{name}: {what}: {json.dumps(one)} was {json.dumps(two)} with {release}"
        if late := list(_unequal(call)):
            yield f"{name}: not agents-js's own: {', '.join(late)}"


def _compared(call: Recording, known: Recording, differing: set[str]) -> Iterator[tuple[str, Any, Any]]:
    yield "sessions", len(call.ours), len(known.ours)
    for ours, theirs, recorded in zip(call.ours, call.theirs, known.ours, strict=False):
        yield "differs from agents-js's report in", sorted(differences(ours, theirs)), sorted(differing)
        yield "read as", ours.provenance, recorded.provenance
        yield "warnings", ours.warnings, recorded.warnings
        yield "turns", len(ours.turns), len(recorded.turns)
        for turn, other in zip(ours.turns, recorded.turns, strict=False):
            one, two = _outline(turn), _outline(other)
            yield from ((f"{what} of turn {turn.index}", value, two[what]) for what, value in one.items())
        for kind, names in (values := _names(ours)).items():
            yield f"attributes of {kind}", sorted(_names(recorded).get(kind, set()) - names), []
        yield "kinds of stages", sorted(values), sorted(_names(recorded))


def _outline(turn: Turn) -> dict[str, Any]:
    """What does not depend on how long anything took."""
    latencies = {name for name in attr.DERIVED_LATENCIES if getattr(turn.latency, name) is not None}
    return {
        "user's words": turn.user_text,
        # how far an interrupted answer got depends on the moment
        "agent's words": "" if turn.end_reason == attr.END_INTERRUPTED else turn.agent_text,
        "end reason": turn.end_reason,
        "answered": turn.answered,
        "interruptions": [turn.interruptions, turn.false_interruptions],
        "latencies": sorted(latencies - _BY_CHANCE),
        "reported": sorted(turn.reported),
        "stages": sorted(stage.kind for stage in turn.stages if stage.kind not in _BY_CHANCE),
        "models": sorted(turn.models),
    }


def _names(report: SessionReport) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for span in report.spans:
        if span.kind not in _BY_CHANCE:
            found.setdefault(span.kind, set()).update(span.attributes)
    return found


def _unequal(call: Recording) -> Iterator[str]:
    """Latencies that differ from those of agents-js's report of the same call."""
    for report, theirs in zip(call.ours, call.theirs, strict=False):
        turns = [turn for turn in report.turns if turn.latency.transcription_delay is not None]
        for turn, (_, numbers) in zip(turns, reported_delays(theirs), strict=False):
            for what, number in numbers.items():
                derived = getattr(turn.latency, what)
                if derived is None or abs(derived - number) > _INEXACT:
                    yield f"{what} of turn {turn.index} is {derived}, there {number}"


def reported_delays(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """What was said, and the delays of it, by the first message of the agent after it."""
    items = [item for item in report["items"] if item["type"] == "message"]
    for at, item in enumerate(items):
        metrics = item.get("metrics", {})
        if item["role"] == "user" and "transcription_delay" in metrics:
            names = ("transcription_delay", "end_of_turn_delay")
            numbers = {name: metrics[name] for name in names}
            answer = items[at + 1].get("metrics", {}) if at + 1 < len(items) else {}
            if "e2e_latency" in answer:
                numbers["e2e_latency"] = answer["e2e_latency"]
            yield item["content"][0], numbers


def news(found: dict[str, Recording], release: str) -> Iterator[str]:
    """Names of spans and attributes that the recorded release does not have."""
    old, new = _spans(recordings(release)), _spans(found)
    for name, attributes in sorted(new.items()):
        if name not in old:
            yield f"span {name}: {', '.join(sorted(attributes))}"
        elif more := sorted(attributes - old[name]):
            yield f"attributes of {name}: {', '.join(more)}"


def _spans(calls: dict[str, Recording]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for call in calls.values():
        for span in call.spans:
            found.setdefault(span.name, set()).update(span.attributes)
    return found


def main() -> int:
    found, release = recorded_in(Path(sys.argv[1])), NODE[0]
    for line in news(found, release):
        print(f"new: {line}")
    differing = list(changes(found, release))
    for line in differing:
        print(f"changed: {line}")
    print(f"{len(found)} calls, {len(differing)} differences from {release}")
    if differing:
        print(*dict.fromkeys(line.split(":")[0] for line in differing))
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
