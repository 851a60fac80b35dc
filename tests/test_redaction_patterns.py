"""The ready-made ``redact``, and how texts are taken apart for it: what is found, what is not, and in what time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

import livekit_otel
from livekit_otel import PatternRedactor
from livekit_otel._install_hint import install_hint
from livekit_otel.redaction import Redaction

redact = PatternRedactor()
in_the_us = PatternRedactor("US")

#: as recognizers and models write them; None: not found, as docs/privacy.md says
SAMPLES: list[tuple[str, str | None]] = [
    ("my card is 4111 1111 1111 1111 thanks", "my card is [CARD] thanks"),
    ("it is 4111-1111-1111-1111.", "it is [CARD]."),
    ("5555555555554444", "[CARD]"),
    ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[CARD]"),
    ("41 11 11 11 11 11 11 11", "[CARD]"),
    ("4111, 1111, 1111, 1111", "[CARD]"),
    ("amex 3782 822463 10005, code 1234", "amex [CARD], code 1234"),
    ("2223 0031 2200 3222 expires 12/27", "[CARD] expires 12/27"),
    ("diners 3056 930902 5904", "diners [CARD]"),
    ("order 12 card 4111 1111 1111 1111", "order 12 card [CARD]"),
    ("call +49 30 901820 please", "call [PHONE] please"),
    ("+1 (415) 555-2671", "[PHONE]"),
    ("my number is +442079460958", "my number is [PHONE]"),
    ("write +33 1 42 68 53 00 down", "write [PHONE] down"),
    ("either +49 30 901820 or +49 89 2333", "either [PHONE] or [PHONE]"),
    ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [IBAN] please"),
    ("de89370400440532013000", "[IBAN]"),
    ("GB29 NWBK 6016 1331 9268 19.", "[IBAN]."),
    ("FR14 2004 1010 0505 0001 3M02 606", "[IBAN]"),
    ("NL91-ABNA-0417-1643-00", "[IBAN]"),
    ("mail to john.smith@example.com.", "mail to [EMAIL]."),
    ("john_smith+bank@mail.example.co.uk", "[EMAIL]"),
    ("jörg@müller.de", "[EMAIL]"),
    ("<a@b.io>", "<[EMAIL]>"),
    ("call 415 555 2671", None),  # with region="US" it is found
    ("four one one one one one one one one one one one one one one one", None),
    ("john dot smith at example dot com", None),
    ("john smith at example.com", None),
    ("my card is 4111 1111, then 1111 and 1111", None),
    ("plus four nine thirty ninety eighteen twenty", None),
]


@pytest.mark.parametrize(("text", "expected"), SAMPLES, ids=[text for text, _ in SAMPLES])
def test_samples(text: str, expected: str | None) -> None:
    """Each sample is replaced as the table says, or left as it is."""
    assert redact(text) == (text if expected is None else expected)


def test_how_many() -> None:
    """docs/privacy.md says how many of the thirty samples are found."""
    assert len(SAMPLES) == 30
    assert sum(expected is not None for _, expected in SAMPLES) == 24


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112",
        "the order number is 1234567890",
        "on 2024-01-02 at 12:30:45",
        "at 1764000000000 ms",
        "0.4539578763621486 and 1.4111111111111111",
        "v1.2.3.4.5.6.7.8.9",
        "12345678-4111-1111-1111-111111111111",
        "ISBN 978-3-16-148410-0",
        "tracking 1Z999AA10123456784",
        "flight DE89 to gate GB29",
        "10 + 20 + 30 = 60",
        "the rooms 12, 45, 33, 41, 11, 67, 89, 10, 23, 57 and 19",
        "meet me @ five",
        "user@localhost",
        "",
    ],
)
def test_what_is_none_of_them(text: str) -> None:
    """Orders, dates, times, versions, ids and books stay as they are."""
    assert redact(text) == text


def test_random_numbers() -> None:
    """Of random ten-digit numbers none is taken for a phone number without a region, and many are with one."""
    chance = random.Random(7)
    numbers = [str(chance.randrange(10**9, 10**10)) for _ in range(500)]
    assert [one for one in numbers if redact(f"order {one}") != f"order {one}"] == []
    assert sum(in_the_us(f"order {one}") != f"order {one}" for one in numbers) > 100


def test_a_region() -> None:
    """With a region its national numbers are found, too."""
    assert in_the_us("call (415) 555-2671 or 415 555 2671") == "call [PHONE] or [PHONE]"
    assert PatternRedactor("DE")("ruf 030 901820 an") == "ruf [PHONE] an"


def test_each_can_be_left_out() -> None:
    """What is not wanted stays."""
    text = "4111 1111 1111 1111 a@b.io DE89370400440532013000 +4930901820"
    assert redact(text) == "[CARD] [EMAIL] [IBAN] [PHONE]"
    assert PatternRedactor(card=False, iban=False)(text) == "4111 1111 1111 1111 [EMAIL] DE89370400440532013000 [PHONE]"
    assert PatternRedactor(phone=False, email=False)(text) == "[CARD] a@b.io [IBAN] +4930901820"


def test_other_digits() -> None:
    """Digits of other scripts are digits."""
    assert redact("٤١١١ ١١١١ ١١١١ ١١١١") == "[CARD]"


@pytest.mark.parametrize("region", ["us", "USA", "XX", ""])
def test_no_region(region: str) -> None:
    """A region that is none is an error that says what it must be."""
    with pytest.raises(livekit_otel.OptionError, match="region must be a two-letter country code, like 'US', or None"):
        PatternRedactor(region)


WITHOUT = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("phonenumbers", "stdnum"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import livekit_otel
try:
    livekit_otel.PatternRedactor()
except livekit_otel.MissingDependencyError as error:
    print(error)
"""


def test_without_its_libraries() -> None:
    """Without the extra ``redact`` the error says what to install; nothing else needs it."""
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "PatternRedactor needs phonenumberslite and python-stdnum, which are not installed: " in run.stdout
    assert install_hint("redact") in run.stdout


HOSTILE: dict[str, Callable[[int], str]] = {
    "digits": lambda n: "4" * n,
    "spelled": lambda n: "4 " * (n // 2),
    "groups": lambda n: "4111 " * (n // 5),
    "plus": lambda n: "+" * n,
    "phones": lambda n: "+49 30 " * (n // 7),
    "ibans": lambda n: "DE89 " * (n // 5),
    "letters": lambda n: "DE" * (n // 2),
    "at": lambda n: "a@" * (n // 2),
    "domains": lambda n: "a@" + "a." * (n // 2),
    "local": lambda n: "a." * (n // 2) + "@",
    "brackets": lambda n: "[" * n,
    "quotes": lambda n: '{"' * (n // 2),
    "numbers": lambda n: json.dumps(list(range(10**6, 10**6 + n // 9))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_follows_the_length(name: str) -> None:
    """A text of eight times the length takes about eight times as long, whatever it is made of."""
    small, large = _seconds(HOSTILE[name](4_000)), _seconds(HOSTILE[name](32_000))
    assert large < 40 * small + 0.05


def _seconds(text: str) -> float:
    best = 1e9
    for _ in range(3):
        redaction = Redaction(in_the_us)
        began = time.perf_counter()
        redaction.text(text, "user")
        redaction.cut_off(text, "agent")
        best = min(best, time.perf_counter() - began)
    return best


# --- how texts are taken apart -------------------------------------------------------------------------------------
def test_json_stays_json() -> None:
    """In a JSON document strings, keys and long numbers are redacted one by one; layout and the rest stay."""
    text = '{ "a@b.io": [4111111111111111, 1.5, true, null, "x\\n\\"+49 30 901820\\""],\n "n": 12 }'
    found = Redaction(redact).text(text, "tool_arguments")
    assert found == '{ "[EMAIL]": ["[CARD]", 1.5, true, null, "x\\n\\"[PHONE]\\""],\n "n": 12 }'
    json.loads(found)


def test_json_in_json() -> None:
    """A JSON document in a string of another one stays one, too."""
    text = json.dumps({"body": json.dumps({"card": 4111111111111111, "deep": json.dumps(["a@b.io"])})})
    body = json.loads(json.loads(Redaction(redact).text(text, "tool_result"))["body"])
    assert (body["card"], json.loads(body["deep"])) == ("[CARD]", ["[EMAIL]"])


@pytest.mark.parametrize("text", ['{"a": "4111 1111 1111 1111"', "{not json 4111 1111 1111 1111}", "[4111111111111111"])
def test_what_is_no_json_is_a_text(text: str) -> None:
    """A document that does not parse is redacted as the text that it is."""
    assert "4111" not in Redaction(redact).text(text, "tool_arguments")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Your card is 4111 1111 11", "Your card is …"),
        ("write to john.smi", "write to …"),
        ("write to john.smith@", "write to …"),
        ("the account GB29 NWBK 6016", "the account …"),
        ("call +49 (30", "call …"),
        ("your card 4111 1111 1111 1111 is fine, and", "your card [CARD] is fine, …"),
        ("word", "…"),
        ("4111 1111", "…"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_a_text_that_breaks_off(text: str, left: str) -> None:
    """The last word is withheld, and what may be parts of a number or an address before it."""
    assert Redaction(redact).cut_off(text, "agent") == left


def test_payloads() -> None:
    """Values of payloads are redacted with their keys; keys that become equal stay apart."""
    value = {"a@b.io": {"n": 4111111111111111, "f": 1.5, "s": {"x"}}, "c@d.io": (True, None, "+49 30 901820")}
    assert Redaction(redact).value(value, "other") == {
        "[EMAIL]": {"n": "[CARD]", "f": 1.5, "s": ["x"]},
        "[EMAIL] (2)": [True, None, "[PHONE]"],
    }


def test_many_keys_that_become_equal() -> None:
    """Thousands of keys that are redacted alike are counted, not compared with each other."""
    found = Redaction(lambda text, kind: "X").value({f"key {number}": number for number in range(20_000)}, "other")
    assert list(found)[:3] == ["X", "X (2)", "X (3)"]
    assert len(found) == 20_000


def test_a_half_that_is_said_twice() -> None:
    """Each text of the user counts once, however often it is recorded; what is said again is said again."""
    redaction = Redaction(redact)
    for half in ("my card is 4111 1111", "1111 1111"):
        redaction.said(half)
        redaction.said(half, again=True)
    assert [redaction.text(one, "user") for one in ("my card is 4111 1111", "1111 1111")] == [
        "my card is 4111 1111",
        "…",
    ]
    assert redaction.text("1111 1111", "agent") == "1111 1111"


def test_a_number_in_four_turns() -> None:
    """A number is found when its last part comes, and that part is withheld."""
    redaction, parts = Redaction(redact), ["it is 4111", "1111", "1111", "1111 thank you"]
    for part in parts:
        redaction.said(part)
    assert [redaction.text(one, "user") for one in parts] == ["it is 4111", "1111", "1111", "… thank you"]
    redaction.said("1111 is my code")
    assert redaction.text("1111 is my code", "user") == "1111 is my code"


def test_what_is_kept_of_texts_is_bounded() -> None:
    """A long call keeps the results of its latest texts, not of all."""
    redaction = Redaction(lambda text, kind: text)
    for number in range(2_000):
        redaction.text(f"text {number}", "user")
        redaction.said(f"4111 {number}")
        redaction.withhold(f"piece {number}")
        redaction.broke_off(f"ending {number}")
    assert len(redaction._known) <= 256
    assert len(redaction._completing) <= 256
    assert len(redaction._pieces) <= 32
    assert len(redaction._endings) <= 32
    assert len(redaction._said) <= 500


@pytest.mark.parametrize("number", [4111111111111111, 4.111111111111111e15])
def test_a_number_is_found_however_json_writes_it(number: float) -> None:
    """A card number that a spreadsheet made a float is one, as a value and in the text of a document."""
    redaction = Redaction(livekit_otel.PatternRedactor())
    assert redaction.value({"n": number}, "tool_arguments") == {"n": "[CARD]"}
    for text in (json.dumps({"n": number}), '{"n": 4.111111111111111E+15}', '{"n": 4111111111111111.0}'):
        assert json.loads(redaction.text(text, "tool_arguments")) == {"n": "[CARD]"}
    harmless = {"n": 1234567.25, "m": 0.5, "k": 1e300}
    assert redaction.value(harmless, "tool_arguments") == harmless
