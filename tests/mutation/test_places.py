"""Places of mutants in a text: which there are, which are drawn, what a record makes of an edited file."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

pytest.importorskip("cosmic_ray", reason="mutation runs need the extra 'mutation'")

SOURCE = '''"""Docstrings hold 1 + 2, and change nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    ONE = 1
__all__ = ["f"] + []
TILES = Tiles(simd={"flat": 1024})


def f(x: int | None = 3) -> int | None:
    for row in zip(x, x, strict=True):
        if row > 5 and row:
            return row + 7
    return None


def shapes(dtype):
    yield Sample((1, 2))
'''


@pytest.fixture
def places() -> Any:
    return importlib.import_module("tools.mutation.places")


def test_what_cannot_matter_is_no_place(places: Any) -> None:
    found = list(places.places(SOURCE, "f.py"))
    assert {place.line for place in found} == {11, 12, 13, 14}
    assert {place.operator for place in found if place.line == 12} == {"core/ZeroIterationForLoop"}
    (default,) = {place.column for place in found if place.line == 11}
    assert SOURCE.splitlines()[10][default] == "3"


def test_every_place_can_be_made_and_differs_where_it_says(places: Any) -> None:
    for place in places.places(SOURCE, "f.py"):
        text = places.mutated(SOURCE, place.operator, place.occurrence)
        differing = [
            n for n, pair in enumerate(zip(SOURCE.splitlines(), text.splitlines()), 1) if pair[0] != pair[1]
        ]
        assert differing == [place.line]


def test_a_draw_is_repeatable_and_takes_a_line_once(places: Any) -> None:
    found = list(places.places(SOURCE, "f.py"))
    drawn = places.draw(found, 1, 4)
    assert drawn == places.draw(reversed(found), 1, 4)
    assert sorted(place.line for place in drawn) == [11, 12, 13, 14]
    assert any(places.draw(found, seed, 4) != drawn for seed in range(2, 6))


def test_a_recorded_change_is_found_again_after_an_edit(places: Any) -> None:
    (place,) = [
        p for p in places.places(SOURCE, "f.py") if p.operator == "core/ReplaceBinaryOperator_Add_Sub"
    ]
    expected = "return row + 7 -> return row - 7"
    edited = "BEFORE = 1 + 2\n" + SOURCE
    changed = places.apply(edited, place.operator, place.occurrence, expected)
    assert changed == edited.replace("row + 7", "row - 7")
    with pytest.raises(places.PlaceError, match="row - 7"):
        places.apply(SOURCE.replace("row + 7", "row + 8"), place.operator, place.occurrence, expected)
