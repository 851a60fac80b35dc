"""The stage spans of one turn, sorted by kind, and the times that they contribute to the wait for an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from .. import attributes as attr
from ..spans import SpanRecord, flag, nanoseconds, number
from .around import AVATAR, audible, is_playout, is_speech
from .intervals import Interval, without
from .own_work import OwnWork, own_work

__all__ = [
    "DECIDED_BY", "STAGE_ATTRIBUTES", "Stages", "avatar_ns", "first_audio", "first_token", "held_ns", "held_until",
    "hook_ns", "provider_start", "response_audio", "speech_of",
]  # fmt: skip

#: nanoseconds; a fallback follows the failure within this time
_AT_ONCE = 20_000_000
_AVATAR_LATENCY = attr.metric("avatar", "playback_latency")
_DECISION = attr.metric("decision", "timestamp")
_LLM_METRICS = attr.metric("llm", "timestamp")
_TTFB = attr.metric("tts", "ttfb")
_RESPONSE_TTFT = attr.metric("realtime", "ttft")
_HOOK = attr.metric("eou", "on_user_turn_completed_delay")
#: the component that decided that the user had finished
DECIDED_BY = attr.metric("eou", "metadata.model_provider")


#: a synthesis, after its first audio and its place in the order
_Heard: TypeAlias = tuple[int, int, int, str, SpanRecord]


def _order(record: SpanRecord) -> tuple[int, int, str]:
    return (record.start_ns, record.end_ns, record.span_id)


def speech_of(record: SpanRecord) -> str | None:
    speech = record.attributes.get(attr.SPEECH_ID)
    return str(speech) if speech else None


def first_audio(tts: SpanRecord) -> int | None:
    """When a synthesis produced its first audio."""
    offset = nanoseconds(tts.attributes, attr.TTS_FIRST_BYTE)
    return None if offset is None else tts.start_ns + offset


def first_token(request: SpanRecord) -> int | None:
    """When a request produced its first token (a realtime model: its first audio)."""
    realtime = request.kind == attr.KIND_REALTIME
    offset = nanoseconds(request.attributes, attr.REALTIME_FIRST_AUDIO if realtime else attr.TIME_TO_FIRST_CHUNK)
    return None if offset is None else request.start_ns + offset


def response_audio(response: SpanRecord) -> int | None:
    """When a realtime model's response had its first audio, as reported by its plugin, heard or not."""
    offset = nanoseconds(response.attributes, _RESPONSE_TTFT)
    return None if offset is None else response.start_ns + offset


def provider_start(tts: SpanRecord) -> int | None:
    """When the first text reached the provider. None if unknown."""
    text = nanoseconds(tts.attributes, attr.TTS_FIRST_TEXT)
    if text is not None:
        return tts.start_ns + text
    # older traces only have LiveKit's number for the last attempt
    audio, ttfb = first_audio(tts), nanoseconds(tts.attributes, _TTFB)
    if audio is None or ttfb is None or (number(tts.attributes, attr.TTS_ATTEMPTS) or 1) > 1:
        return None
    return min(max(audio - ttfb, tts.start_ns), audio)


class Stages:
    """The stages of one turn that can be waited for, each kind by start. Excludes discarded preemptive generations.

    Attributes:
        beside: requests that code makes for itself, outside any speech.
        eou: decisions that committed the user's turn.
        llm: requests to an LLM, and responses of a realtime model.
        all_tools: when tools of the session ran, by their end: a speech may have waited for a tool of another turn.
        nodes: nodes with own work, ``on_enter`` and ``on_exit``.
        work: when these nodes and hooks worked, by start.
        playback: playouts (without spans that only carry an avatar's metrics).
        transcripts: successful speech recognitions.
    """

    __slots__ = ("_work", "all_tools", "beside", "eou", "llm", "nodes", "playback", "tool", "transcripts", "tts", "vad")

    def __init__(self, records: Iterable[SpanRecord], all_tools: Sequence[Interval] = ()) -> None:
        self.all_tools = all_tools
        self.beside: list[SpanRecord] = []
        self.eou: list[SpanRecord] = []
        self.llm: list[SpanRecord] = []
        self.nodes: list[SpanRecord] = []
        self.playback: list[SpanRecord] = []
        self.tool: list[SpanRecord] = []
        self.transcripts: list[SpanRecord] = []
        self.tts: list[SpanRecord] = []
        self.vad: list[SpanRecord] = []
        whole = {attr.KIND_NODE: self.nodes, attr.KIND_TOOL: self.tool, attr.KIND_TTS: self.tts}
        for record in sorted(records, key=_order):
            kind, attributes = record.kind, record.attributes
            outcome = attributes.get(attr.OUTCOME)
            if outcome == attr.OUTCOME_DISCARDED:
                continue
            if kind == attr.KIND_EOU and flag(attributes, attr.EOU_COMMITTED):
                self.eou.append(record)
            elif kind == attr.KIND_LLM and attr.LLM_OWN in attributes:
                if speech_of(record) is None:
                    self.beside.append(record)
            elif (kind == attr.KIND_LLM and (_DECISION not in attributes or _LLM_METRICS in attributes)) or (
                kind == attr.KIND_REALTIME and attributes.get(attr.REALTIME_RESPONSE, True)
            ):
                self.llm.append(record)
            elif kind == attr.KIND_PLAYBACK and is_playout(attributes):
                self.playback.append(record)
            elif kind == attr.KIND_STT and outcome != attr.OUTCOME_ERROR:
                self.transcripts.append(record)
            elif kind == attr.KIND_VAD and is_speech(attributes):
                self.vad.append(record)
            elif kind in whole:
                whole[kind].append(record)
        self._work: list[OwnWork] | None = None

    @property
    def work(self) -> list[OwnWork]:
        """Own work of the user's nodes and hooks, by start. Most turns need none of it."""
        if self._work is None:
            self._work = own_work(self.nodes, [one for eou in self.eou if (one := _hook(eou)) is not None])
        return self._work

    def work_or_paused(self) -> list[OwnWork]:
        """Own work, and when LiveKit had paused a playout that it then cut off; by start."""
        paused = [
            OwnWork("", attr.KIND_PLAYBACK, "", begin, end)
            for one in self.playback
            if attr.PLAYBACK_PAUSES in one.attributes
            for begin, end in without((one.start_ns, one.end_ns), audible(one.start_ns, one.end_ns, one.attributes))
        ]
        return sorted([*self.work, *paused], key=lambda one: one.start_ns) if paused else self.work

    def synthesis(self, playback: SpanRecord, since_ns: int = 0) -> SpanRecord | None:
        """The synthesis whose audio a playout began with; ``since_ns``: the start of the step that it belongs to."""
        speech = speech_of(playback)
        found = [
            one
            for one in self.tts
            if since_ns <= one.start_ns <= playback.start_ns and (speech is None or speech_of(one) in (speech, None))
        ]
        heard = [(audio, *_order(one), one) for one in found if (audio := first_audio(one)) is not None]
        if heard:
            return min(self._not_yet_played(heard, playback, speech), key=lambda one: one[:-1])[-1]
        return next((one for one in found if one.attributes.get(attr.OUTCOME) != attr.OUTCOME_ERROR), None)

    def _not_yet_played(self, heard: list[_Heard], playback: SpanRecord, speech: str | None) -> list[_Heard]:
        """The syntheses without those that an earlier playout of the same speech began with."""
        earlier = [one for one in self.playback if one.end_ns <= playback.start_ns and speech_of(one) == speech]
        if not earlier or speech is None or min(one[0] for one in heard) > earlier[-1].start_ns:
            return heard
        since = [[one for one in heard if one[0] >= ns] for ns in (earlier[-1].end_ns, earlier[-1].start_ns + 1)]
        return since[0] or since[1] or heard

    def failed_before(self, tts: SpanRecord) -> SpanRecord | None:
        """The first failed synthesis of the same speech before this synthesis replaced it."""
        speech = speech_of(tts)
        return next(
            (
                one
                for one in self.tts
                if one.end_ns <= tts.start_ns
                and one.span_id != tts.span_id
                and speech_of(one) == speech
                and one.attributes.get(attr.OUTCOME) == attr.OUTCOME_ERROR
            ),
            None,
        )

    def text_source(self, speech: str | None, before_ns: int) -> SpanRecord | None:
        """The request whose answer a speech was speaking at a given time: the latest request of the speech."""
        found = [
            one
            for one in self.llm
            if one.start_ns <= before_ns and (speech is None or speech_of(one) in (speech, None))
        ]
        found = [one for one in found if one.kind == attr.KIND_REALTIME or first_token(one) is not None] or found
        return found[-1] if found else None

    def attempts_start(self, request: SpanRecord) -> int:
        """When the first of the failed requests that led to this request (a fallback adapter's) began."""
        start = request.start_ns
        for one in reversed(self.llm):
            if (
                0 <= start - one.end_ns <= _AT_ONCE
                and one.start_ns < start
                and one.attributes.get(attr.OUTCOME) == attr.OUTCOME_ERROR
                and speech_of(one) == speech_of(request)
            ):
                start = one.start_ns
        return start

    def transcript_ns(self, commit_ns: int) -> int | None:
        """When the last final transcript before the commit arrived."""
        return max((one.end_ns for one in self.transcripts if one.end_ns <= commit_ns), default=None)


def hook_ns(eou: SpanRecord) -> int | None:
    """The duration of ``on_user_turn_completed`` after the commit."""
    known = nanoseconds(eou.attributes, _HOOK)
    return known if known is not None else nanoseconds(eou.attributes, attr.EOU_HOOK)


def _hook(eou: SpanRecord) -> Interval | None:
    """When ``on_user_turn_completed`` ran, if it is known for how long."""
    length = hook_ns(eou)
    begin = eou.end_ns + (held_ns(eou) or 0)
    return None if length is None else (begin, begin + length)


def held_ns(eou: SpanRecord) -> int | None:
    """How long LiveKit held ``on_user_turn_completed`` back because of an earlier turn."""
    return nanoseconds(eou.attributes, attr.EOU_HELD)


def held_until(playback: SpanRecord) -> int | None:
    """Until when LiveKit held back a speech that might have been ready; None if it did not."""
    delay = nanoseconds(playback.attributes, attr.PLAYBACK_RELEASE_DELAY)
    return None if delay is None else playback.start_ns - delay


def avatar_ns(playback: SpanRecord) -> int | None:
    """The time that an avatar took from the first audio to its playback."""
    return nanoseconds(playback.attributes, _AVATAR_LATENCY)


STAGE_ATTRIBUTES = frozenset(
    {attr.KIND, attr.OUTCOME, attr.ERROR_TYPE, attr.SPEECH_ID, attr.VAD_SPEECH, attr.INTERRUPTION_VERDICT}
    | {attr.EOU_COMMITTED, attr.EOU_SOURCE, attr.EOU_SPEECH_DURATION, DECIDED_BY}
    | {attr.EOU_HELD, attr.EOU_HELD_BY, attr.EOU_HOOK, _HOOK}
    | {attr.NODE_FIRST_OUTPUT, attr.NODE_NAME, attr.NODE_OWN_WORK}
    | {attr.LLM_OWN, attr.LLM_PREEMPTIVE, attr.TIME_TO_FIRST_CHUNK, attr.RESPONSE_FINISH_REASONS}
    | {attr.OPERATION_NAME, attr.PROVIDER_NAME, attr.REQUEST_MODEL, _DECISION, _LLM_METRICS}
    | {attr.TTS_FIRST_BYTE, attr.TTS_FIRST_TEXT, attr.TTS_ATTEMPTS, _TTFB, attr.REALTIME_FIRST_AUDIO}
    | {attr.REALTIME_RESPONSE, _RESPONSE_TTFT, attr.TOOL_UPDATES}
    | {attr.PLAYBACK_INTERRUPTED, attr.PLAYBACK_PAUSES, attr.PLAYBACK_SPEECH_AGE, attr.PLAYBACK_RELEASE_DELAY}
    | {AVATAR, _AVATAR_LATENCY}
)
"""The attributes that derivation reads from stage spans, in addition to the usage metrics."""
