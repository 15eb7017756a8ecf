"""Entries on disk: what was written comes back, and nothing else is believed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anychip.measurements.entry import CHOICE, KINDS, Entry, Unusable, _checksum, from_line, to_line
from anychip.measurements.size_class import exponent, parameter

ENTRY = Entry(
    CHOICE,
    "exp",
    "float32[8,10]c",
    "ab12",
    "cpu-1-t2",
    {"choice": "ours", "elements": 1 << 18},
    {"native": 2e-4, "ours": 1e-4},
    "2026-01-01",
)

times = st.dictionaries(st.text(max_size=8), st.floats(0, 1e3))
entries = st.builds(
    Entry,
    st.sampled_from(KINDS),
    st.text(),
    st.text(),
    st.text(),
    st.text(),
    st.dictionaries(st.text(max_size=8), st.integers() | st.text()),
    times,
    st.text(),
)


@given(entries)
def test_a_line_gives_the_entry_back(entry: Entry) -> None:
    line = to_line(entry)
    assert "\n" not in line
    assert from_line(line) == entry


@given(st.data())
def test_a_line_with_a_character_changed_is_not_believed(data: st.DataObject) -> None:
    line = to_line(ENTRY)
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(codec="ascii"))
    changed = line[:place] + other + line[place + 1 :]
    try:
        found = from_line(changed)
    except Unusable:
        return
    assert found == ENTRY  # white space between the two parts may change


@given(st.text() | st.builds(json.dumps, st.recursive(st.none() | st.integers() | st.text(), st.lists)))
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(Unusable):
        from_line(text)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "guess"},
        {"seconds": {"ours": float("nan")}},
        {"seconds": {"ours": -1.0}},
        {"seconds": {"ours": True}},
        {"seconds": {"ours": float("inf")}},
        {"seconds": {"ours": "1e-6"}},
        {"values": ["ours"]},
        {"chip": 5},
    ],
)
def test_a_checksum_does_not_make_nonsense_an_entry(fault: dict[str, object]) -> None:
    with pytest.raises(Unusable):
        from_line(to_line(replace(ENTRY, **fault)))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("body", ["", "exp", "[" * 5000, "1" * 5000, "null", "[1]", '{"format": 1}'])
def test_a_checksum_does_not_make_a_line_of_other_text(body: str) -> None:
    with pytest.raises(Unusable):
        from_line(json.dumps([_checksum(body), body]))


def test_a_time_of_any_length_is_finite() -> None:
    entry = replace(ENTRY, seconds={"ours": 10**400})
    assert from_line(to_line(entry)) == entry


@given(st.integers(1, 1 << 40))
def test_an_extent_lies_within_its_class(extent: int) -> None:
    e = exponent(extent)
    assert extent <= 2**e
    assert e == 0 or extent > 2 ** (e - 1)


def test_small_parameters_are_kept_as_they_are() -> None:
    assert [parameter(x) for x in (-1, 0, 16, 17, 1000, -1000)] == ["-1", "0", "16", "2^5", "2^10", "-2^10"]
    assert exponent(0) == -1
