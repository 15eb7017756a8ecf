"""Errors of the special functions of `anychip.science` beside SciPy's, in units in the last place of a
double, against mpmath. `python -m tools.mathematics.special_functions` measures and writes the record;
docs/special-functions.md shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anychip.markdown import numbers, table

RECORD = Path(__file__).parents[2] / "evidence" / "special-functions.json"
POINTS, DIGITS, SEED = 120, 60, 5

HEAD = """# Special functions

Written by `anychip pages --write special-functions` from `evidence/special-functions.json`, which
`python -m tools.mathematics.special_functions` makes; do not edit.

The functions of [`anychip.science.special`](science.md), those that PyTorch has no name for, beside SciPy
{scipy}'s of the same name: the largest and the root mean square error in units in the last place of a double
(ulp), over {points} places drawn from each range, against mpmath {mpmath} with {digits} digits. A place near
a zero of a function, where any error is large beside the value, counts as any other.
"""

Range = tuple[str, float, float]


@dataclass(frozen=True)
class Case:
    """A function, the ranges of its arguments (how they are drawn, from, to), and mpmath's name for it."""

    name: str
    ranges: tuple[Range, ...]
    oracle: Callable[[Any], Callable[..., Any]]
    part: int | None = None

    def title(self) -> str:
        """The function and what its arguments are."""
        kinds = {"even": "", "log": " (log)", "negative": " (-log)", "near": " (1 - log)"}
        spans = [f"{low:g} .. {high:g}{kinds[kind]}" for kind, low, high in self.ranges]
        part = "" if self.part is None else f", part {self.part + 1}"
        return f"{self.name}{part}: {'; '.join(spans)}"


CASES = (
    Case("ellipk", (("even", -5, 1),), lambda mp: mp.ellipk),
    Case("ellipk", (("near", -15, -1),), lambda mp: mp.ellipk),
    Case("ellipe", (("even", -5, 1),), lambda mp: mp.ellipe),
    Case("ellipe", (("near", -15, -1),), lambda mp: mp.ellipe),
    Case("ellipkm1", (("log", -30, 0),), lambda mp: lambda p: mp.ellipk(1 - p)),
    Case("ellipkinc", (("even", -8, 8), ("even", -3, 0.99)), lambda mp: mp.ellipf),
    Case("ellipeinc", (("even", -8, 8), ("even", -3, 0.99)), lambda mp: mp.ellipe),
    Case("elliprf", (("even", 0, 5), ("even", 0, 5), ("log", -6, 6)), lambda mp: mp.elliprf),
    Case("elliprd", (("even", 0, 5), ("even", 0, 5), ("log", -6, 6)), lambda mp: mp.elliprd),
    Case("elliprc", (("even", 0, 5), ("even", -5, 5)), lambda mp: mp.elliprc),
    Case("exp1", (("log", -6, 2.5),), lambda mp: mp.e1),
    Case("expi", (("log", -6, 2.5),), lambda mp: mp.ei),
    Case("expi", (("negative", -6, 2),), lambda mp: mp.ei),
    Case("sici", (("log", -4, 3),), lambda mp: mp.si, 0),
    Case("sici", (("log", -4, 3),), lambda mp: mp.ci, 1),
    Case("spence", (("log", -6, 6),), lambda mp: lambda z: mp.re(mp.polylog(2, 1 - z))),
    Case("kv", (("even", -20, 20), ("log", -3, 2)), lambda mp: mp.besselk),
    Case("kve", (("even", -5, 5), ("log", -6, 4)), lambda mp: lambda v, x: mp.besselk(v, x) * mp.exp(x)),
    Case("iv", (("even", 0, 20), ("log", -3, 2)), lambda mp: mp.besseli),
    Case("iv", (("even", -5, 0), ("log", -3, 2)), lambda mp: mp.besseli),
    Case("ive", (("even", 0, 5), ("log", 0, 3)), lambda mp: lambda v, x: mp.besseli(v, x) * mp.exp(-x)),
)


def _drawn(kind: str, low: float, high: float, generator: np.random.Generator) -> np.ndarray:
    places = generator.uniform(low, high, POINTS)
    if kind == "even":
        return places
    powers = 10.0**places
    return {"log": powers, "negative": -powers, "near": 1 - powers}[kind]


def errors(found: np.ndarray, wanted: list[Any]) -> tuple[float, float]:
    """The largest and the root mean square error in units in the last place."""
    off = [
        float(abs(x - exact)) / float(np.spacing(abs(float(exact))))
        for x, exact in zip(found.tolist(), wanted)
    ]
    return max(off), float(np.sqrt(np.mean(np.square(off))))


def measure(case: Case) -> dict[str, Any]:
    """One row of the record."""
    import mpmath
    import scipy.special

    from anychip.science import special

    generator = np.random.default_rng(SEED)
    arguments = [_drawn(*span, generator) for span in case.ranges]
    with mpmath.workdps(DIGITS):
        oracle = case.oracle(mpmath)
        wanted = [mpmath.re(oracle(*(mpmath.mpf(x) for x in place))) for place in zip(*arguments)]
        row: dict[str, Any] = {"function": case.title()}
        for who, module in (("anychip", special), ("scipy", scipy.special)):
            found = getattr(module, case.name)(*arguments)
            found = found if case.part is None else found[case.part]
            largest, mean = errors(found, wanted)
            row[who] = [round(largest, 2), round(mean, 2)]
    return row


def written(text: str) -> str:
    """docs/special-functions.md, of the record."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    cells = [
        (f"`{row['function']}`", *(f"{x:.2f}" for x in (*row["anychip"], *row["scipy"])))
        for row in record["rows"]
    ]
    columns = numbers(("function and arguments", "largest", "mean", "SciPy's largest", "SciPy's mean"))
    return (
        HEAD.format(**record["versions"], points=POINTS, digits=DIGITS) + "\n" + table(columns, cells) + "\n"
    )


def main() -> None:
    """Measure every case and write the record."""
    import mpmath
    import scipy

    record = {
        "versions": {"scipy": scipy.__version__, "mpmath": mpmath.__version__},
        "rows": [measure(case) for case in CASES],
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
