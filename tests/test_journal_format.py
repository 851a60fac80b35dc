"""The journal's form: whatever is written comes back, in any order, and what is missing or cut is noticed."""

from __future__ import annotations

import copy
import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livekit_otel.journal import JournalReader, JournalWriter, encode
from livekit_otel.journal import format as form
from livekit_otel.journal.pieces import parse_piece
from livekit_otel.privacy import OBJECTS

TEXT = st.text(max_size=40) | st.sampled_from(["", "type", "\ud800", "é🙂" * 400, '"\\\n|', "a" * 2_500])
NUMBERS = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | TEXT | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
#: names that the table has, and names that it has not
NAMES = st.sampled_from(sorted({name for fields in OBJECTS.values() for name in fields} - {"type"})) | TEXT
KINDS = st.sampled_from([*OBJECTS, "something_new"])
FIELDS = st.builds(
    lambda kind, fields: {**fields, "type": kind}, KINDS, st.dictionaries(NAMES, JSON | TEXT, max_size=6)
)
IDS = st.lists(TEXT, max_size=5)
COUNTS = st.integers(0, 2**53)
CHANGES = st.builds(form.Change, COUNTS, st.dictionaries(NAMES, JSON, max_size=4))
_TAGS = st.lists(st.fixed_dictionaries({"tag": TEXT, "metadata": JSON, "timestamp": NUMBERS}), max_size=2)
_EVALUATIONS = st.lists(st.fixed_dictionaries({"name": TEXT, "verdict": TEXT}), max_size=2)
#: what a job was tagged with, and objects that say something else under the same names
TAGGERS = st.fixed_dictionaries(
    {},
    optional={
        "outcome": TEXT | JSON,
        "outcome_reason": TEXT | JSON,
        "tags": JSON | _TAGS,
        "evaluations": JSON | _EVALUATIONS,
        "more": JSON,
    },
)

ENTRIES_BY_KIND = {
    form.Head: st.builds(form.Head, st.dictionaries(NAMES, JSON, max_size=6), st.none() | TAGGERS),
    form.Emitted: st.builds(form.Emitted, FIELDS),
    form.Usage: st.builds(form.Usage, FIELDS, st.lists(CHANGES, max_size=3)),
    form.Idle: st.builds(form.Idle, FIELDS, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4)),
    form.Conversation: st.builds(form.Conversation, st.none() | TEXT, FIELDS),
    form.Item: st.builds(form.Item, st.none() | TEXT, FIELDS),
    form.EventCorrection: st.builds(form.EventCorrection, COUNTS, FIELDS),
    form.ItemCorrection: st.builds(form.ItemCorrection, FIELDS),
    form.SlotCorrection: st.builds(form.SlotCorrection, COUNTS, COUNTS, IDS),
    form.OrderCorrection: st.builds(form.OrderCorrection, IDS),
    form.TieCorrection: st.builds(form.TieCorrection, IDS),
    form.PlaceCorrection: st.builds(form.PlaceCorrection, COUNTS, FIELDS),
    form.Counts: st.builds(form.Counts, COUNTS, COUNTS),
}
ENTRIES = st.one_of(*ENTRIES_BY_KIND.values())
BATCHES = st.lists(st.lists(ENTRIES, min_size=1, max_size=5), min_size=1, max_size=3)
bounded = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def write(batches: list[list[Any]], *, content: bool = True) -> list[tuple[str, str]]:
    """All attributes that a writer hands out for these batches."""
    writer = JournalWriter(content=content)
    found: list[tuple[str, str]] = []
    for batch in batches:
        for entry in copy.deepcopy(batch):
            writer.add(entry)
        for attributes in writer.take():
            assert all(isinstance(value, str) and len(value.encode()) <= 2_000 for value in attributes.values())
            found += [(name, str(value)) for name, value in attributes.items()]
    assert writer.too_large == writer.failed == 0
    return found


def read(attributes: list[tuple[str, str]], batches: int | None) -> tuple[JournalReader, list[list[Any]]]:
    reader = JournalReader()
    for name, value in attributes:
        reader.add({name: value})
    return reader, reader.entries(batches)


def arrays(batches: list[list[Any]]) -> list[list[Any]]:
    """Entries as plain arrays, without the first one of a batch; what JSON makes of them."""
    return [[json.loads(json.dumps(msgspec.to_builtins(entry))) for entry in batch] for batch in batches]


def test_all_kinds_are_tried() -> None:
    """The strategy makes every entry kind that the format has, except the one that a writer puts first itself."""
    assert set(ENTRIES_BY_KIND) == set(get_args(form.Entry)) - {form.Batch}


@bounded
@given(BATCHES, st.randoms(use_true_random=False))
def test_every_entry_comes_back(batches: list[list[Any]], random: Any) -> None:
    """Pieces in any order, some more than once, give exactly the entries that were written."""
    attributes = write(batches)
    attributes += random.sample(attributes, len(attributes) // 2)
    random.shuffle(attributes)
    reader, found = read(attributes, len(batches))
    assert arrays([batch[1:] for batch in found]) == arrays(batches)
    assert (reader.warnings, reader.whole, reader.gaps, reader.withheld) == ([], True, [], False)


@bounded
@given(BATCHES, st.data())
def test_what_is_missing_or_cut_is_noticed(batches: list[list[Any]], data: st.DataObject) -> None:
    """Where a piece of the main stream is missing or shorter, its batch is named as a gap, the entries before the
    damage are as written, and other batches are whole."""
    attributes = write(batches)
    main = [at for at, (name, _) in enumerate(attributes) if ".pii." not in name]
    at = data.draw(st.sampled_from(main))
    name, value = attributes[at]
    batch = int(value.partition(".")[0])
    cut = data.draw(st.integers(0, len(value) - 1) | st.none())
    if cut is None:
        del attributes[at]
    else:
        attributes[at] = (name, value[:cut])
    reader, found = read(attributes, len(batches))
    assert batch in reader.gaps
    assert not reader.whole
    assert reader.warnings
    kept = {int(number): entries for number, entries in zip(_present(attributes), arrays(found), strict=True)}
    written = arrays(batches)
    for number, entries in kept.items():
        if number != batch:
            assert entries[1:] == written[number]
        else:
            assert entries[1:] == written[number][: len(entries[1:])]


def _present(attributes: list[tuple[str, str]]) -> list[int]:
    """Batches of which a piece of the main stream can be read, in order."""
    parsed = [parse_piece(value) for name, value in attributes if ".pii." not in name]
    return sorted({piece[0] for piece in parsed if piece is not None})


@bounded
@given(BATCHES)
def test_without_content_the_shape_stays(batches: list[list[Any]]) -> None:
    """A journal without its content has the same number of entries of the same kinds, and no content stream."""
    attributes = write(batches, content=False)
    assert not any(".pii." in name for name, _ in attributes)
    _, found = read(attributes, len(batches))
    assert [[type(entry) for entry in batch[1:]] for batch in found] == [[type(e) for e in batch] for batch in batches]


@bounded
@given(st.one_of(TEXT, JSON, ENTRIES))
def test_anything_encodes(value: Any) -> None:
    """The encoder writes UTF-8 for every value, lone surrogates included, and the value comes back."""
    plain = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
    assert json.loads(encode(value).decode()) == json.loads(json.dumps(plain))


@pytest.mark.parametrize("number", [2**64, -(2**70)])
def test_integers_of_any_size(number: int) -> None:
    """An integer beyond 64 bits in a payload costs no entry."""
    found = write([[form.Emitted({"type": "error", "error": {"n": number}})]])
    assert str(number) in found[-1][1]
