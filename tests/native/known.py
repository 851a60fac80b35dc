"""Where a report from LiveKit's own spans differs from that of the pipeline layer, by scripted session, and why."""

from __future__ import annotations

REALTIME = "A realtime model heard the user itself: no span has the words, and without VAD none says when they spoke."
REPLACED = "The application changed the history itself: it kept words out of it, edited it or brought some along."
UNASKED = "The user's words asked for no reply (an empty commit, a note, words that were cleared): no span has them."
BACKGROUND = "A tool that went on after its span had ended: what it says then is a turn of its own, or nobody's."
TASKS = "A tool that asked the user itself: its span does not say where the call stands, or what it owed."
NODES = "A node of the agent's own: a tts_node's own work, and the first word of text that is returned, are in no span."
JUDGED = "How speech over the agent's was judged is in no span: a turn may be joined with the next one."
WITHHELD = "Content is withheld, and with it the one sign that there was a transcript."
DISCARDED = "A reply that was made ahead, and its turn's end, when no reply was wanted after all."
STT_UNUSED = "LiveKit names the recognizer also on the turn of a user whom it did not hear."
BY_RECOGNIZER = (
    "Where the recognizer heard the end of the speech before VAD did, LiveKit flushes VAD and ends `user_speaking` "
    "then. VAD's last speech, which the pipeline counts from, is in no span; LiveKit's own report has the spans' time."
)
NO_RESPONSE = "What a realtime model says of no response (usage), or of one that failed, is in no span."

_WORDS = {"conversation", "words"}
#: scenario -> what differs -> why
KNOWN: dict[str, dict[str, str]] = {
    **{
        name: dict.fromkeys(_WORDS, REALTIME)
        for name in (
            "realtime_conversation",
            "realtime_late_words",
            "realtime_late_usage",
            "realtime_tool",
            "realtime_barge_in",
            "realtime_false_start",
            "amd_before_a_realtime_model",
        )
    },
    "realtime_failed_response": {**dict.fromkeys(_WORDS, REALTIME), "end reason": NO_RESPONSE},
    "realtime_usage_of_no_response": {**dict.fromkeys(_WORDS, REALTIME), "realtime usage": NO_RESPONSE},
    "recognizer_that_is_faster_than_vad": dict.fromkeys(
        {
            *("stopped_speaking_at", "transcription_delay", "end_of_turn_delay", "e2e_latency", "answer_latency"),
            *("wait", "silence by stage"),
        },
        BY_RECOGNIZER,
    ),
    "handoff_to_a_realtime_model": dict.fromkeys(
        {
            *_WORDS,
            *("answered", "started_speaking_at", "stopped_speaking_at", "e2e_latency"),
            *("answer_latency", "wait", "silence by stage"),
        },
        REALTIME,
    ),
    "realtime_committed_by_hand": dict.fromkeys(
        ("conversation", "on_user_turn_completed_delay", "silence by stage"), REALTIME
    ),
    "history_that_is_edited": {"conversation": REPLACED},
    "two_sessions_in_one_job": {"conversation": REPLACED},
    "told_what_to_say": dict.fromkeys(_WORDS, REPLACED),
    "manual_turns": dict.fromkeys(("conversation", "turns"), UNASKED),
    "words_that_are_cleared": {"conversation": UNASKED},
    "speech_that_answers_nobody": {"conversation": UNASKED},
    "cut_off_while_waiting": dict.fromkeys(
        ("conversation", "on_user_turn_completed_delay", "dead_air", "wait", "gaps by stage"), UNASKED
    ),
    "slow_tool_with_progress": {"turns": BACKGROUND},
    "tool_with_progress_and_result": {"turns": BACKGROUND},
    "tool_in_the_background_asks": dict.fromkeys(("conversation", "turns"), BACKGROUND),
    "tool_outlives_its_turn": dict.fromkeys(
        ("end reason", "answered", "answer_latency", "dead_air", "wait", "gaps by stage"), BACKGROUND
    ),
    "task_inside_a_tool": dict.fromkeys(
        ("conversation", "end reason", "answered", "answer_latency", "dead_air", "wait", "gaps by stage"), TASKS
    ),
    "task_after_a_reply_made_ahead": dict.fromkeys(("conversation", "turns"), TASKS),
    "llm_node_that_returns_words": dict.fromkeys(("llm_node_ttft", "llm_node_ttfs"), NODES),
    "tts_node_of_its_own": dict.fromkeys(("playback_latency", "silence by stage"), NODES),
    "tts_node_that_starts_slowly": dict.fromkeys(("tts_node_ttfb", "playback_latency", "silence by stage"), NODES),
    "judged_overlaps": {"interruptions": JUDGED},
    "few_words_while_a_tool_runs": {"turns": JUDGED},
    "redacted_session": dict.fromkeys(("models", "transcription_delay", "silence by stage"), WITHHELD),
    "preemptive_user_turn_without_reply": dict.fromkeys(("models", "dead_air", "wait", "gaps by stage"), DISCARDED),
    "speech_that_vad_misses": {"models": STT_UNUSED},
}

HALF_CHARACTERS = "Half a surrogate pair is no text that can be exported."
OLDER_HOOK = "Before 1.8 no span says whether the hook wanted a reply to the user's words."
OLDER_USAGE = "Before 1.8 usage that a realtime model reports after its response is on no span."
#: of recordings: release -> scenario -> what differs from LiveKit's own report -> why, besides KNOWN
KNOWN_RECORDED: dict[str, dict[str, dict[str, str]]] = {
    "python-1.8.9": {
        "words_of_the_world": {"conversation": HALF_CHARACTERS},
        "redacted_session": {"conversation": WITHHELD},
    },
    **{
        release: {
            "words_of_the_world": {"conversation": HALF_CHARACTERS},
            "preemptive_user_turn_without_reply": {"conversation": OLDER_HOOK},
            "realtime_late_usage": {"LLM usage": OLDER_USAGE},
            "realtime_tool": {"LLM usage": OLDER_USAGE},
        }
        for release in ("python-1.7.0", "python-1.5.18")
    },
}
SAYS_NODE = "Before 1.8 what an agent says or does as it begins is a trace of its own, which nothing joins to the call."
for _release in ("node-1.9.0", "node-1.8.1", "node-1.6.4"):
    KNOWN_RECORDED[_release] = {"realtime": {"conversation": REALTIME}}
KNOWN_RECORDED["node-1.6.4"] |= {
    "greeting": dict.fromkeys(("conversation", "TTS usage"), SAYS_NODE),
    "handoff": {"conversation": SAYS_NODE},
}
KNOWN_RECORDED["python-1.7.0"]["words_while_an_agent_leaves"] = {"conversation": OLDER_HOOK}
#: what a release had no trouble with
NOT_IN: dict[str, set[str]] = {
    "python-1.5.18": {
        *("task_inside_a_tool", "handoff_to_a_realtime_model", "task_after_a_reply_made_ahead"),
        "tool_in_the_background_asks",
    },
}
OF_RECORDINGS = frozenset({"conversation", "LLM usage", "TTS usage", "close reason", "job", "agent"})


def known_of(release: str, scenario: str) -> dict[str, str]:
    """What differs from LiveKit's own report of a recorded call, and why."""
    everywhere = {} if release.startswith("node") or scenario in NOT_IN.get(release, ()) else KNOWN.get(scenario, {})
    found = {**everywhere, **KNOWN_RECORDED.get(release, {}).get(scenario, {})}
    return {what: why for what, why in found.items() if what in OF_RECORDINGS}
