"""What is said in a composed call. Every text begins with a label, from which its sound can be told apart.

``u3`` is the user's speech number 3. What answers it has its number, too: ``p3`` a preamble, ``f3`` a filler, ``g3`` a
word on progress, ``t3`` what the tool says, ``h3`` what the hook says, ``e3`` the next agent's greeting, ``r3`` the
reply to the tool's result, ``a3`` a reply without a tool. ``s3`` is what code says by itself, ``w0`` the welcome.
"""

from __future__ import annotations

import re
from typing import Any

from .plan import Log

_LABEL = re.compile(r"\b([ueapfgthrsw])(\d+)\b")
#: a label is the value of the samples in which it is said
_KINDS = "apfgthresw"
RESULT, PROGRESS, GREET = "result of", "progress of", "Greet for"

#: what instructions and results say of the speech that they are for
ASKED = re.compile(rf"({GREET}|{RESULT}|{PROGRESS}) u(\d+)")
_LABELS_OF = {GREET: "e", RESULT: "r", PROGRESS: "g"}


def sentence(label: str, words: int) -> str:
    """A sentence of so many words; a second of sound has twenty letters."""
    return " ".join([label, *["word"] * words]) + "."


def labels(text: str, kinds: str = "eapfgthrsw") -> list[str]:
    """The labels of some kinds in a text, in order."""
    return [f"{kind}{number}" for kind, number in _LABEL.findall(text) if kind in kinds]


def speeches(text: str) -> tuple[int, ...]:
    """The numbers of the user's speeches in a text."""
    return tuple(int(label[1:]) for label in labels(text, "u"))


def sample(label: str) -> bytes:
    """The one sample of which the sound of a label is made."""
    return (1 + _KINDS.index(label[0]) * 1000 + int(label[1:])).to_bytes(2, "little")


def heard(samples: bytes) -> str:
    """The label of a sound."""
    kind, number = divmod(int.from_bytes(samples[:2], "little") - 1, 1000)
    return f"{_KINDS[kind]}{number}"


def wanted(items: list[Any], log: Log) -> str:
    """The label of what a request asks for: a greeting, else an answer to the newest words or results.

    Where the newest words are being answered already (words were said, or a tool runs), it asks for what is still to be
    said of a result.
    """
    found = [label for item in reversed(items) if (label := _wanted(item)) is not None]
    greetings = [label for label in found if label[0] == "e"]
    if greetings:
        return greetings[0]
    if not found:
        return "w0"
    said = {one.label for one in log.voices} | {f"a{tool.of}" for tool in log.tools}
    # results come into the history when their tool ends, maybe after words that were said later
    newest = max(found, key=lambda label: int(label[1:]))
    if newest in said:
        return next((label for label in found if label[0] in "rg" and label not in said), newest)
    return newest


def _wanted(item: Any) -> str | None:
    """What one item of the history asks for."""
    text = str(item.output if item.type == "function_call_output" else getattr(item, "raw_text_content", None) or "")
    instructs = item.type == "message" and item.role in ("system", "developer")
    if (instructs or item.type == "function_call_output") and (asked := ASKED.search(text)) is not None:
        return _LABELS_OF[asked[1]] + asked[2]
    if item.type == "message" and item.role == "user" and (said := speeches(text)):
        return f"a{said[-1]}"
    return None
