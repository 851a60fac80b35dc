"""Plain words for stages, close reasons, flags and latencies, for sentences and tooltips."""

from __future__ import annotations

from .. import attributes as attr

__all__ = ["CLOSED", "GLOSSARY", "STAGES", "UNANSWERED", "WAITED_FOR", "count", "seconds", "spoken_list"]

#: names of stages in sentences
STAGES = {
    attr.KIND_LLM: "LLM",
    attr.KIND_STT: "speech recognition",
    attr.KIND_TTS: "speech synthesis",
    attr.KIND_REALTIME: "realtime model",
    attr.KIND_TOOL: "tool",
    attr.KIND_NODE: "node",
    attr.KIND_EOU: "end-of-turn detection",
    attr.KIND_VAD: "voice activity detection",
    attr.KIND_INTERRUPTION: "interruption detection",
    attr.SILENCE_HOOK: "hook of the agent",
    attr.KIND_TURN: "agent's code",
    "interruption_detection": "interruption detection",
    "session": "session",
    "entrypoint": "entrypoint",
}
#: what the user waited for, by stage of a wait
WAITED_FOR = {
    "transcription": "the transcript",
    "eou": "the end-of-turn decision",
    "hook": "a hook of the agent",
    "node": "an overridden node",
    "llm": "the LLM",
    "tool": "a tool",
    "tts": "the voice",
    "playback": "the playout",
    "other": "nothing that the trace explains",
}
#: how a call ended, by LiveKit's reason
CLOSED = {
    "CR_ERROR": "LiveKit ended the call because of an error",
    "CR_JOB_SHUTDOWN": "the job was shut down",
    "CR_PARTICIPANT_DISCONNECTED": "the caller left",
    "CR_USER_INITIATED": "the agent's code ended the call",
    "CR_COMPLETED": "the task was done",
    "CR_UNKNOWN": "the call was closed for a reason that this version does not know",
}
#: why an answer never came
UNANSWERED = {
    attr.END_FAILED: "something failed",
    attr.END_INTERRUPTED: "the user spoke first or code cut the answer off",
    attr.END_SESSION_CLOSED: "the session was closed",
    attr.END_NO_REPLY: "the agent's code wanted no reply, or the model gave none",
}
_TERMS = {
    "turn": "One exchange: the user's words and the agent's response, until the agent is silent.",
    "wait": "From the end of the user's speech to the agent's first words, and all later silences of the turn.",
    "dead air": "Silence after the agent's first words, while it still owed the user an answer.",
    "e2e_latency": "From the end of the user's speech to the agent's first words.",
    "answer_latency": "From the end of the user's speech to the answer itself; 'let me look' is not an answer.",
    "dead_air": "Silence after the agent's first words, while it still owed the user an answer.",
    "transcription_delay": "From the end of the user's speech to the last transcript.",
    "end_of_turn_delay": "From the end of the user's speech to the decision that the turn was over.",
    "on_user_turn_completed_delay": "How long the agent's on_user_turn_completed hook ran after that decision.",
    "llm_node_ttft": "From the request to the LLM's first token.",
    "llm_node_ttfs": "From the request to the first sentence that reached the speech synthesis.",
    "llm_node_tps": "Tokens per second of the LLM's answer.",
    "tts_node_ttfb": "From that sentence to its first audio.",
    "playback_latency": "From the first audio to the start of its playback.",
    "vad": "Voice activity detection: detects whether somebody speaks.",
    "stt": "Speech to text: transcribes the user's speech.",
    "eou": "End of utterance: the decision that the user has finished speaking.",
    "llm": "The language model, which writes the answer.",
    "tts": "Text to speech: the agent's voice.",
    "realtime": "A speech-to-speech model: it listens and speaks without STT and TTS.",
    "tool": "A function of the agent that the model called.",
    "node": "An overridden llm_node, tts_node, on_enter or on_exit of the agent that does work of its own.",
    "hook": "The agent's on_user_turn_completed, on_enter or on_exit.",
    "transcription": "Waiting for the transcript of the user's speech.",
    "playback": "The agent's audio, from its start to its end.",
    "interruption": "The user spoke while the agent was speaking.",
    "other": "Waiting that no stage of the trace explains.",
    "slow": "The wait for the agent's first words reached the limit.",
    "never answered": "The user got no answer, whatever the reason.",
    "failed": "A model, a hook or a node failed, which ended the turn.",
    "false cutoff": "The agent mistook a pause of the user for the end of the turn.",
    "interrupted": "The agent was stopped while it was speaking.",
    "session closed": "The call was closed before the turn was over.",
    "no reply": "The agent's code wanted no reply, or the model gave none.",
    "end missing": "The trace breaks off before the turn was over.",
    "discarded": "An answer that was generated in advance and not used: it cost tokens, and nobody heard it.",
    "p50": "Half of the turns are at most this long.",
    "p90": "90 % of the turns are at most this long.",
    "p95": "95 % of the turns are at most this long.",
    "p99": "99 % of the turns are at most this long.",
    "redacted": "Words were withheld before they were recorded.",
}
#: every term that a report shows, in plain words
GLOSSARY = {**{name: f"{text[0].upper()}{text[1:]}." for name, text in CLOSED.items()}, **_TERMS}


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 turn``, ``1,200 turns``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def seconds(value: float) -> str:
    """A duration in words: seconds below two minutes, then minutes, then hours."""
    if value < 120:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def spoken_list(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""
