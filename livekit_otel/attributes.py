"""All names of spans and attributes, schemas 1 and 2. Other modules import them from here.

Each name is a string constant. :data:`REGISTRY` stores its type, its unit, whether it is content (speech, tool
payloads, names of people and rooms) and a one-line description. ``docs/attributes.md`` is generated from it.

Field names of the stage metrics come from LiveKit's metrics classes: ``metric("llm", "ttft")``. A field that this
module does not declare, of a newer LiveKit for example, is recorded under its own name with the type of its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

AttributeType = Literal["string", "int", "double", "boolean", "string[]", "double[]", "int[]"]

#: the schema that is written; earlier ones can be read
SCHEMA_VERSION = 2
SCHEMAS = (2, 1)
SCOPE = "livekit_otel"
#: Longest value that every backend stores (Tempo cuts at 2,048 bytes). Our values are never longer, ...
MAX_VALUE_BYTES = 2_000
#: ... so texts are cut at this length, and JSON is split into pieces of it, which leaves room for their prefix;
PIECE_BYTES = 1_900
#: except for the GenAI content keys, which other tools read as a whole.
GENAI_VALUE_BYTES = 256_000
NATIVE_SCOPE = "livekit-agents"
#: of the one record that a reader makes of a session report of LiveKit's, and its attribute: the report as JSON
REPORT_SCOPE, REPORT_DOCUMENT = "livekit.session_report", "document"


@dataclass(frozen=True)
class Attribute:
    """One attribute of the schema. ``unit`` is UCUM-like: ``s``, ``token``, ``char``, or empty."""

    name: str
    type: AttributeType
    unit: str
    content: bool
    brief: str


REGISTRY: dict[str, Attribute] = {}


def _define(name: str, type_: AttributeType, brief: str, *, unit: str = "", content: bool = False) -> str:
    REGISTRY[name] = Attribute(name, type_, unit, content, brief)
    return name


# --- span kinds, which are also the span names ----------------------------------------------------
KIND_SESSION = "session"
KIND_SESSION_START = "session.start"
KIND_SESSION_CHECKPOINT = "session.checkpoint"
KIND_SESSION_END = "session.end"
KIND_TURN = "turn"
KIND_VAD = "vad"
KIND_STT = "stt"
KIND_EOU = "eou"
KIND_LLM = "llm"
KIND_REALTIME = "realtime"
KIND_TOOL = "tool"
KIND_TTS = "tts"
KIND_NODE = "node"
KIND_PLAYBACK = "playback"
KIND_INTERRUPTION = "interruption"
# the job, its room and the participants
KIND_SESSION_STARTUP = "session.startup"
KIND_PARTICIPANT = "participant"
KIND_CONNECTION = "connection"
KIND_SESSION_REPORT = "session.report"

SPAN_KINDS: dict[str, str] = {
    KIND_SESSION: "one run of an AgentSession, from start() to close",
    KIND_SESSION_START: "zero length, sent when the session has started, or 0.3 s after its first event, so that its "
    "identity and options survive a crash",
    KIND_SESSION_CHECKPOINT: "zero length: carries the journal if no other span that carries it has ended recently",
    KIND_SESSION_END: "zero length: final corrections and totals, exported even if `session` is not",
    KIND_TURN: "one exchange: the user's speech, if any, and the agent's response",
    KIND_VAD: "one speech segment that VAD detected, with the VAD metrics of that time",
    KIND_STT: "speech start to final transcript",
    KIND_EOU: "user stopped speaking to turn committed",
    KIND_LLM: "one LLM request, including its retries",
    KIND_REALTIME: "one response of a speech-to-speech model",
    KIND_TOOL: "one function call",
    KIND_TTS: "one synthesis request",
    KIND_NODE: "an overridden node, on_enter or on_exit of the agent that does work of its own",
    KIND_PLAYBACK: "agent audio started to agent audio stopped",
    KIND_INTERRUPTION: "overlap or barge-in, with its verdict and its metrics",
    KIND_SESSION_STARTUP: "start() to the agent's first audio; its attributes cover the time since the job's dispatch",
    KIND_PARTICIPANT: "zero length: a participant joined the room, changed, or left, with the reason",
    KIND_CONNECTION: "the connection to the room was lost, until it was restored",
    KIND_SESSION_REPORT: "zero length: the fields that make_session_report() set after the close; "
    "the last such span counts",
}
#: Spans of the job and its room. They are not stages of the pipeline.
ROOM_KINDS = frozenset({KIND_SESSION_STARTUP, KIND_PARTICIPANT, KIND_CONNECTION, KIND_SESSION_REPORT})
STAGE_KINDS = (
    frozenset(SPAN_KINDS)
    - {
        KIND_SESSION,
        KIND_SESSION_START,
        KIND_SESSION_CHECKPOINT,
        KIND_SESSION_END,
        KIND_TURN,
    }
    - ROOM_KINDS
)

#: spans that only carry journal data and totals of the session; viewers can ignore them
BOOKKEEPING_KINDS = frozenset({KIND_SESSION_START, KIND_SESSION_CHECKPOINT, KIND_SESSION_END, KIND_SESSION_REPORT})

# --- on every pipeline span ------------------------------------------------------------------------
KIND = _define("livekit_otel.kind", "string", "Kind of the span: one of the span names above.")
SCHEMA = _define("livekit_otel.schema", "int", "Version of this schema: 2. Older traces have 1 (see upgrading.md).")
SESSION_ID = _define("livekit_otel.session.id", "string", "Unique ID of the session. Reports group spans by it.")
BACKEND_SESSION_ID = _define(
    "session.id", "string", "SID of the room if there is a job, else livekit_otel.session.id. Backends group by it."
)
CONVERSATION_ID = _define("gen_ai.conversation.id", "string", "Always equal to session.id.")
USER_ID = _define("user.id", "string", "Set by a `session_attributes` hook, never by the library itself.")
OUTCOME = _define(
    "livekit_otel.outcome",
    "string",
    "How the stage ended if it was not completed: cancelled, error, discarded (an unused preemptive generation) or "
    "not_committed (an end-of-turn check after which the turn continued). In reports also unfinished: the playback "
    "that was in progress when the trace broke off.",
)
OUTCOME_COMPLETED = "completed"
OUTCOME_CANCELLED = "cancelled"
OUTCOME_ERROR = "error"
OUTCOME_DISCARDED = "discarded"
OUTCOME_NOT_COMMITTED = "not_committed"
OUTCOME_UNFINISHED = "unfinished"
ERROR_TYPE = _define("error.type", "string", "Class name of the exception that the stage raised.")
ERROR_MESSAGE = _define(
    "livekit_otel.pii.error_message", "string", "Message of that exception. It can quote content.", content=True
)
HTTP_STATUS = _define(
    "http.response.status_code", "int", "Status code with which the provider rejected the stage's request."
)
ERROR_CLOSE_CODE = _define(
    "livekit_otel.error.close_code", "int", "Code with which the provider closed the stage's websocket (RFC 6455)."
)
ERROR_CODE = _define(
    "livekit_otel.error.code", "string", "The provider's own code of the failure, such as insufficient_quota."
)
ERROR_RETRYABLE = _define(
    "livekit_otel.error.retryable",
    "boolean",
    "Whether the plugin reports the failed request as retryable; false if its cause is reported as not retryable.",
)
ERROR_REQUEST_ID = _define("livekit_otel.error.request_id", "string", "The provider's ID of the failed request.")
SPEECH_ID = _define("livekit_otel.speech_id", "string", "ID of the LiveKit SpeechHandle that the stage worked for.")

# --- GenAI semantic conventions (own constants, because the semconv package marks its constants as moved)
OPERATION_NAME = _define("gen_ai.operation.name", "string", "GenAI operation of the span.")
OPENINFERENCE_KIND = _define(
    "openinference.span.kind",
    "string",
    "CHAIN on spans without a GenAI operation, which Phoenix and Langfuse would otherwise show as LLM spans.",
)
PROVIDER_NAME = _define("gen_ai.provider.name", "string", "Provider of the model, as LiveKit names it.")
REQUEST_MODEL = _define("gen_ai.request.model", "string", "Requested model.")
REQUEST_STREAM = _define("gen_ai.request.stream", "boolean", "Whether the response was streamed.")
RESPONSE_MODEL = _define("gen_ai.response.model", "string", "Model that generated the response.")
RESPONSE_ID = _define("gen_ai.response.id", "string", "The provider's ID of the response.")
RESPONSE_FINISH_REASONS = _define("gen_ai.response.finish_reasons", "string[]", "Why the model stopped generating.")
TIME_TO_FIRST_CHUNK = _define(
    "gen_ai.response.time_to_first_chunk",
    "double",
    "From the start of the span to the first generated token; absent if there was none.",
    unit="s",
)
OUTPUT_TYPE = _define("gen_ai.output.type", "string", "text or speech.")
AGENT_NAME = _define(
    "gen_ai.agent.name",
    "string",
    "ID of the agent: of the session the first one, of a turn the one that the user spoke to, of a stage in a turn the "
    "one that did its work, which is another one after a handoff.",
)
WORKFLOW_NAME = _define("gen_ai.workflow.name", "string", "Name of the workflow that the session represents.")
END_REASON = _define(
    "gen_ai.agent.invocation.end_reason",
    "string",
    "How the turn ended: completed, interrupted, session_closed, failed or no_reply.",
)
END_COMPLETED = "completed"
END_INTERRUPTED = "interrupted"
END_SESSION_CLOSED = "session_closed"
END_FAILED = "failed"
END_NO_REPLY = "no_reply"
#: OpenTelemetry's placeholder for values outside the known set
OTHER = "_OTHER"
TOOL_NAME = _define("gen_ai.tool.name", "string", "Name of the function tool; `_OTHER` if no such tool exists.")
TOOL_MADE_UP_NAME = _define(
    "livekit_otel.pii.tool.name", "string", "Name that the model called, if no tool has that name.", content=True
)
TOOL_TYPE = _define("gen_ai.tool.type", "string", "Always `function`.")
TOOL_CALL_ID = _define("gen_ai.tool.call.id", "string", "ID of the call, as the model gave it.")
TOOL_CALL_ARGUMENTS = _define("gen_ai.tool.call.arguments", "string", "Arguments as JSON text.", content=True)
TOOL_CALL_RESULT = _define("gen_ai.tool.call.result", "string", "Return value of the tool, as text.", content=True)
INPUT_MESSAGES = _define(
    "gen_ai.input.messages", "string", "JSON: messages of the request (see `llm_input`).", content=True
)
OUTPUT_MESSAGES = _define("gen_ai.output.messages", "string", "JSON: the response of the model.", content=True)
SYSTEM_INSTRUCTIONS = _define(
    "gen_ai.system_instructions", "string", "JSON: instructions of the request.", content=True
)
USAGE_INPUT_TOKENS = _define("gen_ai.usage.input_tokens", "int", "Tokens of the request.", unit="token")
USAGE_OUTPUT_TOKENS = _define("gen_ai.usage.output_tokens", "int", "Tokens of the response.", unit="token")
USAGE_CACHE_READ = _define(
    "gen_ai.usage.cache_read.input_tokens", "int", "Input tokens served from the prompt cache.", unit="token"
)
USAGE_CACHE_WRITE = _define(
    "gen_ai.usage.cache_creation.input_tokens", "int", "Input tokens written to the prompt cache.", unit="token"
)
#: the name on LiveKit's own spans; ours never use it
NATIVE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
USAGE_PREFIX = "gen_ai.usage."
#: Prefixes under which other instrumentations record tokens and costs, and those for costs alone.
BILLED_PREFIXES = (USAGE_PREFIX, "llm.token_count.", "llm.usage.", "llm.cost.", "ai.usage.")
COST_PREFIXES = ("gen_ai.usage.cost", "llm.cost.")
#: Usage by modality, as on our spans and LiveKit's; ``{}`` is text, audio or image.
USAGE_MODALITY_INPUT = "gen_ai.usage.{}.input_tokens"
USAGE_MODALITY_OUTPUT = "gen_ai.usage.{}.output_tokens"
USAGE_MODALITY_CACHE_READ = "gen_ai.usage.{}.cache_read.input_tokens"
#: LiveKit spans that carry the usage of a request. Spans of other instrumentations below them repeat it.
NATIVE_REQUESTS = frozenset({"llm_request", "realtime_inference", "decision_model.evaluate"})
USAGE_REASONING = _define(
    "gen_ai.usage.reasoning.output_tokens", "int", "Output tokens spent on hidden reasoning.", unit="token"
)
USAGE_TEXT_INPUT = _define("gen_ai.usage.text.input_tokens", "int", "Text part of the input tokens.", unit="token")
USAGE_AUDIO_INPUT = _define("gen_ai.usage.audio.input_tokens", "int", "Audio part of the input tokens.", unit="token")
USAGE_IMAGE_INPUT = _define("gen_ai.usage.image.input_tokens", "int", "Image part of the input tokens.", unit="token")
USAGE_TEXT_OUTPUT = _define("gen_ai.usage.text.output_tokens", "int", "Text part of the output tokens.", unit="token")
USAGE_AUDIO_OUTPUT = _define(
    "gen_ai.usage.audio.output_tokens", "int", "Audio part of the output tokens.", unit="token"
)

GENAI_CONTENT = frozenset({TOOL_CALL_ARGUMENTS, TOOL_CALL_RESULT, INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS})

# --- session ---------------------------------------------------------------------------------------
SESSION_JOB_ID = _define("livekit_otel.session.job_id", "string", "LiveKit job ID.")
SESSION_ROOM_ID = _define("livekit_otel.session.room_id", "string", "LiveKit room SID.")
SESSION_ROOM = _define("livekit_otel.pii.session.room", "string", "LiveKit room name.", content=True)
SESSION_SDK_VERSION = _define("livekit_otel.session.sdk_version", "string", "Version of livekit-agents.")
SESSION_STARTED_AT = _define("livekit_otel.session.started_at", "double", "Unix time of the call of start().", unit="s")
SESSION_NATIVE = _define(
    "livekit_otel.session.native_spans", "boolean", "Whether LiveKit's own spans reach the same provider."
)
SESSION_REDACTED = _define("livekit_otel.session.redacted", "boolean", "Whether content was withheld.")
SESSION_REDACTED_IN_PART = _define(
    "livekit_otel.session.redacted_in_part",
    "boolean",
    "True if the user's redact function processed content before it was recorded.",
)
SESSION_REDACT_FAILED = _define(
    "livekit_otel.session.redact_failed",
    "int",
    "On session.end: texts that were withheld because the user's redact function raised or did not return a string.",
)
SESSION_CLOSE_REASON = _define("livekit_otel.session.close_reason", "string", "LiveKit's CloseReason.")
SESSION_SPAN_COUNT = _define(
    "livekit_otel.session.span_count", "int", "On session.end: number of the session's pipeline spans, of all kinds."
)
SESSION_ENTRYPOINT_FAILED = _define(
    "livekit_otel.session.entrypoint_failed",
    "boolean",
    "True if the job's entrypoint had raised the exception in error.type when the session ended; else absent.",
)
SESSION_ENDED_BY = _define(
    "livekit_otel.session.ended_by",
    "string",
    "On session.end: what ended the trace: close (LiveKit closed the session), failed_close, failed_start, "
    "uninstrumented, garbage_collected or process_exit.",
)
SESSION_CLOSING = _define(
    "livekit_otel.session.closing", "double", "On session.end: time since the close was called.", unit="s"
)
ENDED_CLOSE = "close"
ENDED_FAILED_CLOSE = "failed_close"
ENDED_FAILED_START = "failed_start"
ENDED_UNINSTRUMENTED = "uninstrumented"
ENDED_COLLECTED = "garbage_collected"
ENDED_PROCESS_EXIT = "process_exit"
SESSION_CLOCK_STEP = _define(
    "livekit_otel.session.clock_step",
    "double",
    "On session.end: how far the wall clock was adjusted during the session, negative if it was set back; absent "
    "below 50 ms.",
    unit="s",
)
SESSION_LOST = _define(
    "livekit_otel.session.lost_entries",
    "int",
    "On session.end: journal entries that are missing or incomplete, because they were too large or could not be "
    "encoded as JSON.",
)
SESSION_FAILED = _define(
    "livekit_otel.session.failed_entries",
    "int",
    "On session.end, if there are lost_entries: how many of them could not be encoded as JSON.",
)
SESSION_DROPPED = _define(
    "livekit_otel.session.dropped_spans",
    "int",
    "On session.end: spans of its trace that the exporters of the process had lost by then (queue full, or rejected), "
    "summed over the exporters; absent if there were none.",
)

# --- the job, its room and the participants ---------------------------------------------------------
JOB_DISPATCH_ID = _define("livekit_otel.job.dispatch_id", "string", "ID of the dispatch that created the job.")
JOB_WORKER_ID = _define("livekit_otel.job.worker_id", "string", "ID of the worker that accepted the job.")
JOB_REGION = _define(
    "livekit_otel.job.region", "string", "Region of an agent that LiveKit Cloud hosts (LIVEKIT_REGION_NAME)."
)
JOB_DEPLOYMENT = _define("livekit_otel.job.deployment", "string", "LiveKit's deployment that the dispatch named.")
JOB_METADATA = _define(
    "livekit_otel.pii.job.metadata", "string", "Metadata of the dispatch, cut at 1,900 bytes.", content=True
)
ROOM_METADATA = _define(
    "livekit_otel.pii.room.metadata", "string", "Metadata of the room, cut at 1,900 bytes.", content=True
)
PARTICIPANT_EVENT = _define(
    "livekit_otel.participant.event",
    "string",
    "On participant: joined (or was already present), changed (name, metadata, attributes), muted or unmuted (the "
    "microphone), or left.",
)
PARTICIPANT_SID = _define(
    "livekit_otel.participant.sid",
    "string",
    "LiveKit's ID of the participant. On session, this and all other participant.* and sip.* describe the caller.",
)
PARTICIPANT_KIND = _define(
    "livekit_otel.participant.kind", "string", "standard, sip, connector, agent, ingress, egress, bridge."
)
PARTICIPANT_CALLER = _define(
    "livekit_otel.participant.caller", "boolean", "On participant: whether the session listens to this participant."
)
PARTICIPANT_REASON = _define(
    "livekit_otel.participant.disconnect_reason",
    "string",
    "Why the participant left: LiveKit's DisconnectReason in lower case.",
)
PARTICIPANT_IDENTITY = _define(
    "livekit_otel.pii.participant.identity", "string", "The participant's identity.", content=True
)
PARTICIPANT_NAME = _define("livekit_otel.pii.participant.name", "string", "The participant's name.", content=True)
PARTICIPANT_METADATA = _define(
    "livekit_otel.pii.participant.metadata", "string", "The participant's metadata, cut at 1,900 bytes.", content=True
)
PARTICIPANT_ATTRIBUTES = _define(
    "livekit_otel.pii.participant.attributes",
    "string",
    "JSON object: the participant's attributes, as many as fit into 1,900 bytes.",
    content=True,
)
#: LiveKit's participant attribute of a telephone caller -> our attribute
SIP = {
    "sip.callID": _define("livekit_otel.sip.call_id", "string", "LiveKit's ID of the telephone call."),
    "sip.callIDFull": _define("livekit_otel.sip.call_id_full", "string", "The provider's SIP Call-ID."),
    "sip.callStatus": _define("livekit_otel.sip.call_status", "string", "LiveKit's status of the call."),
    "sip.ruleID": _define("livekit_otel.sip.rule_id", "string", "ID of the dispatch rule."),
    "sip.trunkID": _define("livekit_otel.sip.trunk_id", "string", "ID of the trunk."),
    "sip.hostname": _define(
        "livekit_otel.pii.sip.hostname", "string", "The host of the other side of the telephone call.", content=True
    ),
    "sip.phoneNumber": _define(
        "livekit_otel.pii.sip.phone_number", "string", "The caller's telephone number.", content=True
    ),
    "sip.trunkPhoneNumber": _define(
        "livekit_otel.pii.sip.trunk_phone_number", "string", "The dialled telephone number.", content=True
    ),
}
AMD_CATEGORY = _define(
    "livekit_otel.amd.category",
    "string",
    "On session: who answered, by LiveKit's answering machine detection: human, machine-ivr, machine-vm and so on.",
)
AMD_DELAY = _define(
    "livekit_otel.amd.delay", "double", "On session: from the end of the callee's speech to that verdict.", unit="s"
)
AMD_SPEECH_DURATION = _define(
    "livekit_otel.amd.speech_duration", "double", "On session: how long the callee had spoken by then.", unit="s"
)
CONNECTION_EVENT = _define(
    "livekit_otel.connection.event",
    "string",
    "How the outage ended: reconnected, disconnected (permanently), or session_ended before either.",
)
CONNECTION_REASON = _define(
    "livekit_otel.connection.disconnect_reason", "string", "Reason of the permanent disconnection, in lower case."
)
_STARTUP_BRIEF = {
    "accept": "From the availability request until the worker's request handler accepted the job.",
    "assign": "From acceptance until the server's assignment arrived.",
    "process": "From assignment until the pool provided a process, which can include its start and prewarming.",
    "job": "From that process to the call of the entrypoint.",
    "setup": "From the entrypoint to the call of AgentSession.start(), without the time in `room`.",
    "room": "Inside JobContext.connect(), if it was called before the first audio.",
    "session": "Inside AgentSession.start(), without the time in `room`.",
    "first_audio": "From the return of start() to the agent's first audio, without the time in `room`.",
}
#: The stages from dispatch to the first audio, in order.
STARTUP_STAGES = tuple(_STARTUP_BRIEF)


def startup(stage: str) -> str:
    """Attribute name of a startup stage."""
    return f"livekit_otel.startup.{stage}"


for _name, _text in _STARTUP_BRIEF.items():
    _define(startup(_name), "double", f"{_text} On session.start: the value known by then.", unit="s")
STARTUP_TOTAL = _define(
    "livekit_otel.startup.total",
    "double",
    "Sum of the stages: from the job's dispatch, or from the earliest known moment, to the agent's first audio; "
    "absent if there was no audio.",
    unit="s",
)
STARTUP_USER_FIRST = _define(
    "livekit_otel.startup.user_first",
    "boolean",
    "Whether the first audio answered the user, so that startup.first_audio includes the user's speech.",
)
SESSION_REPORT_FOLLOWS = _define(
    "livekit_otel.session.report_follows",
    "boolean",
    "On session.end: LiveKit runs the session's job and makes a report after on_session_end, so a session.report "
    "with `final` follows.",
)
TURN_UNFINISHED = _define(
    "livekit_otel.turn.unfinished",
    "boolean",
    "The agent was audible, but the process ended before its message entered the conversation: agent_text is the text "
    "that was synthesised by then, of which the user heard a part.",
)
REPORT_FINAL = _define(
    "livekit_otel.report.final",
    "boolean",
    "On session.report: LiveKit made the report itself, after on_session_end; no later report is made.",
)

# --- journal ---------------------------------------------------------------------------------------
JOURNAL_PREFIX = "livekit_otel.journal.p"
PII_JOURNAL_PREFIX = "livekit_otel.pii.journal.p"
JOURNAL_BATCHES = _define("livekit_otel.journal.batches", "int", "On session.end: total number of journal batches.")
MAX_JOURNAL_PIECES = 40


@lru_cache(maxsize=2 * MAX_JOURNAL_PIECES)
def journal_piece(number: int, *, pii: bool) -> str:
    """Attribute name of journal piece ``number`` on a span."""
    return f"{PII_JOURNAL_PREFIX if pii else JOURNAL_PREFIX}{number:03d}"


# --- turn ------------------------------------------------------------------------------------------
TURN_INDEX = _define(
    "livekit_otel.turn.index", "int", "Index of the turn in its session, from 0; on the turn and on its stages."
)
TURN_SPEECH_IDS = _define("livekit_otel.turn.speech_ids", "string[]", "IDs of the turn's LiveKit SpeechHandles.")
TURN_SPEECH_END_SOURCE = _define(
    "livekit_otel.turn.speech_end_source",
    "string",
    "Source of the time at which the user stopped speaking: vad, stt, server (of a realtime model), commit (the user "
    "was still speaking), typed (arrival of the input) or unknown.",
)
SPEECH_END_TYPED = "typed"
TURN_CONTINUES = _define(
    "livekit_otel.turn.continues", "int", "Index of an earlier turn whose tool ran past its end and caused this speech."
)
TURN_TOOL_OUTLIVES = _define(
    "livekit_otel.turn.tool_outlives", "boolean", "A tool of the turn, or an `on_enter`, ran beyond its end."
)
TURN_MODELS = _define("livekit_otel.turn.models", "string[]", "Models used, as provider/model.")
TURN_LLM_MODEL = _define(
    "livekit_otel.turn.llm_model",
    "string",
    "The last LLM or realtime model used in the turn, as in gen_ai.request.model of its spans.",
)
TURN_STT_MODEL = _define("livekit_otel.turn.stt_model", "string", "The last STT model used in the turn.")
TURN_TTS_MODEL = _define("livekit_otel.turn.tts_model", "string", "The last TTS model used in the turn.")
TURN_USER_TEXT = _define(
    "livekit_otel.pii.turn.user_text", "string", "The user's words, cut at 1,900 bytes.", content=True
)
TURN_AGENT_TEXT = _define(
    "livekit_otel.pii.turn.agent_text", "string", "The agent's words, cut at 1,900 bytes.", content=True
)
TURN_HAS_USER = _define(
    "livekit_otel.turn.has_user", "boolean", "Whether the user took part in the turn; false for a greeting."
)

#: Numeric fields of LiveKit's MetricsReport.
REPORTED_METRICS = (
    "started_speaking_at",
    "stopped_speaking_at",
    "transcription_delay",
    "end_of_turn_delay",
    "on_user_turn_completed_delay",
    "llm_node_ttft",
    "llm_node_tps",
    "llm_node_ttfs",
    "tts_node_ttfb",
    "playback_latency",
    "e2e_latency",
)
for _name in REPORTED_METRICS:
    _define(
        f"livekit_otel.turn.reported.{_name}",
        "double",
        f"{_name} as LiveKit reports it in ChatMessage.metrics (the two times: of the user's message).",
        unit="s" if not _name.endswith("tps") else "token/s",
    )


def reported(name: str) -> str:
    """Attribute name of a latency that LiveKit reported in ``ChatMessage.metrics``."""
    return f"livekit_otel.turn.reported.{name}"


# --- stages ----------------------------------------------------------------------------------------
TTS_FIRST_BYTE = _define(
    "livekit_otel.tts.time_to_first_byte", "double", "From the start of the span to the first audio.", unit="s"
)
TTS_FIRST_TEXT = _define(
    "livekit_otel.tts.time_to_first_text",
    "double",
    "From the start of the span to the first text that reached the provider, including retries.",
    unit="s",
)
LLM_ATTEMPTS = _define("livekit_otel.llm.attempts", "int", "Number of attempts, if more than one.")
TTS_ATTEMPTS = _define("livekit_otel.tts.attempts", "int", "Number of attempts, if more than one.")
LLM_RETRIED_FOR = _define(
    "livekit_otel.llm.retried_for", "string[]", "Error types of the attempts that were retried, at most 8."
)
TTS_RETRIED_FOR = _define(
    "livekit_otel.tts.retried_for", "string[]", "Error types of the attempts that were retried, at most 8."
)
STT_RETRIED_FOR = _define(
    "livekit_otel.stt.retried_for",
    "string[]",
    "Error types that made the STT reconnect since the previous transcript, at most 8.",
)
LLM_RETRIED_CODES, TTS_RETRIED_CODES, STT_RETRIED_CODES = (
    _define(
        f"livekit_otel.{_stage}.retried_codes",
        "int[]",
        "HTTP status codes or WebSocket close codes of those attempts, in order; attempts without a code are left out.",
    )
    for _stage in ("llm", "tts", "stt")
)
LLM_OWN = _define(
    "livekit_otel.llm.own",
    "boolean",
    "True on a request outside the conversation: made by a tool, by a hook or by answering machine detection.",
)
LLM_INPUT_COUNT = _define("livekit_otel.llm.input_messages", "int", "Number of messages in the request.")
LLM_PREEMPTIVE = _define(
    "livekit_otel.llm.preemptive", "boolean", "Whether the request was made before the user's turn was committed."
)
VAD_SPEECH = _define("livekit_otel.vad.speech", "boolean", "False on a span that only carries metrics of silence.")
STT_SPEECH = _define(
    "livekit_otel.stt.speech", "boolean", "False on a span that only carries usage reported after the last transcript."
)
VAD_SERVER = _define(
    "livekit_otel.vad.server", "boolean", "True if only a realtime model's server detected the speech, and no VAD."
)
VAD_METRICS_COUNT = _define("livekit_otel.vad.metrics_count", "int", "Number of VADMetrics events summed on the span.")
STT_METRICS_COUNT = _define("livekit_otel.stt.metrics_count", "int", "Number of STTMetrics events summed on the span.")
STT_TEXT = _define("livekit_otel.pii.stt.text", "string", "The final transcript.", content=True)
STT_SPOKEN = _define(
    "livekit_otel.stt.speech_duration",
    "double",
    "How long the user spoke from the start of the span on, if the recognizer alone detected that, without VAD.",
    unit="s",
)
STT_CONFIDENCE = _define(
    "livekit_otel.stt.confidence",
    "double",
    "Confidence of the final transcript, 0 to 1; absent if the STT does not report it.",
)
STT_REQUEST_IDS = _define(
    "livekit_otel.stt.provider_request_ids",
    "string[]",
    "The provider's distinct IDs of the requests that the transcript and its usage came from, at most 16.",
)
STT_LANGUAGE = _define("livekit_otel.stt.language", "string", "Language of the transcript.")
EOU_SPEECH_DURATION = _define(
    "livekit_otel.eou.speech_duration",
    "double",
    "How long the user spoke according to the STT, if there is no VAD.",
    unit="s",
)
SPEECH_VOICE = _define(
    "gen_ai.speech.voice",
    "string",
    "Name or ID of the voice, under its name in a draft of the GenAI conventions, which can still change. On tts and "
    "realtime spans; absent if the plugin does not say it.",
)
SPEECH_INPUT_LANGUAGE = _define(
    "gen_ai.speech.input.language",
    "string",
    "Language of the transcript under its name in a draft of the GenAI conventions, which can still change.",
)
EOU_SOURCE = _define(
    "livekit_otel.eou.speech_end_source",
    "string",
    "Source of the time at which the user stopped speaking, and start of the span: vad, stt, commit (the user "
    "was still speaking) or unknown (the span starts at the decision, and the wait is unknown).",
)
EOU_TRIGGER = _define(
    "livekit_otel.eou.trigger",
    "string",
    "What triggered LiveKit's end-of-turn check: vad, stt or manual (code).",
)
EOU_DETECTION = _define(
    "livekit_otel.eou.turn_detection",
    "string",
    "Turn detection mode of the session: vad, stt, manual, realtime_llm, or model (an end-of-turn detector).",
)
EOU_DETECTOR = _define("livekit_otel.eou.detector", "string", "Name of the end-of-turn detector's model.")
EOU_PROBABILITY = _define(
    "livekit_otel.eou.probability", "double", "The detector's probability that the user has finished, 0 to 1."
)
EOU_THRESHOLD = _define(
    "livekit_otel.eou.unlikely_threshold",
    "double",
    "Below this probability LiveKit waits for max_delay instead of min_delay.",
)
EOU_DELAY = _define(
    "livekit_otel.eou.endpointing_delay",
    "double",
    "Endpointing delay that LiveKit chose, measured from the end of the user's speech: min_delay, or max_delay if the "
    "probability was below the threshold.",
    unit="s",
)
EOU_MIN_DELAY = _define(
    "livekit_otel.eou.min_delay", "double", "Minimum endpointing delay then; dynamic endpointing changes it.", unit="s"
)
EOU_MAX_DELAY = _define(
    "livekit_otel.eou.max_delay", "double", "Maximum endpointing delay then; dynamic endpointing changes it.", unit="s"
)
EOU_HELD = _define(
    "livekit_otel.eou.held",
    "double",
    "How long LiveKit delayed on_user_turn_completed after the commit because of work of an earlier turn.",
    unit="s",
)
EOU_HELD_BY = _define("livekit_otel.eou.held_by", "string", "Kind of that work: tool or hook.")
EOU_HELD_TURN = _define("livekit_otel.eou.held_turn", "int", "Index of the turn that the work belonged to.")
EOU_COMMITTED = _define("livekit_otel.eou.committed", "boolean", "Whether the user's turn was committed.")
EOU_HOOK = _define(
    "livekit_otel.eou.hook_duration",
    "double",
    "How long on_user_turn_completed ran if LiveKit does not report it: it requested no reply, or was cancelled.",
    unit="s",
)
NODE_NAME = _define(
    "livekit_otel.node.name",
    "string",
    "Method of the agent: one of its five nodes, on_enter or on_exit. Only methods that the user's class overrides.",
)
NODE_FIRST_OUTPUT = _define(
    "livekit_otel.node.time_to_first_output",
    "double",
    "From the start of the span to the first text, tool call or audio that the node yielded; absent if there was none.",
    unit="s",
)
NODE_OWN_WORK = _define(
    "livekit_otel.node.own_work",
    "double[]",
    "Periods before output in which the node worked, no request inside it did, and the agent waited: start and end of "
    "each, in seconds from the start of the span. Absent on on_enter and on_exit, whose whole span is own work.",
)
TTS_TEXT = _define("livekit_otel.pii.tts.text", "string", "The synthesised text.", content=True)
TOOL_STATUS = _define("livekit_otel.tool.status", "string", "LiveKit's status: done, error or cancelled.")
TOOL_UPDATES = _define("livekit_otel.tool.updates", "int", "Number of progress updates that the tool sent.")
PLAYBACK_POSITION = _define("livekit_otel.playback.position", "double", "Duration of the played audio.", unit="s")
PLAYBACK_INTERRUPTED = _define("livekit_otel.playback.interrupted", "boolean", "Whether the playout was cut off.")
PLAYBACK_SPEECH_AGE = _define(
    "livekit_otel.playback.speech_age", "double", "From the creation of the speech to its playout.", unit="s"
)
PLAYBACK_PAUSES = _define(
    "livekit_otel.playback.pauses",
    "double[]",
    "Pairs of pause and resume times, from the start of the playout; the last pair may lack its end.",
    unit="s",
)
PLAYBACK_HELD_BY = _define(
    "livekit_otel.playback.held_by",
    "string",
    "What LiveKit made the speech wait for before its playout: amd (answering machine detection), speech (another "
    "speech was playing) or user (the user was speaking).",
)
PLAYBACK_RELEASE_DELAY = _define(
    "livekit_otel.playback.release_delay", "double", "From the end of that wait to the start of the span.", unit="s"
)
INTERRUPTION_CAUSE = _define(
    "livekit_otel.interruption.cause", "string", "user (speech or text of the user) or programmatic."
)
INTERRUPTION_VERDICT = _define(
    "livekit_otel.interruption.verdict", "string", "interruption, false_interruption, backchannel or unknown."
)
VERDICT_INTERRUPTION = "interruption"
VERDICT_FALSE_INTERRUPTION = "false_interruption"
VERDICT_BACKCHANNEL = "backchannel"
VERDICT_UNKNOWN = "unknown"
INTERRUPTION_RESUMED = _define(
    "livekit_otel.interruption.resumed", "boolean", "Whether the agent resumed speaking after a false interruption."
)
INTERRUPTION_PROBABILITY = _define(
    "livekit_otel.interruption.probability", "double", "Probability from the adaptive interruption model."
)
REALTIME_RESPONSE = _define(
    "livekit_otel.realtime.response",
    "boolean",
    "False on a span that only carries metrics of a connection, or of a response whose own span had already ended.",
)
REALTIME_FIRST_AUDIO = _define(
    "livekit_otel.realtime.time_to_first_audio", "double", "From the start of the span to the first audio.", unit="s"
)

# --- stage metrics ---------------------------------------------------------------------------------
_METADATA: dict[str, AttributeType] = {"metadata.model_name": "string", "metadata.model_provider": "string"}
#: stage prefix -> field -> type; the fields of LiveKit 1.8.9.
STAGE_METRICS: dict[str, dict[str, AttributeType]] = {
    "vad": {
        "label": "string",
        "timestamp": "double",
        "idle_time": "double",
        "inference_duration_total": "double",
        "inference_count": "int",
        **_METADATA,
    },
    "stt": {
        "label": "string",
        "request_id": "string",
        "timestamp": "double",
        "duration": "double",
        "audio_duration": "double",
        "streamed": "boolean",
        "input_tokens": "int",
        "output_tokens": "int",
        "total_tokens": "int",
        "input_audio_tokens": "int",
        "acquire_time": "double",
        "connection_reused": "boolean",
        **_METADATA,
    },
    "eou": {
        "timestamp": "double",
        "end_of_utterance_delay": "double",
        "transcription_delay": "double",
        "on_user_turn_completed_delay": "double",
        "speech_id": "string",
        **_METADATA,
    },
    "eot": {
        "timestamp": "double",
        "total_duration": "double",
        "detection_delay": "double",
        "prediction_duration": "double",
        "num_requests": "int",
        **_METADATA,
    },
    "llm": {
        "label": "string",
        "request_id": "string",
        "timestamp": "double",
        "duration": "double",
        "ttft": "double",
        "cancelled": "boolean",
        "completion_tokens": "int",
        "prompt_tokens": "int",
        "prompt_cached_tokens": "int",
        "cache_creation_tokens": "int",
        "reasoning_tokens": "int",
        "total_tokens": "int",
        "tokens_per_second": "double",
        "speech_id": "string",
        **_METADATA,
    },
    "decision": {
        "label": "string",
        "request_id": "string",
        "timestamp": "double",
        "duration": "double",
        "input_tokens": "int",
        "output_tokens": "int",
        **_METADATA,
    },
    "realtime": {
        "label": "string",
        "request_id": "string",
        "timestamp": "double",
        "duration": "double",
        "session_duration": "double",
        "ttft": "double",
        "cancelled": "boolean",
        "input_tokens": "int",
        "output_tokens": "int",
        "total_tokens": "int",
        "tokens_per_second": "double",
        "input_token_details.audio_tokens": "int",
        "input_token_details.text_tokens": "int",
        "input_token_details.image_tokens": "int",
        "input_token_details.cached_tokens": "int",
        "input_token_details.cached_tokens_details.audio_tokens": "int",
        "input_token_details.cached_tokens_details.text_tokens": "int",
        "input_token_details.cached_tokens_details.image_tokens": "int",
        "output_token_details.text_tokens": "int",
        "output_token_details.audio_tokens": "int",
        "output_token_details.image_tokens": "int",
        "acquire_time": "double",
        "connection_reused": "boolean",
        **_METADATA,
    },
    "tts": {
        "label": "string",
        "request_id": "string",
        "timestamp": "double",
        "ttfb": "double",
        "duration": "double",
        "audio_duration": "double",
        "cancelled": "boolean",
        "characters_count": "int",
        "input_tokens": "int",
        "output_tokens": "int",
        "streamed": "boolean",
        "acquire_time": "double",
        "connection_reused": "boolean",
        "segment_id": "string",
        "speech_id": "string",
        **_METADATA,
    },
    "interruption": {
        "timestamp": "double",
        "total_duration": "double",
        "prediction_duration": "double",
        "detection_delay": "double",
        "num_interruptions": "int",
        "num_backchannels": "int",
        "num_requests": "int",
        **_METADATA,
    },
    "avatar": {
        "timestamp": "double",
        "playback_latency": "double",
        "session_started_time": "double",
        "avatar_joined_time": "double",
        **_METADATA,
    },
}
_METRICS_CLASS = {
    "vad": "VADMetrics",
    "stt": "STTMetrics",
    "eou": "EOUMetrics",
    "eot": "EOTInferenceMetrics",
    "llm": "LLMMetrics",
    "decision": "DecisionMetrics",
    "realtime": "RealtimeModelMetrics",
    "tts": "TTSMetrics",
    "interruption": "InterruptionMetrics",
    "avatar": "AvatarMetrics",
}


@lru_cache(maxsize=1024)
def metric(stage: str, field: str) -> str:
    """Attribute name of a field of a stage's metrics. ``field`` may be a dotted path into nested models."""
    return f"livekit_otel.{stage}.{field}"


def _unit(field: str) -> str:
    if field.endswith("_tokens"):
        return "token"
    if field == "tokens_per_second":
        return "token/s"
    if field == "characters_count":
        return "char"
    seconds = ("_time", "duration", "_delay", "_total", "_latency", "ttft", "ttfb", "timestamp")
    return "s" if field.endswith(seconds) else ""


for _stage, _fields in STAGE_METRICS.items():
    for _field, _type in _fields.items():
        _define(
            metric(_stage, _field), _type, f"{_METRICS_CLASS[_stage]}.{_field} of LiveKit Agents.", unit=_unit(_field)
        )


def is_content(name: str) -> bool:
    """Whether an attribute of this name holds content, by the rule of LiveKit's own filter."""
    return name in GENAI_CONTENT or "pii" in name.split(".")


#: Names of the schema whose values users may set for their sessions.
USERS_NAMES = frozenset({BACKEND_SESSION_ID, CONVERSATION_ID, USER_ID})


def is_reserved(name: str) -> bool:
    """Whether only the library may set this attribute: declared names, our prefix, and names that count or bill use."""
    if name in USERS_NAMES:
        return False
    return name in REGISTRY or f"{name}.".startswith(f"{SCOPE}.") or name.startswith((*BILLED_PREFIXES, *COST_PREFIXES))


def type_of(name: str) -> AttributeType | None:
    """Declared type of a pipeline attribute, or None for names that the schema does not declare."""
    known = REGISTRY.get(name)
    if known is not None:
        return known.type
    return "string" if name.startswith((JOURNAL_PREFIX, PII_JOURNAL_PREFIX, TURN_LATE_PREFIX)) else None


# --- derived on turns and sessions ---
# TurnSpanProcessor sets these on live spans. Reports compute them from stage spans, and never read them.
#: Stages that the silence before an answer is attributed to; the parts of a turn sum to its e2e_latency.
SILENCE_STAGES = ("transcription", "eou", "hook", "node", "llm", "tool", "tts", "playback", "other")
SILENCE_EOU, SILENCE_HOOK = SILENCE_STAGES[1:3]
_SILENCE_BRIEF = {
    "transcription": "for the final transcript",
    "eou": "for the decision that the user's turn was over",
    "hook": "for Agent.on_user_turn_completed, on_enter or on_exit",
    "node": "for an overridden node's own work",
    "llm": "for text (or a realtime model's audio)",
    "tool": "for function tools",
    "tts": "for the first audio of synthesis",
    "playback": "for audio to start playing once it existed (avatars, queues)",
    "other": "for something that no span explains",
}
#: Latencies for which sessions have percentiles.
SUMMARY_LATENCIES = (
    "transcription_delay",
    "end_of_turn_delay",
    "on_user_turn_completed_delay",
    "llm_node_ttft",
    "llm_node_ttfs",
    "tts_node_ttfb",
    "playback_latency",
    "answer_latency",
    "dead_air",
    "wait",
    "e2e_latency",
)
SUMMARY_POINTS = ("p50", "p90", "p95", "p99", "max")
#: Sums over models: attribute field -> (LiveKit's usage type, its field).
USAGE_SUMS: dict[str, tuple[str, str]] = {
    "llm_input_tokens": ("llm_usage", "input_tokens"),
    "llm_input_cached_tokens": ("llm_usage", "input_cached_tokens"),
    "llm_output_tokens": ("llm_usage", "output_tokens"),
    "tts_characters_count": ("tts_usage", "characters_count"),
    "tts_audio_duration": ("tts_usage", "audio_duration"),
    "stt_audio_duration": ("stt_usage", "audio_duration"),
}
DISCARDED_SUMS = ("llm_input_tokens", "llm_output_tokens", "tts_characters_count")

#: Derived latencies of a turn that LiveKit does not define, with their descriptions.
_WAIT_BRIEF = {
    "answer_latency": "From the end of the user's speech to the answer; a preamble or a filler is not an answer.",
    "dead_air": "Silence after the agent's first words while it still owed speech; the whole wait if it said nothing.",
    "wait": "The user's whole wait: the sum of e2e_latency and dead_air.",
}
#: Derived latencies of a turn: those that LiveKit does not define, and all of them.
WHOLE_WAIT = tuple(_WAIT_BRIEF)
DERIVED_LATENCIES = (*REPORTED_METRICS, *WHOLE_WAIT)
for _name in REPORTED_METRICS:
    _define(
        f"livekit_otel.turn.latency.{_name}",
        "double",
        f"{_name} as derived from the turn's stage spans (the two times: of the user).",
        unit="s" if not _name.endswith("tps") else "token/s",
    )
for _name, _brief in _WAIT_BRIEF.items():
    _define(f"livekit_otel.turn.latency.{_name}", "double", _brief, unit="s")
for _name in SILENCE_STAGES:
    _define(
        f"livekit_otel.turn.gap.{_name}",
        "double",
        f"Part of dead_air in which the user waited {_SILENCE_BRIEF[_name]}.",
        unit="s",
    )
TURN_GAPS = _define(
    "livekit_otel.turn.gaps",
    "string",
    "JSON: the silences that dead_air consists of, in order, each as [start in Unix seconds, [[stage, seconds], ...]].",
)
TURN_ANSWERED = _define(
    "livekit_otel.turn.answered", "string", "Whether the user got an answer: yes, text (in writing only) or no."
)
TURN_WHY_NOT = _define(
    "livekit_otel.turn.why_not", "string", "Why there was no answer: failed, interrupted, session_closed or no_reply."
)
TURN_FALSE_CUTOFF = _define(
    "livekit_otel.turn.false_cutoff",
    "boolean",
    "Whether the turn was committed while the user only paused. The user's further speech is not an interruption.",
)
TURN_ACKNOWLEDGED = _define(
    "livekit_otel.turn.acknowledged", "boolean", "Whether the agent said a preamble or a filler while the user waited."
)
for _name in SILENCE_STAGES:
    _define(
        f"livekit_otel.turn.silence.{_name}",
        "double",
        f"Part of e2e_latency in which the answer waited {_SILENCE_BRIEF[_name]}.",
        unit="s",
    )
TURN_NOTES = _define(
    "livekit_otel.turn.notes", "string[]", "Reported latencies that differ from the derived ones by more than 5 ms."
)
#: Flags mark turns that need attention, and their sessions.
FLAG_SLOW = "slow"
FLAG_DEAD_AIR = "dead_air"
FLAG_NEVER_ANSWERED = "never_answered"
FLAG_FAILED = "failed"
FLAG_FALSE_CUTOFF = "false_cutoff"
FLAG_INTERRUPTED = "interrupted"
_FLAG_BRIEF = {
    FLAG_DEAD_AIR: ("s", "dead_air of a turn that is flagged for it"),
    FLAG_FAILED: (
        "{failure}",
        "Number of failed stages in a turn that ended with a failure; 1 if other code failed",
    ),
    FLAG_FALSE_CUTOFF: ("s", "From the commit until the user, who had only paused, spoke again"),
    FLAG_INTERRUPTED: ("{interruption}", "Number of interruptions of the agent in the turn"),
    FLAG_NEVER_ANSWERED: ("s", "How long the user waited for an answer that never came"),
    FLAG_SLOW: ("s", "e2e_latency of a turn that is flagged for it"),
}
FLAG_NAMES = tuple(_FLAG_BRIEF)
#: Flags that have a threshold.
THRESHOLD_NAMES = (FLAG_SLOW, FLAG_DEAD_AIR)
FLAGS = _define(
    "livekit_otel.flags",
    "string[]",
    f"Flags of the turn, or of any turn of the session, sorted: {', '.join(FLAG_NAMES)}.",
)
for _name, (_unit_name, _brief) in _FLAG_BRIEF.items():
    _define(f"livekit_otel.signal.{_name}", "double", f"{_brief}; on the session: of its worst turn.", unit=_unit_name)
    _define(f"livekit_otel.session.flagged.{_name}", "int", f"Number of turns with the flag {_name}.")
for _name in THRESHOLD_NAMES:
    _define(
        f"livekit_otel.session.threshold.{_name}",
        "double",
        f"Threshold from which turns were flagged as {_name} during the call.",
        unit="s",
    )
for _scope, _what in (("turn", "turn"), ("session", "session")):
    for _name, (_type_name, _field) in USAGE_SUMS.items():
        _define(
            f"livekit_otel.{_scope}.usage.{_name}",
            "double" if _field == "audio_duration" else "int",
            f"Sum of {_field} over the models of the {_what} ({_type_name}).",
            unit=_unit(_field),
        )
    _define(
        f"livekit_otel.{_scope}.usage.by_model",
        "string",
        f"JSON: LiveKit's usage of the {_what} for each provider and model, without fields that are zero.",
    )
    for _name in DISCARDED_SUMS:
        _define(
            f"livekit_otel.{_scope}.discarded.{_name}",
            "int",
            f"Share of {_name} that was spent on discarded preemptive generations.",
            unit=_unit(_name),
        )
    _define(f"livekit_otel.{_scope}.interruptions", "int", f"Interruptions of the agent in the {_what}.")
    _define(f"livekit_otel.{_scope}.false_interruptions", "int", f"False interruptions in the {_what}.")
    _define(f"livekit_otel.{_scope}.backchannels", "int", f"Backchannels in the {_what}.")
SESSION_FALSE_CUTOFFS = _define(
    "livekit_otel.session.false_cutoffs", "int", "Turns that were committed while the user only paused."
)
SESSION_TURNS = _define("livekit_otel.session.turns", "int", "Number of turns.")
SESSION_INTERRUPTION_RATE = _define(
    "livekit_otel.session.interruption_rate", "double", "Share of the turns with agent speech that were interrupted."
)
SESSION_OUTCOME = _define(
    "livekit_otel.session.outcome", "string", "success or fail, as set on the job's tagger when the session ended."
)
SESSION_OUTCOME_REASON = _define(
    "livekit_otel.pii.session.outcome_reason", "string", "The reason given for that outcome.", content=True
)
SESSION_TAGS = _define(
    "livekit_otel.pii.session.tags",
    "string[]",
    "The job's tags when the session ended, sorted, including verdicts of judges (lk.judge.<name>:<verdict>), as many "
    "as fit into 1,900 bytes. The journal has all of them, with metadata and reasoning.",
    content=True,
)
#: LiveKit's tags for the outcome of a session
OUTCOME_TAGS = {"lk.success": "success", "lk.fail": "fail"}
SESSION_LATENCIES = _define(
    "livekit_otel.session.latencies",
    "string",
    "On session.end, as JSON: count and percentiles of each derived latency, in seconds.",
)
for _name in SUMMARY_LATENCIES:
    for _point in SUMMARY_POINTS:
        _define(
            f"livekit_otel.session.latency.{_name}.{_point}",
            "double",
            f"{'Largest' if _point == 'max' else _point} derived {_name} of the session's turns.",
            unit="s",
        )
for _name in SILENCE_STAGES:
    _define(
        f"livekit_otel.session.silence.{_name}",
        "double",
        f"Sum over the turns in which the answer waited {_SILENCE_BRIEF[_name]}.",
        unit="s",
    )
for _name in SILENCE_STAGES:
    _define(
        f"livekit_otel.session.gap.{_name}",
        "double",
        f"Sum over the turns of the dead air in which the user waited {_SILENCE_BRIEF[_name]}.",
        unit="s",
    )
SESSION_LATE_LOST = _define(
    "livekit_otel.session.late_lost", "int", "Turn corrections that were dropped because of a limit; reports have them."
)
#: On session.checkpoint and session.end: corrections of turns by spans that ended later, in numbered pieces of JSON,
#: ``[[turn index, name, value or null], ...]``. Later corrections win. The prefix "livekit_otel.turn." is left out of
#: the names.
TURN_LATE_PREFIX = "livekit_otel.turn_late.p"
TURN_PREFIX = "livekit_otel.turn."
OWN_PREFIX = "livekit_otel."


def latency(name: str) -> str:
    """Attribute name of a turn's derived latency; ``name`` as in ``MetricsReport``."""
    return f"livekit_otel.turn.latency.{name}"


def silence(stage: str, scope: Literal["turn", "session"] = "turn") -> str:
    """Attribute name of a turn's (or session's) silence that was spent in ``stage``."""
    return f"livekit_otel.{scope}.silence.{stage}"


def gap(stage: str, scope: Literal["turn", "session"] = "turn") -> str:
    """Attribute name of a turn's (or session's) dead air that was spent in ``stage``."""
    return f"livekit_otel.{scope}.gap.{stage}"


def signal(flag: str) -> str:
    """Attribute name of a flag's value, on a turn or session with that flag."""
    return f"livekit_otel.signal.{flag}"


def flagged(flag: str) -> str:
    """Attribute name of the number of turns with a flag, on the session."""
    return f"livekit_otel.session.flagged.{flag}"


def threshold(flag: str) -> str:
    """Attribute name of a flag's threshold during the session."""
    return f"livekit_otel.session.threshold.{flag}"


def derived(scope: Literal["turn", "session"], field: str) -> str:
    """Attribute name of a derived field that turns and sessions share: ``usage.by_model``, ``interruptions``, …"""
    return f"livekit_otel.{scope}.{field}"


def session_latency(name: str, point: str) -> str:
    """Attribute name of one percentile (``p50`` … ``max``) of a derived latency."""
    return f"livekit_otel.session.latency.{name}.{point}"


# OpenTelemetry metrics: names of instruments, and of attributes that only metrics have
METER_LATENCY_PREFIX = "livekit_otel.turn."
METER_SILENCE = "livekit_otel.turn.silence"
METER_GAP = "livekit_otel.turn.gap"
METER_TURNS = "livekit_otel.turns"
METER_FLAGS = "livekit_otel.flags"
METER_INTERRUPTIONS = "livekit_otel.interruptions"
METER_TOKENS = "livekit_otel.usage.tokens"
METER_CACHED_TOKENS = "livekit_otel.usage.cached_input_tokens"
METER_DISCARDED_TOKENS = "livekit_otel.usage.discarded_tokens"
METER_CHARACTERS = "livekit_otel.usage.characters"
METER_AUDIO = "livekit_otel.usage.audio_duration"
METER_REQUESTS = "livekit_otel.usage.requests"
METER_GENAI_TOKENS = "gen_ai.client.token.usage"
METER_GENAI_DURATION = "gen_ai.client.operation.duration"
METER_GENAI_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
METER_TOKEN_TYPE = "gen_ai.token.type"
METER_FLAG = "livekit_otel.flag.name"
METER_VERSION = "livekit_otel.version"
METER_STAGE = "livekit_otel.silence.stage"
METER_VERDICT = "livekit_otel.interruption.verdict"


# --- Langfuse: attributes that its preset adds to copies of spans, and its reader removes again ---
LANGFUSE_PREFIX = "langfuse."
LANGFUSE_TRACE_NAME = "langfuse.trace.name"
LANGFUSE_TRACE_TAGS = "langfuse.trace.tags"
LANGFUSE_SESSION_ID = "langfuse.session.id"
LANGFUSE_USER_ID = "langfuse.user.id"
LANGFUSE_ENVIRONMENT = "langfuse.environment"
LANGFUSE_RELEASE = "langfuse.release"
LANGFUSE_TYPE = "langfuse.observation.type"
LANGFUSE_INPUT = "langfuse.observation.input"
LANGFUSE_OUTPUT = "langfuse.observation.output"
LANGFUSE_LEVEL = "langfuse.observation.level"
LANGFUSE_STATUS_MESSAGE = "langfuse.observation.status_message"
LANGFUSE_USAGE = _define(
    "langfuse.observation.usage_details",
    "string",
    "JSON with zeros, on a request whose tokens LiveKit's own span counts: else Langfuse would tokenize the texts.",
)
LANGFUSE_COST = "langfuse.observation.cost_details"
LANGFUSE_MODEL = "langfuse.observation.model.name"
#: Tokens that another span counts: without usage details Langfuse would tokenize the texts.
LANGFUSE_COUNTED_ELSEWHERE = '{"input":0,"output":0}'
LANGFUSE_FIRST_TOKEN = "langfuse.observation.completion_start_time"
LANGFUSE_AS_ROOT = "langfuse.internal.as_root"
LANGFUSE_IS_APP_ROOT = "langfuse.internal.is_app_root"
#: Start and end as ``<start>-<end>`` in Unix nanoseconds, because Langfuse truncates times to milliseconds.
LANGFUSE_EXACT = "langfuse.livekit_otel.exact"
#: kind -> the attributes shown as input and output of such a span.
LANGFUSE_WORDS: dict[str, tuple[str | None, str | None]] = {
    KIND_TURN: (TURN_USER_TEXT, TURN_AGENT_TEXT),
    KIND_STT: (None, STT_TEXT),
    KIND_TTS: (TTS_TEXT, None),
    KIND_TOOL: (TOOL_CALL_ARGUMENTS, TOOL_CALL_RESULT),
    KIND_LLM: (INPUT_MESSAGES, OUTPUT_MESSAGES),
    KIND_REALTIME: (INPUT_MESSAGES, OUTPUT_MESSAGES),
}
# --- LiveKit's own spans: attributes that a dialect reads if a call has no pipeline spans -----------
#: Python 1.7.0 to 1.8.9: field -> attribute. Names that our schema shares map to themselves.
NATIVE_PYTHON: dict[str, str] = {
    "job_id": "lk.job_id",
    "room_sid": "lk.room_sid",
    "room_name": "lk.pii.room_name",
    "agent_name": "lk.agent_name",
    "agent_label": "lk.agent_label",
    "previous_agent_label": "lk.previous_agent_label",
    "close_reason": "lk.close_reason",
    "speech_id": "lk.speech_id",
    "user_text": "lk.pii.user_transcript",
    "confidence": "lk.transcript_confidence",
    "transcription_delay": "lk.transcription_delay",
    "end_of_turn_delay": "lk.end_of_turn_delay",
    "on_user_turn_completed_delay": "lk.on_user_turn_completed_delay",
    "e2e_latency": "lk.e2e_latency",
    "stt_events": "lk.stt.events",
    "eou_source": "lk.eou.source",
    "eou_outcome": "lk.eou.outcome",
    "eou_probability": "lk.eou.probability",
    "eou_threshold": "lk.eou.unlikely_threshold",
    "eou_delay": "lk.eou.endpointing_delay",
    "is_interruption": "lk.is_interruption",
    "interruption_probability": "lk.interruption.probability",
    "interrupted": "lk.interrupted",
    "interruption_source": "lk.interruption.source",
    "playout_position": "lk.playout.position",
    "user_input": "lk.pii.user_input",
    "response_text": "lk.pii.response.text",
    "function_calls": "lk.pii.response.function_calls",
    "chat_ctx": "lk.pii.chat_ctx",
    "input_delta": "lk.input.delta",
    "ttft": "lk.response.ttft",
    "ttfb": "lk.response.ttfb",
    "retry_count": "lk.retry_count",
    "llm_metrics": "lk.llm_metrics",
    "tts_metrics": "lk.tts_metrics",
    "realtime_metrics": "lk.realtime_model_metrics",
    "tts_text": "lk.pii.input_text",
    "tool_call_id": "lk.function_tool.id",
    "tool_name": "lk.function_tool.name",
    "tool_is_error": "lk.function_tool.is_error",
    "tool_arguments": "lk.pii.function_tool.arguments",
    "tool_output": "lk.pii.function_tool.output",
    **{
        name: name
        for name in (
            *(CONVERSATION_ID, AGENT_NAME, PROVIDER_NAME, REQUEST_MODEL, RESPONSE_MODEL, RESPONSE_ID, OPERATION_NAME),
            *(RESPONSE_FINISH_REASONS, TIME_TO_FIRST_CHUNK, ERROR_TYPE),
        )
    },
}
#: Python before 1.7.0 (seen: 1.5.18): content has no ``pii`` segment.
NATIVE_PYTHON_OLDER: dict[str, str] = {
    field: name.replace("lk.pii.", "lk.") for field, name in NATIVE_PYTHON.items() if name.startswith("lk.pii.")
}
#: Node.js (seen: 1.9.0, 1.8.1, 1.6.4): the names of both, and these. Delays of ``user_turn`` are milliseconds, and
#: metrics have names like ``ttftMs``: ``dialects/node.py`` converts them to Python's.
NATIVE_NODE: dict[str, str] = {"tool_call_id": TOOL_CALL_ID}
#: LiveKit's span of a session, and the spans that prove that a session existed.
NATIVE_SESSION = "agent_session"
#: Names of the spans by which natively traced calls are found on a server.
NATIVE_SIGNS = (NATIVE_SESSION, "user_turn", "agent_turn")
NATIVE_EVIDENCE = frozenset({NATIVE_SESSION, "session_start", "user_turn", "agent_turn"})
#: The native spans that a report is built from.
NATIVE_SPANS = NATIVE_EVIDENCE | {
    *("job_entrypoint", "session_close", "start_agent_activity", "resume_agent_activity", "update_agent", "amd"),
    *("on_enter", "on_exit", "on_user_turn_completed", "user_speaking", "eou_wait", "eou_detection"),
    *("agent_speaking", "llm_node", "llm_request", "llm_request_run", "realtime_inference", "realtime_metrics"),
    *("tts_node", "tts_stream_adapter", "tts_fallback_adapter", "tts_request", "tts_request_run", "function_tool"),
}

#: The resource attribute that identifies services.
SERVICE_NAME = "service.name"
