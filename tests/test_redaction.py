"""Partial redaction in calls: content is recorded after it went through the user's ``redact`` as a whole text."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from livekit.agents import Agent, APIConnectOptions, RunContext, ToolError, function_tool, telemetry, tts
from livekit.agents.llm import ChatMessage, ImageContent
from livekit.agents.voice.events import ConversationItemAddedEvent
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel import containment
from livekit_otel.instrumentation import livekit_tracer
from livekit_otel.journal.redact import ContentRedactor
from livekit_otel.journal.transcripts import Transcripts
from livekit_otel.redaction import Redaction, kinds
from livekit_otel.report import SessionReport
from livekit_otel.report.render_html import to_html
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_text import to_text
from tests.kit import trace
from tests.kit.run import AHEAD, CANARY, SCENARIOS, Call, Scenario, assert_same_report, plain_reply, run_scenario
from tests.kit.secrets import Secrets
from tests.kit.voice import FakeAudioOutput, FakeLLMStream, FakeTTS, failure, last_text
from tests.test_faults import normal, undisturbed
from tests.test_secrets import attributes as secret_attributes
from tests.test_secrets import script as secret_script

NAME = "a_redacted_call"
IN_PART = (
    "content was redacted in part: it went through the user's redact before it was recorded, and interim transcripts "
    "are withheld"
)
CARD, PHONE = "4111 1111 1111 1111", "+49 30 901820"
IBAN, EMAIL = "DE89 3704 0044 0532 0130 00", "erika.muster@example.com"
ALL = f"{CARD}, {PHONE}, {IBAN}, {EMAIL}"
#: LiveKit waits for more words before it commits those that it has
PATIENT = {"endpointing": {"min_delay": 0.8, "max_delay": 1.5}}
#: parts of them that identify somebody, too; digits may be in ids and times
WORDS = ("1111 1111", "3704 0044", "erika", "muster")
PARTS = ("4111", "1111111", "3704", "0532", "901820")


@pytest.fixture(autouse=True)
def _off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LIVEKIT_TELEMETRY_ALLOW_PII", raising=False)
    monkeypatch.setattr(livekit_tracer, "_warned", False)
    trace.switch_off()
    yield
    trace.switch_off()


def masked(text: str, kind: str) -> str:
    assert kind in kinds.KINDS
    return text.replace(CANARY, "BIRD")


def unchanged(text: str, kind: str) -> str:
    return text


def reports(found: trace.Trace) -> list[SessionReport]:
    return sorted(livekit_otel.build_reports(found.records), key=lambda one: one.started_at or 0.0)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., trace.Trace]:
    """Runs a script as a scenario, traced."""

    def run(script: Callable[[Call], Any], **options: Any) -> trace.Trace:
        monkeypatch.setitem(SCENARIOS, NAME, Scenario(NAME, "", script))
        return trace._record(NAME, None, options)

    return run


def contents(found: trace.Trace) -> str:
    """The values of all content attributes."""
    pairs = [pair for span in found.pipeline for pair in span.attributes.items()]
    return json.dumps([str(value) for name, value in pairs if attr.is_content(name)])


# --- every scripted session ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", trace.names())
def test_all_content_goes_through(name: str) -> None:
    """In every scripted session, no exported byte has the word that redact replaces; LiveKit's spans are not there."""
    found = trace.record(name, native_spans=None, redact=masked)
    assert CANARY not in found.text
    assert len(found.pipeline) == len(found.records)


@pytest.mark.parametrize("name", trace.open_names())
def test_a_report_has_livekits_shape(name: str) -> None:
    """With a redact that changes nothing the report is LiveKit's own, but for pieces of texts, and it says so."""
    found = trace.record(name, native_spans=None, redact=unchanged)
    for report, outcome in zip(reports(found), found.outcomes, strict=True):
        assert (report.complete, report.redacted, report.redacted_in_part) == (True, False, True)
        assert report.warnings == [IN_PART]
        assert_same_report(report.to_dict(), without_pieces(outcome.report))


def without_pieces(report: dict[str, Any]) -> dict[str, Any]:
    """LiveKit's report without what is no whole text: interims, words never committed, the end of what was cut off,
    pictures."""
    out = copy.deepcopy(report)
    open_finals: list[dict[str, Any]] = []
    for event in out["events"]:
        if event["type"] == "user_input_transcribed":
            if event["is_final"]:
                open_finals.append(event)
            else:
                event["transcript"] = ""
        elif event["type"] == "user_turn_exceeded":
            event["transcript"] = event["accumulated_transcript"] = ""
        elif event["type"] == "conversation_item_added" and event["item"].get("role") == "user":
            open_finals.clear()
    for event in open_finals:
        event["transcript"] = ""
    for message in messages(out):
        for number, part in enumerate(message["content"]):
            if isinstance(part, str) and message.get("interrupted"):
                message["content"][number] = Redaction(unchanged).cut_off(part, "agent")
            elif isinstance(part, dict) and str(part.get("image")).startswith("data:"):
                part["image"] = ""
    return out


def messages(value: Any) -> Iterator[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and value.get("type") == "message":
        yield value
    for one in inner:
        yield from messages(one)


@pytest.mark.parametrize("name", ["several_turns", "barge_in", "two_tools_at_once"])
def test_redaction_is_no_change(name: str) -> None:
    """Items are compared with what LiveKit had, not with what was recorded: redacted ones need no corrections."""

    def corrections(found: trace.Trace) -> Counter[str]:
        entries = re.findall(r'\[\\?"(fi|fb|fo|ft|fp)\\?",', found.text)
        return Counter(entries)

    plain, redacted = trace.record(name), trace.record(name, native_spans=None, redact=masked)
    assert corrections(redacted) == corrections(plain)


def test_every_kind_is_used() -> None:
    """Texts come with the kind of what they are: each kind that the documentation lists occurs, and no other."""
    seen: dict[str, set[str]] = {}

    def noted(text: str, kind: str) -> str:
        seen.setdefault(kind, set()).add(text)
        return text

    for name in ("failing_tools", "llm_fails_for_good", "question_and_answer"):
        trace._record(name, None, {"redact": noted, "metadata": {"pii.caller": "the caller"}})
    assert seen.keys() == set(kinds.KINDS)
    assert f"what is a {CANARY}" in seen[kinds.USER]
    assert seen[kinds.ATTRIBUTE] == {"the caller"}
    assert f"room {CANARY}" in seen[kinds.OTHER]
    assert any(CANARY in text for text in seen[kinds.TOOL_RESULT])
    assert not any(CANARY in text for text in seen[kinds.TOOL_ARGUMENTS] & seen[kinds.AGENT])


def test_a_whole_text_is_asked_for_once() -> None:
    """The same text of the same kind is recorded in several places, and redacted once."""
    asked: Counter[tuple[str, str]] = Counter()

    def noted(text: str, kind: str) -> str:
        asked[kind, text] += 1
        return text

    trace._record("several_turns", None, {"redact": noted})
    assert set(asked.values()) == {1}


# --- every field ---------------------------------------------------------------------------------------------------
def test_every_field_of_livekits_objects(play: Callable[..., trace.Trace], caplog: pytest.LogCaptureFixture) -> None:
    """No string, key or long number that is content is recorded as it was, whatever field it is in."""
    secrets = Secrets()
    secret = secrets.new("metadata", content=True)
    script = secret_script(secrets, redaction=False)
    with caplog.at_level(logging.DEBUG, "livekit_otel"):
        found = play(
            script,
            redact=lambda text, kind: "X",
            metadata={"pii.caller": secret, "team": "support"},
            session_attributes=secret_attributes(secrets),
        )
    rebuilt = json.dumps(livekit_otel.build_report(found.records).to_dict())
    texts = {one for one in secrets.content if not re.fullmatch(r"0\.\d+|17000\d+\.5", one)}
    for where in (found.text, caplog.text, rebuilt):
        assert [one for one in sorted(texts) if one in where] == []
    assert len([one for one in secrets.shown if one in found.text]) > 0.5 * len(secrets.shown)
    assert attr.SESSION_FAILED not in found.of("session.end")[0].attributes


# --- what the ready-made one catches, everywhere -------------------------------------------------------------------
class Teller(Agent):
    """Has tools that take and return what must not be recorded."""

    def __init__(self) -> None:
        super().__init__(instructions=f"Write complaints to {EMAIL}.")

    async def on_enter(self) -> None:
        self.session.say(f"Call us under {PHONE}.")

    @function_tool
    async def pay(self, ctx: RunContext[Any], card: str, number: int, nested: str) -> str:
        """Pays."""
        return json.dumps({"paid": {"card": card, "number": number, "iban": IBAN}, "mail": [EMAIL]})

    @function_tool
    async def refuse(self, ctx: RunContext[Any]) -> str:
        """Refuses."""
        raise ToolError(f"the card {CARD} is refused, call {PHONE}")


ARGUMENTS = json.dumps({"card": CARD, "number": int(CARD.replace(" ", "")), "nested": json.dumps({EMAIL: IBAN})})


async def teller_reply(stream: FakeLLMStream, items: list[Any]) -> None:
    """Calls both tools, then answers at length, word by word."""
    if items[-1].type == "message" and items[-1].role == "user":
        if "fail" in last_text(items):
            raise failure(f"no answer for {ALL}", retryable=False)
        stream.call("pay", ARGUMENTS, "c1")
        stream.call("refuse", "{}", "c2")
        stream.call(f"transfer to {IBAN}", "{}", "c3")
    else:
        await stream.text(f"Your card {CARD} and your account {IBAN} are noted, mail goes to {EMAIL}", chunk_delay=0.02)
    stream.usage()


async def in_every_place(call: Call, handling: dict[str, Any]) -> None:
    call.ctx.job.room.name = f"room {PHONE}"
    call.ctx.tagger.add(EMAIL)
    caller = call.caller
    caller.says(f"my card is {CARD} and my account {IBAN} please", 5.0, 2.0)
    caller.says("I called from +49 30", 20.0, 1.0).says(f"901820 and I am {EMAIL}", 21.5, 1.0)
    caller.says("now fail please", 36.0)
    session = call.session(
        teller_reply, tts=FakeTTS(truth=call.truth, streaming=True), turn_handling={**PATIENT, **handling}
    )
    await call.start(session, Teller())
    await call.until(32.0)
    session.generate_reply(user_input=f"typed {ALL}", instructions=f"Answer, but do not call {PHONE}.")
    await call.until(45.0)
    await call.close(session)


@pytest.mark.parametrize("llm_input", ["delta", "full"])
@pytest.mark.parametrize("ahead", [False, True], ids=["", "made ahead"])
def test_numbers_and_addresses_in_every_place(
    play: Callable[..., trace.Trace],
    caplog: pytest.LogCaptureFixture,
    llm_input: str,
    ahead: bool,
) -> None:
    """Said, typed, answered, in prompts, tools, errors, names, attributes: none is in a span, a log or the report."""
    with caplog.at_level(logging.DEBUG, "livekit_otel"):
        found = play(
            lambda call: in_every_place(call, AHEAD if ahead else {}),
            redact=livekit_otel.PatternRedactor(),
            llm_input=llm_input,
            metadata={"acme.pii.caller": PHONE},
            session_attributes=lambda job, session: {"acme.pii.mail": (EMAIL, "none")},
        )
    report = reports(found)[0]
    for where in (found.text, caplog.text, json.dumps(report.to_dict())):
        assert [one for one in (CARD, PHONE, IBAN, EMAIL, CARD.replace(" ", ""), *WORDS) if one in where] == []
    assert [one for one in PARTS if one in contents(found)] == []
    assert report.warnings == [IN_PART]
    session = found.of("session")[0].attributes
    assert (session["acme.pii.caller"], session["acme.pii.mail"]) == ("[PHONE]", ("[EMAIL]", "none"))
    assert [turn.user_text for turn in report.turns if turn.user_text] == [
        "my card is [CARD] and my account [IBAN] please",
        "I called from [PHONE] and I am [EMAIL]",
        "typed [CARD], [PHONE], [IBAN], [EMAIL]",
        "now fail please",
    ]
    answer = "Your card [CARD] and your account [IBAN] are noted, mail goes to"
    answers = {turn.agent_text for turn in report.turns if "noted" in turn.agent_text}
    assert f"{answer} [EMAIL]" in answers
    assert answers <= {f"{answer} [EMAIL]", f"{answer} …"}
    tool = found.of("tool")[0].attributes
    assert json.loads(str(tool[attr.TOOL_CALL_ARGUMENTS])) == {
        "card": "[CARD]",
        "number": "[CARD]",
        "nested": '{"[EMAIL]": "[IBAN]"}',
    }
    assert json.loads(str(tool[attr.TOOL_CALL_RESULT])) == {
        "paid": {"card": "[CARD]", "number": "[CARD]", "iban": "[IBAN]"},
        "mail": ["[EMAIL]"],
    }


# --- pieces --------------------------------------------------------------------------------------------------------
def test_a_number_in_two_transcripts(play: Callable[..., trace.Trace]) -> None:
    """Where a number lies in two final transcripts, neither has its text; their message has all of it, redacted."""

    async def script(call: Call) -> None:
        call.caller.says("my card is 4111 1111", 1.0, 1.0).says("1111 1111 thank you", 2.5, 1.0)
        call.caller.says("and now", 10.0, 1.0).says("something else", 11.5, 1.0)
        session = call.session(turn_handling=PATIENT)
        await call.start(session)
        await call.until(16.0)
        await call.close(session)

    found = play(script, redact=livekit_otel.PatternRedactor())
    report = reports(found)[0]
    assert not re.search("4111|1111", contents(found))
    finals = [one["transcript"] for one in report.events if one.get("is_final")]
    assert finals == ["", "", "and now", "something else"]
    assert [span.attributes.get(attr.STT_TEXT) for span in found.of("stt")] == [None, None, "and now", "something else"]
    assert [turn.user_text for turn in report.turns] == ["my card is [CARD] thank you", "and now something else"]


def test_a_number_in_two_turns(play: Callable[..., trace.Trace]) -> None:
    """Where LiveKit commits the first half of a number, that half is recorded, and the other half nowhere."""

    async def script(call: Call) -> None:
        call.caller.says("my card is 4111 1111", 1.0, 1.0).says("1111 1111 thank you", 4.0, 1.0)
        call.caller.says("1111 that is all", 9.0, 1.0)
        session = call.session(plain_reply, turn_handling=AHEAD)
        await call.start(session)
        await call.until(16.0)
        await call.close(session)

    for llm_input in ("delta", "full"):
        found = play(script, redact=livekit_otel.PatternRedactor(), llm_input=llm_input)
        report = reports(found)[0]
        assert "1111 1111" not in contents(found)
        assert [turn.user_text for turn in report.turns] == ["my card is 4111 1111", "… thank you", "1111 that is all"]
        said = [item["content"][0] for item in report.history if item.get("role") == "user"]
        assert said == ["my card is 4111 1111", "… thank you", "1111 that is all"]


def test_a_number_that_is_typed_in_two_turns(play: Callable[..., trace.Trace]) -> None:
    """The same where the user types, and where a message comes from elsewhere (a realtime model's server)."""

    async def script(call: Call) -> None:
        session = call.session()
        await call.start(session)
        for text in ("my card is 4111 1111", "1111 1111 thank you"):
            session.generate_reply(user_input=text)
            await asyncio.sleep(4.0)
        for text in ("or it is 5555 5555", "5555 4444 thank you"):
            message = ChatMessage(role="user", content=[text])
            session.history.items.append(message)
            session.emit("conversation_item_added", ConversationItemAddedEvent(item=message))
        await call.close(session)

    found = play(script, redact=livekit_otel.PatternRedactor())
    said = [item["content"][0] for item in reports(found)[0].history if item.get("role") == "user"]
    assert said == ["my card is 4111 1111", "… thank you", "or it is 5555 5555", "… thank you"]
    assert not re.search("1111 1111|5555 4444", contents(found))


@pytest.mark.parametrize("at", [4.9, 5.2, 5.5, 5.8, 6.1])
@pytest.mark.parametrize("streaming", [False, True], ids=["sentences", "streaming"])
def test_an_answer_that_is_cut_off_in_a_number(play: Callable[..., trace.Trace], at: float, streaming: bool) -> None:
    """Wherever the user interrupts the model, no part of the number stands anywhere: in no answer, no request."""

    async def reply(stream: FakeLLMStream, items: list[Any]) -> None:
        await stream.text(f"Here is the first sentence of it. And your card is {CARD}. That is all.", chunk_delay=0.3)
        stream.usage()

    async def script(call: Call) -> None:
        call.caller.says("read it", 1.0).says("stop that now please", at, 1.0)
        session = call.session(reply, tts=FakeTTS(truth=call.truth, streaming=streaming))
        await call.start(session)
        await call.until(26.0)
        await call.close(session)

    plain, redacted = play(script), play(script, redact=livekit_otel.PatternRedactor())
    broken = [text for text in _answers(plain) if text.startswith("Here") and not text.endswith("all.")]
    assert broken
    assert [one for one in (*WORDS, *PARTS) if one in contents(redacted)] == []


def _answers(found: trace.Trace) -> list[str]:
    """What the models of a call answered."""
    outputs = [span.attributes.get(attr.OUTPUT_MESSAGES) for span in found.of("llm")]
    return [part["content"] for one in outputs if one for part in json.loads(str(one))[0]["parts"]]


class HalfHeard(FakeAudioOutput):
    """Says, as a room does, how much of the text was heard when it is interrupted."""

    def on_playback_finished(self, **kwargs: Any) -> None:
        heard = "Your card is 4111 1111 11" if kwargs["interrupted"] else None
        super().on_playback_finished(**{**kwargs, "synchronized_transcript": heard})


@pytest.mark.parametrize("llm_input", ["delta", "full"])
def test_an_answer_of_which_half_was_heard(play: Callable[..., trace.Trace], llm_input: str) -> None:
    """The message of an interrupted answer ends in the number: what is left of it is recorded nowhere, and not given
    to the next request's span either."""

    async def reply(stream: FakeLLMStream, items: list[Any]) -> None:
        await stream.text(f"Your card is {CARD} and it is valid until the end of the year.")
        stream.usage()

    async def script(call: Call) -> None:
        call.caller.says("read it", 1.0).says("stop that now please", 4.0, 1.0)
        session = call.session(reply, audio=HalfHeard(truth=call.truth))
        await call.start(session)
        await call.until(16.0)
        await call.close(session)

    found = play(script, redact=livekit_otel.PatternRedactor(), llm_input=llm_input)
    report = reports(found)[0]
    assert "4111" not in contents(found)
    assert [item["content"] for item in report.history if item.get("interrupted")] == [["Your card is …"]]
    assert report.turns[0].agent_text == "Your card is …"


@pytest.mark.parametrize("streaming", [False, True], ids=["sentences", "streaming"])
def test_an_answer_that_fails_in_a_number(play: Callable[..., trace.Trace], streaming: bool) -> None:
    """A model that fails in the middle leaves a message that LiveKit does not mark: it breaks off, too."""

    async def reply(stream: FakeLLMStream, items: list[Any]) -> None:
        await stream.text("Hello there. Your card is 4111 1111", chunk_delay=0.05)
        raise failure("no more", retryable=False)

    async def script(call: Call) -> None:
        call.caller.says("read it", 1.0)
        session = call.session(reply, tts=FakeTTS(truth=call.truth, streaming=streaming))
        await call.start(session)
        await call.until(12.0)
        await call.close(session)

    found = play(script, redact=livekit_otel.PatternRedactor())
    report = reports(found)[0]
    assert "4111" not in contents(found)
    assert [turn.agent_text for turn in report.turns] == ["Hello there. Your card is …"]
    said = [item["content"] for item in report.history if item.get("role") == "assistant"]
    assert said == [["Hello there. Your card is …"]]


class Mute(FakeTTS):
    """Gives no sound: LiveKit's error quotes the piece of text that was to be spoken."""

    def synthesize(self, text: str, *, conn_options: Any = None) -> tts.ChunkedStream:
        return _MuteStream(tts=self, input_text=text, conn_options=APIConnectOptions(max_retry=0))


class _MuteStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id="tts", sample_rate=24000, num_channels=1, mime_type="audio/pcm")


def test_an_error_that_quotes_a_piece(play: Callable[..., trace.Trace]) -> None:
    """LiveKit's error of a voice without sound quotes its text, which may be a piece: such a message is withheld."""

    async def reply(stream: FakeLLMStream, items: list[Any]) -> None:
        await stream.text("Your card is 4111 1111 11")

    async def script(call: Call) -> None:
        call.caller.says("read it", 1.0)
        session = call.session(reply, tts=Mute(truth=call.truth))
        await call.start(session)
        await call.until(10.0)
        await call.close(session)

    plain, redacted = play(script), play(script, redact=livekit_otel.PatternRedactor())
    for found, message in ((plain, "no audio frames were pushed for text: Your card is 4111 1111 11"), (redacted, "")):
        failed = [
            span.attributes[attr.ERROR_MESSAGE] for span in found.pipeline if attr.ERROR_MESSAGE in span.attributes
        ]
        assert failed == [message or "[WITHHELD]"] * 2  # of the request, and of its turn


# --- what the report says ------------------------------------------------------------------------------------------
def test_each_form_of_the_report_says_so() -> None:
    """Text, JSON and HTML say that content was redacted in part, and show what was left of it."""
    pytest.importorskip("jinja2")
    report = reports(trace.record("one_tool", native_spans=None, redact=masked))[0]
    text, page, document = to_text(report), to_html(report), to_document(report, full=True)
    assert "  content   redacted in part\n" in text
    assert f"Warnings\n  - {IN_PART}\n" in text
    assert "redacted in part" in page
    assert (document["livekit_otel"]["redacted"], document["livekit_otel"]["redacted_in_part"]) == (False, True)
    for form in (text, page, json.dumps(document)):
        assert CANARY not in form
        assert "BIRD" in form


def test_pictures_are_withheld(play: Callable[..., trace.Trace]) -> None:
    """A picture in the conversation is no text: it is not recorded, and its address goes through redact."""

    async def script(call: Call) -> None:
        session = call.session()
        await call.start(session)
        for image in ("data:image/png;base64,c2VjcmV0", f"https://example.com/{EMAIL}"):
            item = ChatMessage(role="user", content=[ImageContent(image=image)])
            session.emit("conversation_item_added", ConversationItemAddedEvent(item=item))
        await call.close(session)

    found = play(script, redact=livekit_otel.PatternRedactor())
    added = [part for message in messages(reports(found)[0].events) for part in message["content"]]
    assert [part["image"] for part in added] == ["", "https://example.com/[EMAIL]"]
    assert "c2VjcmV0" not in found.text


# --- faults --------------------------------------------------------------------------------------------------------
def raising(text: str, kind: str) -> str:
    raise LookupError(text)


def cancelled(text: str, kind: str) -> str:
    raise asyncio.CancelledError(text)


@pytest.mark.parametrize(
    "redact", [raising, cancelled, lambda text, kind: None, lambda text, kind: b"x", lambda text: text]
)
def test_a_redact_that_fails(redact: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The text is withheld, the call is as without us, the log says it once and without the text, the report counts."""
    monkeypatch.setattr(containment, "_faults", Counter())
    expected = _texts(run_scenario("one_tool"))
    with caplog.at_level(logging.DEBUG, "livekit_otel"):
        found = trace._record("one_tool", None, {"redact": redact})
    assert _texts(found.outcomes) == expected
    assert CANARY not in found.text
    assert CANARY not in caplog.text
    assert caplog.text.count("redact failed and was contained") == 1
    report = reports(found)[0]
    count = found.of("session.end")[0].attributes[attr.SESSION_REDACT_FAILED]
    assert report.warnings == [IN_PART, f"{count} texts are withheld because redact failed on them"]
    assert report.complete
    assert report.turns[0].user_text == "[WITHHELD]"


def _texts(outcomes: Any) -> list[Any]:
    return [[item.get("content") for item in one.report["chat_history"]["items"]] for one in outcomes]


def test_empty_texts_change_no_turns() -> None:
    """A redact that leaves nothing of the words changes nothing but the words: the turns are the same."""
    for name in ("realtime_conversation", "realtime_late_words", "several_turns"):
        plain = reports(trace.record(name))[0]
        empty = reports(trace._record(name, None, {"redact": lambda text, kind: ""}))[0]
        assert [(t.index, t.end_reason, len(t.stages)) for t in empty.turns] == [
            (t.index, t.end_reason, len(t.stages)) for t in plain.turns
        ]
        assert {t.user_text + t.agent_text for t in empty.turns} == {""}


class _Broken:
    """What is put in the place of a method."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{self.name} is broken on purpose")


HOOKS = [
    (cls, name)
    for cls in (Redaction, ContentRedactor, Transcripts)
    for name, member in inspect.getmembers(cls, inspect.isfunction)
    if not name.startswith("_") or name == "__init__"
]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: f"{hook[0].__name__}.{hook[1]}")
def test_a_broken_redaction_harms_no_call_and_leaks_nothing(
    hook: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a part of the redaction raising every time, LiveKit does what it does without us, and no content is recorded
    that did not go through it."""
    logging.getLogger("livekit_otel").setLevel(logging.CRITICAL)
    try:
        for name in ("barge_in", "failing_tools", "realtime_tool"):
            expected = undisturbed(name)
            with monkeypatch.context() as patch:
                patch.setattr(*hook, _Broken(hook[1]))
                found = trace._record(name, None, {"redact": masked})
            assert normal([outcome.report for outcome in found.outcomes]) == expected
            assert CANARY not in found.text
    finally:
        logging.getLogger("livekit_otel").setLevel(logging.NOTSET)


# --- beside the other switches -------------------------------------------------------------------------------------
def test_withheld_content_is_not_redacted() -> None:
    """Where content may not be recorded, redact is not asked, and the report says that content was withheld."""
    asked: list[str] = []
    found = trace._record(
        "question_and_answer",
        None,
        {"allow_pii": False, "redact": lambda text, kind: asked.append(text) or text},
    )
    report = reports(found)[0]
    assert asked == []
    assert (report.redacted, report.redacted_in_part) == (True, False)


def test_without_redact_nothing_says_so() -> None:
    """Without redact no attribute and no warning speaks of it."""
    found = trace.record("question_and_answer")
    assert attr.SESSION_REDACTED_IN_PART not in found.text
    assert reports(found)[0].redacted_in_part is False


# --- LiveKit's own spans -------------------------------------------------------------------------------------------
async def later(text: str, kind: str) -> str:
    return text


def test_native_spans_are_refused() -> None:
    """redact does not reach LiveKit's own spans: native_spans=True beside it is an error that says what to do."""
    message = (
        "redact does not reach LiveKit's own spans, which native_spans=True sends to the provider with all that is "
        "said: leave native_spans out, or leave redact out and set allow_pii=False"
    )
    with pytest.raises(livekit_otel.OptionError) as raised:
        livekit_otel.set_tracer_provider(TracerProvider(), native_spans=True, redact=unchanged)
    assert str(raised.value) == message
    with pytest.raises(livekit_otel.OptionError, match="redact does not reach"):
        livekit_otel.LiveKitInstrumentor().instrument(native_spans=True, redact=unchanged)
    with pytest.raises(livekit_otel.OptionError, match=r"redact must be a callable \(text, kind\) -> text that is not"):
        livekit_otel.set_tracer_provider(TracerProvider(), redact="***")  # type: ignore[arg-type]
    with pytest.raises(livekit_otel.OptionError, match="that is not async, not function"):
        livekit_otel.set_tracer_provider(TracerProvider(), redact=later)  # type: ignore[arg-type]


def test_a_provider_that_livekit_was_given_is_refused() -> None:
    """Where LiveKit's tracer was given the provider by somebody else, its spans would reach it unredacted."""
    for switch_on in (
        lambda provider: livekit_otel.set_tracer_provider(provider, redact=unchanged),
        lambda provider: livekit_otel.LiveKitInstrumentor().instrument(tracer_provider=provider, redact=unchanged),
    ):
        provider = TracerProvider(shutdown_on_exit=False)
        telemetry.set_tracer_provider(provider)
        with pytest.raises(livekit_otel.OptionError, match="LiveKit's tracer uses this provider"):
            switch_on(provider)
        trace.switch_off()


def test_spans_that_were_shared_are_taken_back() -> None:
    """A second call with redact keeps LiveKit's spans from the provider that the first one gave them."""
    provider = TracerProvider(shutdown_on_exit=False)
    livekit_otel.set_tracer_provider(provider)
    found = trace.trace_scenario(
        "question_and_answer",
        provider,
        native_spans=None,
        options={"redact": masked},
    )
    assert CANARY not in found.text
    assert len(found.pipeline) == len(found.records)


def test_the_global_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """instrument(redact=…) keeps LiveKit's spans from OpenTelemetry's global provider, too, where those of ours go."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.util._once import Once

    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(otel, "_TRACER_PROVIDER_SET_ONCE", Once())
    provider, memory = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    telemetry.tracer.set_provider(otel.ProxyTracerProvider())
    livekit_otel.LiveKitInstrumentor().instrument(redact=masked)
    otel.set_tracer_provider(provider)
    run_scenario("question_and_answer")
    spans = memory.get_finished_spans()
    assert spans
    assert {span.instrumentation_scope.name for span in spans if span.instrumentation_scope} == {attr.SCOPE}
    assert CANARY not in "".join(span.to_json() for span in spans)


def test_a_provider_that_livekit_is_given_afterwards_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """LiveKit's set_tracer_provider after ours sends its spans there, unredacted: the log says so, once."""
    provider = TracerProvider(shutdown_on_exit=False)
    livekit_otel.set_tracer_provider(provider, redact=unchanged)
    telemetry.set_tracer_provider(provider)
    for _ in range(2):
        run_scenario("question_and_answer")
    assert caplog.text.count("LiveKit's own spans reach it with all their content") == 1
