"""The calls of this tier: what the user and the server do in each."""

from __future__ import annotations

import asyncio

from livekit.agents import APIConnectOptions

from .call import Call, call
from .log import Reply

STORY = "Once upon a time there was a very long story that went on and on."


@call
async def openai_talk(one: Call) -> None:
    """A greeting, a question, a tool, a barge-in."""
    await one.openai()
    server = one.server
    server.replies = [Reply("Hello from the shop.")]
    await one.session.generate_reply(instructions="greet")
    await asyncio.sleep(0.3)
    await server.user_speaks(words="what is the time", reply=Reply("It is noon."))
    await one.silent()
    server.replies = [Reply("It rains in Lima.")]
    await server.user_speaks(words="weather in lima", reply=Reply(calls=[("weather", {"city": "Lima"})]))
    await one.silent()
    await server.user_speaks(words="tell me a story", reply=Reply(STORY, 4.0))
    await one.until(lambda: one.speaker.playing)
    await asyncio.sleep(0.8)
    await server.user_speaks(words="stop", reply=Reply("All right."))
    await one.silent()
    await one.close()


@call
async def openai_failed(one: Call) -> None:
    """Responses that fail: before a word, in the middle, and for the longest answer, which is no failure."""
    await one.openai()
    for words, fault in (("one", "rate limit"), ("two", "rate limit in mid-answer"), ("three", "token limit")):
        await one.server.user_speaks(words=words, reply=Reply("Half a reply that then ends.", 1.0, fault=fault))
        await asyncio.sleep(1.6)
    await one.close()


@call
async def openai_quota(one: Call) -> None:
    """The account is empty: the plugin gives up."""
    await one.openai()
    await one.server.user_speaks(words="one", reply=Reply("Never.", fault="quota"))
    await asyncio.sleep(1.2)
    await one.close()


@call
async def openai_rejected(one: Call) -> None:
    """The request for a greeting is refused."""
    await one.openai()
    one.server.replies = [Reply(fault="rejected"), Reply("Hello after all.")]
    await one.session.generate_reply(instructions="greet")
    await asyncio.sleep(0.3)
    await one.session.generate_reply(instructions="greet")
    await asyncio.sleep(0.3)
    await one.close()


RETRY = APIConnectOptions(max_retry=3, retry_interval=0.1, timeout=5.0)


@call
async def openai_dropped(one: Call) -> None:
    """The socket goes before a word, and in the middle of an answer; the plugin connects again."""
    await one.openai(model={"conn_options": RETRY})
    for words, fault in (("one", "dropped socket"), ("two", "dropped socket in mid-answer")):
        connections = len(one.server.log.times("connected"))
        await one.server.user_speaks(words=words, reply=Reply("This answer is lost in the middle.", 2.0, fault=fault))
        await one.until(lambda seen=connections: len(one.server.log.times("connected")) > seen)
        await asyncio.sleep(1.0)
    await one.server.user_speaks(words="three", reply=Reply("Here I am again."))
    await one.silent()
    await one.close()


@call
async def gemini_dropped(one: Call) -> None:
    """The same with Gemini, and a server that goes away in the middle of an answer."""
    await one.gemini(model={"conn_options": RETRY})
    for words, fault in (
        ("one", "dropped socket"),
        ("two", "dropped socket in mid-answer"),
        ("three", "go away in mid-answer"),
    ):
        connections = len(one.server.log.times("connected"))
        one.server.answer(Reply("This answer is lost in the middle.", 2.0, heard=words, fault=fault))
        await one.until(lambda seen=connections: len(one.server.log.times("connected")) > seen)
        await asyncio.sleep(1.2)
    one.server.answer(Reply("Here I am again.", heard="four"))
    await one.silent()
    await one.close()


@call
async def gemini_talk(one: Call) -> None:
    """A greeting, questions whose words come before, within and after the answer, a tool, a barge-in."""
    await one.gemini()
    server = one.server
    server.replies = [Reply("Hello from Gemini.")]
    await one.session.generate_reply(instructions="greet")
    await asyncio.sleep(0.3)
    for words, at in (("what is the time", "before"), ("in the middle", "middle"), ("after all", "late")):
        server.answer(Reply("It is noon now.", heard=words, heard_at=at))
        await one.silent(0.5)
    server.after_tools = [Reply("It rains in Lima.")]
    server.answer(Reply(heard="weather in lima", calls=[("weather", {"city": "Lima"})]))
    await one.silent(0.5)
    server.answer(Reply(STORY, 4.0, heard="tell me a story"))
    await one.until(lambda: one.speaker.playing)
    await asyncio.sleep(0.8)
    await server.user_interrupts()
    server.answer(Reply("All right.", heard="stop it"))
    await one.silent(0.5)
    await one.close()


@call
async def openai_noise(one: Call) -> None:
    """The server takes noise for speech, with and without an end; later it speaks of itself, then the user does."""
    await one.openai()
    await one.server.noise()
    await asyncio.sleep(0.6)
    await one.server.noise(stops_after=0.3)
    await asyncio.sleep(0.6)
    one.server.answer(Reply("Are you still there?"))
    await one.silent()
    await one.server.noise()
    await asyncio.sleep(1.0)
    await one.server.user_speaks(words="yes I am", reply=Reply("Good."))
    await one.silent()
    await one.close()


@call
async def openai_late_words(one: Call) -> None:
    """Words during the answer, after it, and in time; then those of one question come after the next one's."""
    await one.openai()
    for words, after in (("while it speaks", 0.9), ("after it spoke", 2.2), ("in time", 0.1)):
        await one.server.user_speaks(words=words, words_after=after, reply=Reply("An answer it is.", 1.0))
        await one.silent(1.4 if after > 2 else 0.3)
    await one.server.user_speaks(words="the slow one", words_after=3.0, reply=Reply("One.", 0.6))
    await one.silent(0.2)
    await one.server.user_speaks(words="the quick one", words_after=0.1, reply=Reply("Two.", 0.6))
    await one.silent(1.0)
    await one.close()


@call
async def gemini_proactive(one: Call) -> None:
    """Gemini speaks of itself; then it answers, and is closed in the middle of that."""
    await one.gemini()
    one.server.answer(Reply("Are you still there?"))
    await one.silent(0.6)
    one.server.answer(Reply(STORY, 4.0, heard="yes I am"))
    await one.until(lambda: one.speaker.playing)
    await asyncio.sleep(0.7)
    await one.close()


@call
async def gemini_usage(one: Call) -> None:
    """Usage in the middle of an answer, and at its end."""
    await one.gemini()
    one.server.answer(Reply("It is noon now.", heard="what is the time", usages=2))
    await one.silent(0.5)
    one.server.answer(Reply("You are welcome.", heard="thank you", usages=2))
    await one.silent(0.5)
    await one.close()


async def _two_questions(one: Call) -> None:
    await one.server.user_speaks(words="what is the time", reply=Reply("It is noon."))
    await one.silent()
    one.server.replies = [Reply("It rains in Lima.")]
    await one.server.user_speaks(words="weather in lima", reply=Reply(calls=[("weather", {"city": "Lima"})]))
    await one.silent()
    await one.close()


@call
async def xai_talk(one: Call) -> None:
    """The plugin that is based on OpenAI's, and bills the time of its connection."""
    await one.xai()
    await _two_questions(one)


@call
async def azure_talk(one: Call) -> None:
    """OpenAI's own plugin on Azure's names."""
    await one.azure()
    await _two_questions(one)


async def _spoken(one: Call, *texts: str) -> None:
    """The user says these into the microphone, one after each answer."""
    for text in texts:
        await asyncio.sleep(one.says(text))
        await one.silent(0.6)
    await one.close()


@call
async def openai_turns_of_the_session(one: Call) -> None:
    """LiveKit's VAD ends the turns, the server transcribes what is committed."""
    await one.openai(model={"turn_detection": None}, turn_detection="vad")
    one.server.replies = [Reply("It is noon."), Reply("You are welcome.")]
    one.server.committed_words = [("what is the time please", 0.2), ("thank you very much", 0.2)]
    await _spoken(one, "What is the time please?", "Thank you very much for that.")


@call
async def gemini_turns_of_the_session(one: Call) -> None:
    """LiveKit's VAD ends the turns of a model that needs a second to its first audio."""
    from google.genai import types

    manual = types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))
    await one.gemini(model={"realtime_input_config": manual}, turn_detection="vad")
    one.server.replies = [
        Reply("It is noon.", delay=1.0, heard="what is the time"),
        Reply("You are welcome.", delay=1.0, heard="thank you"),
    ]
    await _spoken(one, "What is the time please?", "Thank you very much for that.")


@call
async def openai_own_stt(one: Call) -> None:
    """The session's recognizer hears the words, the server's detection ends the turns."""
    from .standins import Recognizer

    await one.openai(model={"input_audio_transcription": None}, stt=Recognizer(one.heard_words))
    for text, answer in (("what is the time", "It is noon."), ("thank you", "You are welcome.")):
        one.background(one.recognized(text, 0.75))
        await one.server.user_speaks(reply=Reply(answer))
        await one.silent()
    await one.close()


@call
async def openai_half_cascade(one: Call) -> None:
    """The model hears and writes, the session's own TTS speaks: a question, a tool, a barge-in."""
    from .standins import Voice

    await one.openai(model={"modalities": ["text"]}, tts=Voice())
    one.server.text_only = True
    await one.server.user_speaks(words="what is the time", reply=Reply("It is noon. Anything else?"))
    await one.silent()
    one.server.replies = [Reply("It rains in Lima.")]
    await one.server.user_speaks(words="weather in lima", reply=Reply(calls=[("weather", {"city": "Lima"})]))
    await one.silent()
    await one.server.user_speaks(words="tell me a story", reply=Reply(STORY))
    await one.until(lambda: one.speaker.playing)
    await asyncio.sleep(0.5)
    await one.server.user_speaks(words="stop", reply=Reply("All right."))
    await one.silent()
    await one.close()


@call
async def openai_half_cascade_own_stt(one: Call) -> None:
    """The session's VAD, recognizer and TTS around a model that writes."""
    from .standins import Recognizer, Voice

    model = {"modalities": ["text"], "input_audio_transcription": None, "turn_detection": None}
    await one.openai(model=model, turn_detection="vad", stt=Recognizer(one.heard_words), tts=Voice())
    one.server.text_only = True
    one.server.replies = [Reply("It is noon."), Reply("You are welcome.")]
    for text in ("What is the time please?", "Thank you very much for that."):
        seconds = one.says(text)
        one.background(one.recognized(text, seconds + 0.2))
        await asyncio.sleep(seconds)
        await one.silent(0.6)
    await one.close()


@call
async def openai_messages(one: Call) -> None:
    """A response of two messages."""
    await one.openai()
    await one.server.user_speaks(words="hello", reply=Reply(messages=["Hello there.", "How are you?"], seconds=0.6))
    await one.silent(1.2)
    await one.close()


@call
async def openai_reconnect(one: Call) -> None:
    """The longest session is over between two questions: the plugin connects anew."""
    await one.openai(model={"max_session_duration": 2.5})
    await one.server.user_speaks(words="one", reply=Reply("Answer one."))
    await one.silent()
    await one.until(lambda: len(one.server.log.times("connected")) > 1)
    await asyncio.sleep(0.3)
    await one.server.user_speaks(words="two", reply=Reply("Answer two."))
    await one.silent()
    await one.close()


@call
async def openai_closed(one: Call) -> None:
    """Closed in the middle of an answer."""
    await one.openai()
    await one.server.user_speaks(words="tell me a story", reply=Reply(STORY, 4.0, pace=1.2))
    await one.until(lambda: one.speaker.playing)
    await asyncio.sleep(0.7)
    await one.close()


@call
async def openai_written(one: Call) -> None:
    """The user writes."""
    await one.openai()
    one.server.replies = [Reply("Written answer.")]
    await one.session.generate_reply(user_input="a written question")
    await asyncio.sleep(0.3)
    await one.close()
