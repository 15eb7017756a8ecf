"""Locations of every kind lead to the user's file and line."""

from __future__ import annotations

import pytest

from anychip.compiler.errors import ParseError
from anychip.compiler.ir.core import UNKNOWN, Location
from anychip.compiler.ir.locations import called_from
from anychip.compiler.ir.parser import parse

K = Location("k.py", 11, 22)
S = Location("standard.py", 43, 13)

LOCATIONS = [
    ('"k.py":11:22', K),
    ('"k.py":11:22 to 12:3', K),
    ('"k.py":11:22 to :30', K),
    ("unknown", UNKNOWN),
    ("#loc1", K),
    ('"x"', Location(name="x")),
    ('"x"(#loc1)', Location("k.py", 11, 22, "x")),
    ('"x"("y"(#loc1))', Location("k.py", 11, 22, "x")),
    ("callsite(#loc2 at #loc1)", Location("standard.py", 43, 13, callers=(K,))),
    ("callsite(unknown at #loc1)", K),
    ("callsite(#loc1 at unknown)", K),
    (
        "callsite(callsite(#loc2 at #loc3) at #loc1)",
        Location("standard.py", 43, 13, callers=(Location("m.py", 5, 1), K)),
    ),
    (
        "callsite(#loc2 at callsite(#loc3 at #loc1))",
        Location("standard.py", 43, 13, callers=(Location("m.py", 5, 1), K)),
    ),
    ('"x"(callsite(#loc2 at #loc1))', Location("standard.py", 43, 13, "x", (K,))),
    ("fused[unknown, #loc1]", K),
    ('fused<"meta">[#loc2, #loc1]', S),
    ("fused[]", UNKNOWN),
]

ALIASES = {"#loc1": '"k.py":11:22', "#loc2": '"standard.py":43:13', "#loc3": '"m.py":5:1'}
DEFINED = "".join(f"{alias} = loc({text})\n" for alias, text in ALIASES.items())


def _location_of(location: str, before: str = "", after: str = "") -> Location:
    text = (
        f"{before}module {{\n  tt.func public @kernel() {{\n    gpu.barrier loc({location})\n"
        f"    tt.return loc(#loc1)\n  }} loc(#loc1)\n}} loc(#loc1)\n{after}"
    )
    return parse(text).kernel.body.entry.ops[0].location


@pytest.mark.parametrize(("text", "location"), LOCATIONS, ids=[text for text, _ in LOCATIONS])
def test_location_in_place(text: str, location: Location) -> None:
    assert _location_of(text, before=DEFINED) == location


@pytest.mark.parametrize(("text", "location"), LOCATIONS, ids=[text for text, _ in LOCATIONS])
def test_location_by_an_alias_defined_later(text: str, location: Location) -> None:
    assert _location_of("#loc9", after=f"#loc9 = loc({text})\n{DEFINED}") == location


def test_quotes_and_backslashes_in_a_file_name() -> None:
    assert _location_of(r'"a\22b\\c.py":1:2', before=DEFINED).file == 'a"b\\c.py'


def test_undefined_alias_is_an_error() -> None:
    with pytest.raises(ParseError, match="#loc7 is not defined"):
        _location_of("#loc7", before=DEFINED)


def test_alias_that_contains_itself_is_an_error() -> None:
    with pytest.raises(ParseError, match="contains itself"):
        _location_of("#loc8", before=f'{DEFINED}#loc8 = loc("x"(#loc8))\n')


def test_many_names_of_one_place_are_read() -> None:
    names = "".join(f'#loc{k} = loc("n{k}"(#loc{k + 1}))\n' for k in range(10, 400))
    found = _location_of("#loc10", before=f'{DEFINED}{names}#loc400 = loc("k.py":3:1)\n')
    assert (found.name, found.line) == ("n10", 3)


def test_deeply_nested_location_is_an_error() -> None:
    with pytest.raises(ParseError, match="nested"):
        _location_of('"x"(' * 5000 + "unknown" + ")" * 5000, before=DEFINED)


def test_called_from_keeps_the_call_sites_outwards() -> None:
    middle = Location("m.py", 5, 1, callers=(K,))
    inner = Location("s.py", 1, 1, callers=(S,))
    assert called_from(inner, middle).callers == (S, Location("m.py", 5, 1), K)
