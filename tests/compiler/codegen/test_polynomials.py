"""The coefficients of polynomials are what the tool makes, and near their functions; constants that are held
as two numbers are those that they are called."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import mpmath as mp
import pytest

from anychip.compiler.codegen.math import exponential, logarithm, polynomials

ROOT = Path(__file__).parents[3]
MOST = {"float": -22.9, "double": -52.5}
"""log2 of the error that a polynomial has at most, relative to its largest value; what it is added to is
larger."""
FOR_F32_IN_F64 = {"ATANH_SHORT_TAIL": -36.0, "EXP_SHORT_TAIL": -28.0}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("tools.mathematics.polynomials")


def test_the_committed_coefficients_are_what_the_tool_gives(tool: ModuleType) -> None:
    path = Path(str(polynomials.__file__))
    assert path.read_text(encoding="utf-8") == tool.text(), "run python -m tools.mathematics.polynomials"


@pytest.mark.slow
def test_the_committed_tables_of_pieces_are_what_their_tool_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    for path, text in importlib.import_module("tools.mathematics.fit").texts().items():
        assert path.read_text(encoding="utf-8") == text, "run python -m tools.mathematics.fit"


def test_the_polynomials_are_near_their_functions(tool: ModuleType) -> None:
    """At other points than those that they go through."""
    for polynomial in tool.POLYNOMIALS:
        table = getattr(polynomials, polynomial.name)
        for type in polynomial.degrees:
            coefficients = table[type] if isinstance(table, dict) else table
            most = FOR_F32_IN_F64.get(polynomial.name, MOST[type])
            assert polynomial.error(coefficients) < most, (polynomial.name, type)


def test_an_error_in_one_coefficient_is_seen(tool: ModuleType) -> None:
    (polynomial,) = (p for p in tool.POLYNOMIALS if p.name == "EXP_TAIL")
    right = list(polynomials.EXP_TAIL["double"])
    for power in range(8):
        wrong = [*right[:power], right[power] * (1 + 2.0**-20), *right[power + 1 :]]
        assert polynomial.error(wrong) > MOST["double"], power


PAIRS = (
    ("ln 2", logarithm.LN2, lambda: mp.log(2)),
    ("log2 e", logarithm.LOG2_E, lambda: 1 / mp.log(2)),
    ("log10 e", logarithm.LOG10_E, lambda: 1 / mp.log(10)),
    ("log10 2", logarithm.LOG10_2, lambda: mp.log10(2)),
    ("step of e", {k: (r.high, r.low) for k, r in exponential.NATURAL.items()}, lambda: mp.log(2)),
    ("step of 10", {k: (r.high, r.low) for k, r in exponential.DECIMAL.items()}, lambda: mp.log10(2)),
)


@pytest.mark.parametrize(("name", "pairs", "value"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_pairs_of_numbers_are_the_constants_that_they_are_called(name: str, pairs, value) -> None:
    """To a quarter more bits than one number has; a step's first number leaves room for a factor."""
    for type, bits in (("float", 24), ("double", 53)):
        high, low = pairs[type]
        with mp.workprec(200):
            assert abs(mp.mpf(high) + low - value()) < value() * mp.mpf(2) ** -(1.25 * bits)
        if name.startswith(("step", "ln", "log10 2")):
            mantissa, _ = mp.frexp(high)
            assert (mantissa * 2 ** (bits - 8)) % 1 == 0, "products with up to 8 bits are exact"
