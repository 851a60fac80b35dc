"""Makes the script of a call that went wrong smaller, as long as it goes wrong in the same place."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from .plan import Plan

_HERE = str(Path(__file__).parent.parent)


def failure_of(plan: Plan, check: Callable[[Plan], object]) -> tuple[str, str] | None:
    """Where a call goes wrong, and what is said of it; None where it does not."""
    try:
        check(plan)
    except Exception as error:
        ours = [one for one in traceback.extract_tb(error.__traceback__) if one.filename.startswith(_HERE)]
        words = str(error)
        name = words.split(": ")[1].split(" ")[0] if ": " in words else ""
        return f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {name}", f"{type(error).__name__}: {words[:2000]}"
    return None


def smaller(plan: Plan, check: Callable[[Plan], object], *, tries: int = 200) -> Plan:
    """A call that goes wrong in the same place, with less in it."""
    first = failure_of(plan, check)
    assert first is not None
    found = True
    while found and tries > 0:
        found = False
        for one in _less(plan):
            tries -= 1
            again = failure_of(one, check)
            if again is not None and again[0] == first[0]:
                plan, found = one, True
                break
            if tries <= 0:
                break
    return plan


def _less(plan: Plan) -> Iterator[Plan]:
    if len(plan.says) > 1:
        yield replace(plan, says=plan.says[:-1])
        # the others keep their numbers' order
        for number in range(len(plan.says) - 1):
            yield replace(plan, says=plan.says[:number] + plan.says[number + 1 :])
    for name in ("noises", "acts"):
        for number in range(len(getattr(plan, name))):
            yield replace(plan, **{name: getattr(plan, name)[:number] + getattr(plan, name)[number + 1 :]})
    yield from _usual(plan)
    for number, says in enumerate(plan.says):
        options = list(_usual(says))
        if says.tool is not None:
            options += [replace(says, tool=tool) for tool in _usual(says.tool)]
        for option in options:
            yield replace(plan, says=(*plan.says[:number], option, *plan.says[number + 1 :]))


def _usual(part: Any) -> Iterator[Any]:
    for one in fields(part):
        if one.default is not MISSING and getattr(part, one.name) != one.default:
            yield replace(part, **{one.name: one.default})
