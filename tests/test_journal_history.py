"""The history that a journal leads to: the same as by hand, and in a time that follows its length."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from livekit_otel.journal.format import (
    Batch,
    Change,
    Emitted,
    Entry,
    EventCorrection,
    Item,
    ItemCorrection,
    OrderCorrection,
    SlotCorrection,
    TieCorrection,
    Usage,
)
from livekit_otel.journal.restore import MAX_MODELS, RestoredSession

MANY = 20_000


def _item(number: int, at: float) -> dict[str, Any]:
    return {"id": f"item-{number}", "type": "message", "role": "user", "content": [], "created_at": at}


def _played(entries: list[Any], *, gaps: bool = False) -> RestoredSession:
    restored = RestoredSession()
    restored.play([entries], gaps=gaps)
    return restored


def _by_hand(entries: list[Item]) -> list[str]:
    """One after the other: after the predecessor, else after the last one that is not later."""
    found: list[dict[str, Any]] = []
    for entry in entries:
        at = next((n for n, one in enumerate(found) if one["id"] == entry.previous), None)
        if at is None:
            at = len(found) - 1
            while at >= 0 and found[at]["created_at"] > entry.item["created_at"]:
                at -= 1
        found.insert(at + 1, entry.item)
    return [one["id"] for one in found]


def test_items_after_gaps_stand_where_their_time_says() -> None:
    """A conversation of which any batches are missing keeps its order."""
    chance = random.Random(7)
    for _ in range(300):
        whole = [Item(f"item-{n - 1}" if n else None, _item(n, float(n))) for n in range(12)]
        kept = [entry for entry in whole if chance.random() < 0.6]
        restored = _played(list(kept), gaps=True)
        assert [one["id"] for one in restored.items] == _by_hand(kept) == [one.item["id"] for one in kept]


def _reversed_times() -> list[Entry]:
    return [Item("lost", _item(n, float(MANY - n))) for n in range(MANY)]


def _behind_the_first() -> list[Entry]:
    return [Item(None, _item(0, 0.0)), *(Item("item-0", _item(n, float(n))) for n in range(1, MANY))]


def _replaced() -> list[Entry]:
    first = [Item(f"item-{n - 1}" if n else None, _item(n, float(n))) for n in range(MANY)]
    return [*first, *(ItemCorrection(_item(n, float(n))) for n in range(MANY))]


def _never_written() -> list[Entry]:
    return [ItemCorrection(_item(n, float(MANY - n))) for n in range(MANY)]


def _slots_orders_ties() -> list[Entry]:
    ids = [f"item-{n}" for n in range(MANY)]
    items = [Item(f"item-{n - 1}" if n else None, _item(n, float(n // 2))) for n in range(MANY)]
    slots = [SlotCorrection(n % 256, 256, ["item-0"]) for n in range(1, MANY) if n % 256]
    orders = [OrderCorrection(ids[:1]) for _ in range(MANY)]
    ties = [TieCorrection(ids[n : n + 2]) for n in range(0, MANY, 2)]
    return [*items, *slots, *orders, *ties]


def _events_after_gaps() -> list[Entry]:
    events = [Emitted({"type": "x", "created_at": float(n)}) for n in range(MANY)]
    return [*events, *(EventCorrection(0, {"type": "x", "created_at": float(n), "more": 1}) for n in range(MANY))]


@pytest.mark.parametrize(
    "make",
    [_reversed_times, _behind_the_first, _replaced, _never_written, _slots_orders_ties, _events_after_gaps],
    ids=lambda make: make.__name__.strip("_"),
)
def test_time_follows_the_length(make: Callable[[], list[Entry]]) -> None:
    """20,000 entries in the worst order are played in a moment."""
    entries = make()
    begin = time.process_time()
    restored = _played(entries, gaps=True)
    assert time.process_time() - begin < 2.0
    assert restored.unreadable == 0
    assert restored.items or restored.events


def test_the_worst_order_is_right() -> None:
    """Items in reverse order whose predecessors are unknown stand by their time."""
    restored = _played(_reversed_times())
    assert [one["created_at"] for one in restored.items] == [float(n) for n in range(1, MANY + 1)]


def test_usage_beyond_the_limits() -> None:
    """Usage of a model that no session has is left out and counted, its event is kept, memory stays small."""
    usage: list[Entry] = [Usage({"type": "session_usage_updated"}, [Change(n, {"type": "llm_usage"})]) for n in (0, 99)]
    far = Usage({"type": "session_usage_updated"}, [Change(MAX_MODELS, {}), Change(20_000_000, {})])
    restored = _played([Batch(), *usage, far])
    assert (len(restored.events), restored.beyond, len(restored.usage)) == (3, 2, MAX_MODELS)


def test_usage_that_does_not_change_is_shared() -> None:
    """A usage event without a change shows the same list as the one before it."""
    first = Usage({"type": "x"}, [Change(0, {"type": "llm_usage", "provider": "p"})])
    restored = _played([first, *(Usage({"type": "x"}, []) for _ in range(3))])
    shown = [event["usage"]["model_usage"] for event in restored.events]
    assert shown[0] == [{"type": "llm_usage", "provider": "p"}]
    assert all(one is shown[0] for one in shown)
