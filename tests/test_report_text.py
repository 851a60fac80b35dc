"""The text of a report with answers: bars of silence, percentiles, discarded tokens; plain, and on a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from livekit_otel import SessionReport, build_report, build_reports
from livekit_otel import attributes as attr
from livekit_otel.report.bars import Scale
from livekit_otel.report.render_terminal import show
from livekit_otel.report.render_text import to_text

from .kit.trace import names, record
from .turns_kit import Script, llm_metrics, stt_metrics, tts_metrics


def call() -> SessionReport:
    """Three answers: a plain one, one after a generation that was discarded, and one that took very long."""
    script = Script()
    for number, wait in enumerate((0.5, 1.0, 9.0)):
        at = 20.0 * number
        words = {attr.TURN_USER_TEXT: f"question {number}", attr.TURN_AGENT_TEXT: "[red]answer\x1b[31m"}
        reported = {attr.reported("e2e_latency"): wait + 1.0} if number == 2 else {}
        turn = script.turn(at + 1.0, at + 18.0, **{**words, **reported, attr.END_REASON: "completed"})  # type: ignore[arg-type]
        turn.vad(at + 1.0, at + 2.0)
        turn.stt(at + 1.0, at + 2.1, **stt_metrics(1.0, at + 2.1))
        turn.eou(at + 2.0, at + 2.2)
        text = at + 2.0 + wait - 0.1
        turn.llm(at + 2.2, text + 1.0, text - at - 2.2, **llm_metrics(100, 10, at + 4))
        turn.tts(text, text + 1.0, 0.1, ttfb=0.1, **tts_metrics(6, 1.0, at + 4))
        turn.playback(text + 0.1, text + 3.0)
        if number == 1:
            turn.verdict(text + 1.0, text + 1.5, attr.VERDICT_BACKCHANNEL)
            more = {**llm_metrics(100, 3, at + 3), attr.OUTCOME: attr.OUTCOME_DISCARDED}
            turn.llm(at + 1.8, at + 2.1, 0.1, speech="B", **more)
    return build_report(script.spans)


TEXT = """\
Conversation
    0:00  user    question 0
          wait    ░▒█▓ 0.50 s: transcription 0.10, eou 0.10, llm 0.20, tts 0.10
    0:01  agent   [red]answer\ufffd[31m
    0:20  user    question 1
          wait    ░▒█████▓ 1.00 s: transcription 0.10, eou 0.10, llm 0.70, tts 0.10
    0:22  agent   [red]answer\ufffd[31m
    0:22  backchannel: the user spoke while the agent did
    0:40  user    question 2
          wait    ░▒██████████████████████> 9.00 s: transcription 0.10, eou 0.10, llm 8.70, tts 0.10
                  note: LiveKit reports 1.000 s more of e2e_latency than the spans' 9.000 s: the
                  spans say when it really began and ended (docs/latency.md)
    0:50  agent   [red]answer\ufffd[31m
                  (░ transcription  ▒ eou  █ llm  ▓ tts; a column is 0.12 s)

Flags
    0:40  turn 2  slow: 9.00 s (limit 2 s), mostly llm

Latency
  seconds                       turns    max
  e2e_latency                       3  9.000
  transcription_delay               3  0.100
  end_of_turn_delay                 3  0.200
  on_user_turn_completed_delay      3  0.000
  llm_node_ttft                     3  8.700
  llm_node_ttfs                     3  8.700
  tts_node_ttfb                     3  0.100
  playback_latency                  3  0.000

Silence
  transcription   0.30 s    3%
  eou             0.30 s    3%
  llm             9.60 s   91%
  tts             0.30 s    3%
  all            10.50 s  100%

Usage
  llm  openai/gpt      400 input tokens, 33 output tokens
                       discarded by preemptive generation: 100 input tokens, 3 output tokens
  tts  cartesia/voice  18 characters, 3.00 s of audio
  stt  deepgram/nova   3.00 s of audio
"""


def section(text: str) -> str:
    """From the conversation to the warnings."""
    return text[text.index("Conversation\n") : text.index("\nWarnings")]


def test_text() -> None:
    """Plain text has a bar per answer on one scale, a cut outlier, longest waits, shares, discarded tokens, counts."""
    assert section(to_text(call())) == TEXT


def test_text_in_ascii() -> None:
    """Where blocks cannot be shown, letters tell the stages apart."""
    text = to_text(call(), ascii=True)
    assert "wait    rellllls 1.00 s: transcription 0.10" in text
    assert "(r transcription  e eou  l llm  s tts; a column is 0.12 s)" in text


def test_bars_are_proportional() -> None:
    """Bars have the length of the wait, in the order of the path; one far above the median is cut."""
    turns = call().turns
    scale = Scale(turns, 30)
    assert (scale.limit, scale.seconds) == (3.0, 0.1)
    assert scale.cells(turns[0]) == [("transcription", 1), ("eou", 1), ("llm", 2), ("tts", 1)]
    assert scale.cells(turns[1]) == [("transcription", 1), ("eou", 1), ("llm", 7), ("tts", 1)]
    assert sum(columns for _, columns in scale.cells(turns[2])) == 30
    assert [scale.cut(turn) for turn in turns] == [False, False, True]
    assert Scale([], 30).limit == 0.0


def printed(report: SessionReport, width: int, **options: object) -> str:
    stream = io.StringIO()
    show(report, Console(file=stream, width=width, **options))  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_terminal(width: int) -> None:
    """On a terminal the same sections come in colours, no line is wider than it, and content stays content."""
    shown = printed(call(), width, force_terminal=True, color_system="truecolor", no_color=False)
    assert "\x1b[36m█" in shown
    assert "\x1b[34m█" in shown
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "\x1b" not in text
    assert text.count("[red]answer\ufffd[31m") == 3
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert [title.split()[0] for title in titles] == [
        "Session", "Verdict", "Conversation", "Flags", "Latency", "Silence", "Usage", "Warnings",
    ]  # fmt: skip
    squeezed = " ".join(text.split())
    assert "█ transcription █ eou █ llm █ tts (a column is " in squeezed
    assert "e2e_latency 3 9.000" in squeezed


def test_terminal_without_colours() -> None:
    """Without colours the characters tell the stages apart, and nothing but text is written."""
    shown = printed(call(), 100, color_system=None)
    assert "\x1b" not in shown
    assert "wait   ░██ 0.50 s" in shown
    assert "░ transcription  ▒ eou  █ llm  ▓ tts" in shown


@pytest.mark.parametrize("name", names())
def test_every_session_can_be_shown(name: str) -> None:
    """Every scripted session makes a page in both forms, with a bar for each answer, as UTF-8 can carry it."""
    for report in build_reports(record(name).pipeline):
        waits = sum(bool(turn.silence) for turn in report.turns)
        plain, terminal = to_text(report), printed(report, 90, color_system=None)
        for text in (plain, terminal):
            said, _, _ = text.partition("\nLatency\n")
            assert len(re.findall(r"^ +wait ", said, re.M)) == waits
            assert len(re.findall(r"^ +\d+:\d\d  gap ", said, re.M)) == sum(len(turn.gaps) for turn in report.turns)
            text.encode()
        words = [line for line in plain.splitlines() if re.match(r" +\d+:\d\d  (user|agent)", line)]
        messages = [item for item in report.history if item.get("role") in ("user", "assistant")]
        assert len(words) == len(messages)


def test_words_of_a_turn_that_broke_off() -> None:
    """What was heard in a turn that never ended is shown, though no history item tells it."""
    script = Script()
    script.turn(1.0, 9.0, **{attr.TURN_USER_TEXT: "hello"}).vad(1.0, 2.0)  # type: ignore[arg-type]
    turn = script.turn(10.0, 19.0)
    turn.vad(10.0, 11.0)
    turn.stt(10.0, 11.2, **{attr.STT_TEXT: "are you there"})
    report = build_report([one for one in script.spans if one.span_id != turn.span_id])
    assert "user    hello\n" in to_text(report)
    assert "user    are you there\n" in to_text(report)


@pytest.mark.parametrize("words", [1, 3, 8])
def test_an_answer_of_which_little_was_heard(words: int) -> None:
    """However few words of a cut answer were heard: the rest stands below them, and nowhere else as never heard."""
    report = build_report(record("barge_in").pipeline)
    (cut,) = [item for item in report.history if item.get("interrupted")]
    whole = cut["content"][0].split()
    cut["content"] = [" ".join(whole[:words])]
    text = " ".join(to_text(report).split())
    assert f"not heard any more: {' '.join(whole[words:])[:30]}" in text
    assert "not in the conversation" not in text
