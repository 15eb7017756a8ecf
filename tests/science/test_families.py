"""The list of families says what is there."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

from anychip import science
from anychip.science.families import families

TESTS = Path(__file__).parents[1]


def test_what_the_list_names_exists():
    here, rest = families("here"), families("pytorch") + families("missing")
    assert len({row["family"] for row in here + rest}) == len(here) + len(rest) == 118
    for row in here:
        for name in row["tests"].split(", "):
            assert (TESTS / "science" / f"{name}.py").exists() or (TESTS / "pytorch" / f"{name}.py").exists()
        first = re.match(r"[a-zA-Z_0-9.]+", row["names"])
        assert first is not None
        if not first.group().startswith("torch."):
            assert reduce(getattr, first.group().split("."), science) is not None
        assert row["oracle"]
        assert row["gradient"]
