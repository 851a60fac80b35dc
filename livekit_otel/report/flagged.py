"""Flags in words. Values are shown with their thresholds."""

from __future__ import annotations

from collections.abc import Iterator

from .. import attributes as attr
from ..turns import Flag
from .model import SessionReport

__all__ = ["flagged_turns", "in_words", "sums"]


def in_words(flag: Flag) -> str:
    """The flag as a phrase: the problem, and the stage that the user waited for."""
    value = "an unknown time" if flag.value is None else f"{flag.value:.2f} s"
    mostly = f", mostly {flag.stage}" if flag.stage else ""
    if flag.name == attr.FLAG_NEVER_ANSWERED:
        return f"never answered: waited {value}{mostly}"
    if flag.name == attr.FLAG_FAILED:
        times = f", {flag.value:.0f} times" if flag.value and flag.value > 1 else ""
        return f"failed{f': {flag.stage}' if flag.stage else ''}{times}"
    if flag.name == attr.FLAG_FALSE_CUTOFF:
        return f"false cutoff: the user spoke on {value} after the commit"
    if flag.name == attr.FLAG_INTERRUPTED:
        return "interrupted" + (f" {flag.value:.0f} times" if flag.value and flag.value > 1 else "")
    limit = "" if flag.threshold is None else f" (limit {flag.threshold:g} s)"
    return f"{_name(flag.name)}: {value}{limit}{mostly}"


def flagged_turns(report: SessionReport) -> Iterator[tuple[float, int, str]]:
    """Start in Unix seconds, index and flags of each flagged turn, in order."""
    for turn in report.turns:
        if turn.flags:
            yield turn.start_ns / 1e9, turn.index, "; ".join(in_words(flag) for flag in turn.flags)


def sums(report: SessionReport) -> str:
    """The number of turns with each flag, as text; empty without flags."""
    counts = report.flagged.items()
    return ", ".join(f"{_name(name)} in {count} turn{'s' if count > 1 else ''}" for name, count in counts)


def _name(flag: str) -> str:
    return flag.replace("_", " ")
