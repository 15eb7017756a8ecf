"""Comparisons whose tests for NaN are made on the bits, where LLVM gets those of vectors wrong."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.codegen.jit import compile_loop

from anychip.compiler import targets
from anychip.compiler.llvm.builder import Builder
from anychip.compiler.llvm.types import Val

VALUES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 65504.0], np.float32)
X, Y = (part.ravel() for part in np.meshgrid(VALUES, VALUES))
UNORDERED = np.isnan(X) | np.isnan(Y)
EXPECTED = {
    "uno": UNORDERED,
    "ord": ~UNORDERED,
    "one": (X != Y) & ~UNORDERED,
    "ueq": (X == Y) | UNORDERED,
    "une": X != Y,
    "oeq": X == Y,
    "olt": X < Y,
}


@pytest.mark.parametrize("predicate", EXPECTED)
@pytest.mark.parametrize(("element", "dtype"), [("float", np.float32), ("half", np.float16)])
def test_comparisons(predicate: str, element: str, dtype: type) -> None:
    def body(b: Builder, values: list[Val]) -> Val:
        b.module.nan_tests_of_integers = True
        return b.fcmp(predicate, *values)

    compare = compile_loop(body, [element, element], "i1", lanes=8)
    assert (compare(X.astype(dtype), Y.astype(dtype)) == EXPECTED[predicate]).all()


@pytest.mark.parametrize(("predicate", "expected"), [("une", np.isnan(VALUES)), ("oeq", ~np.isnan(VALUES))])
def test_a_value_and_itself(predicate: str, expected: np.ndarray) -> None:
    def body(b: Builder, values: list[Val]) -> Val:
        b.module.nan_tests_of_integers = True
        made = b.fcmp(predicate, values[0], values[0])
        assert "fcmp" not in "\n".join(map(str, b.lines)), "LLVM would see a test for NaN"
        return made

    assert (compile_loop(body, ["float"], "i1", lanes=8)(VALUES) == expected).all()


def test_which_targets_need_it() -> None:
    assert {name for name in targets.names() if targets.get(name).wrong_nan_tests} == {
        "cortex-m55",
        "cortex-m85",
    }
