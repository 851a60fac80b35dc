"""What a composed call has in it, by its plan and by what its devices logged."""

from __future__ import annotations

from .plan import Log, Plan, Sound, Voice

#: each of them occurs often in the calls that are always played
LISTED = (
    *(
        "pauses",
        "backchannel",
        "noise",
        "tool",
        "tool with a preamble",
        "tool without a preamble",
        "tool with a filler",
    ),
    *("tool over 3 s", "tool under 0.5 s", "progress", "handoff", "slow on_enter", "generated ahead"),
    *("barge-in, the output pauses", "barge-in, the output cannot pause", "early interims", "late interims"),
    *("no interims", "slow hook", "failing hook", "llm_node works", "llm_node yields strings", "own tts_node"),
    *("own request", "say", "clear", "clock step", "recognizer alone", "realtime server", "closed early"),
)


def ingredients(plan: Plan, log: Log) -> set[str]:
    """Names of :data:`LISTED`, and ``differs as known`` where the waits do."""
    tools = [one.tool for one in plan.says if one.tool is not None and _worked(log, plan.says.index(one))]
    barge = [one for one in log.sounds if one.of is not None and _over(log, one)]
    found = {
        "pauses": any(len(said) > 1 for _, said in log.commits),
        "backchannel": any(one.end - one.start <= 0.4 for one in barge),
        "noise": any(one.of is None for one in log.sounds),
        "tool": bool(tools),
        "tool with a preamble": any(one.preamble for one in tools),
        "tool without a preamble": any(not one.preamble for one in tools),
        "tool with a filler": any(voice.label[0] == "f" for voice in log.voices),
        "tool over 3 s": any(one.seconds > 3 for one in tools),
        "tool under 0.5 s": any(one.seconds < 0.5 for one in tools),
        "progress": any(one.update for one in tools),
        "own request": any(one.own_request for one in tools),
        "handoff": bool(log.enters),
        "slow on_enter": any((one.end or one.start) - one.start > 0.5 for one in log.enters),
        "generated ahead": plan.preemptive,
        "barge-in, the output pauses": plan.pausing and bool(barge),
        "barge-in, the output cannot pause": not plan.pausing and bool(barge),
        "slow hook": any((one.end or one.start) - one.start > 0.1 for one in log.hooks),
        "failing hook": any(plan.says[one.of].hook == "fails" for one in log.hooks),
        "llm_node works": plan.llm_node == "works",
        "llm_node yields strings": plan.llm_node == "strings",
        "own tts_node": plan.tts_node,
        "recognizer alone": plan.mode == "stt",
        "realtime server": plan.mode == "server",
        "closed early": bool(log.closed) and any(_end(one) > (log.closed or 0.0) - 0.1 for one in log.voices),
        "differs as known": log.differs is not None,
    }
    said = [one.interims for one in plan.says if plan.mode != "server"]
    for interims, name in (("early", "early interims"), ("late", "late interims"), ("missing", "no interims")):
        found[name] = interims in said
    for what, name in (("say", "say"), ("clear", "clear"), ("clock", "clock step")):
        found[name] = any(act.what == what for act in plan.acts)
    return {name for name, has in found.items() if has}


def _worked(log: Log, number: int) -> bool:
    return any(one.of == number for one in log.tools)


def _over(log: Log, sound: Sound) -> bool:
    return any(one.start < sound.start < _end(one) for one in log.voices)


def _end(voice: Voice) -> float:
    return voice.end if voice.end is not None else float("inf")
