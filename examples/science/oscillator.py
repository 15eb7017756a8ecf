"""The lowest levels of a particle in a well of three dimensions: Schroedinger's operator on a grid, by
LOBPCG with a multigrid V-cycle as its preconditioner.

    python examples/science/oscillator.py            # writes oscillator.png
    python examples/science/oscillator.py --compare  # time and memory beside the same written with SciPy

The levels of -1/2 Laplace + 1/2 r^2 are 3/2, 5/2 (three times) and 7/2 (six times). On a grid of distance h a
level of n, m and l quanta is lower by h^2 / 32 times the sum of 2 n^2 + 2 n + 1 over n, m and l (first order
in h^2), which the levels that are found are compared with."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import beside
import numpy as np
import picture
import scipy.sparse
import scipy.sparse.linalg

from anychip import science

SIDE, HALF_WIDTH, LEVELS = 32, 5.5, 10
STEP = 2 * HALF_WIDTH / (SIDE + 1)


def operator() -> scipy.sparse.csr_array:
    """The operator [SIDE^3, SIDE^3]; the wave is zero at the walls."""
    second = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(SIDE, SIDE)) / (
        2 * STEP**2
    )
    x = -HALF_WIDTH + STEP * np.arange(1, SIDE + 1)
    one = scipy.sparse.eye_array(SIDE)
    along = second + scipy.sparse.diags_array(0.5 * x**2)
    whole = scipy.sparse.kron(scipy.sparse.kron(along, one), one)
    whole = whole + scipy.sparse.kron(scipy.sparse.kron(one, along), one)
    return scipy.sparse.csr_array(whole + scipy.sparse.kron(scipy.sparse.kron(one, one), along))


def expected() -> np.ndarray:
    """The levels [LEVELS] on the grid, to first order in the square of its distance."""
    levels = [
        sum(n + 0.5 - STEP**2 / 32 * (2 * n * n + 2 * n + 1) for n in quanta)
        for quanta in itertools.product(range(4), repeat=3)
    ]
    return np.array(sorted(levels)[:LEVELS])


def guess() -> np.ndarray:
    """Where LOBPCG begins [SIDE^3, LEVELS]: whole groups of equal levels, as far from the next as can be."""
    return np.random.default_rng(0).standard_normal((SIDE**3, LEVELS))


def found() -> tuple[np.ndarray, np.ndarray]:
    """The lowest levels and their waves."""
    a = operator()
    cycle = science.multigrid(a)
    values, waves = science.lobpcg(a, guess(), M=cycle, tol=1e-5, maxiter=60, largest=False)
    return values, waves


def with_scipy() -> np.ndarray:
    """The same levels by SciPy's LOBPCG with its incomplete LU factors: SciPy has no multigrid."""
    a = operator()
    factors = scipy.sparse.linalg.spilu(a.tocsc(), drop_tol=1e-3, fill_factor=5)
    inverse = scipy.sparse.linalg.LinearOperator(a.shape, factors.solve, dtype=a.dtype)
    values, _ = scipy.sparse.linalg.lobpcg(a, guess(), M=inverse, tol=1e-5, maxiter=60, largest=False)
    return np.sort(values)


def main() -> None:
    """Run, check and draw."""
    works = {"anychip": found, "scipy": with_scipy}
    if "--only" in sys.argv:
        beside.ways(works)
        return
    if "--compare" in sys.argv:
        print(f"{LEVELS} levels on {SIDE}^3 points:")
        beside.compared(tuple(works))
        return
    values, waves = found()
    wanted, exact = expected(), np.array([1.5, *[2.5] * 3, *[3.5] * 6])
    rest = np.linalg.norm(operator() @ waves - waves * values, axis=0).max()
    middle = waves[:, 9].reshape(SIDE, SIDE, SIDE)[:, :, SIDE // 2]
    picture.field(Path("oscillator.png"), middle, 8)
    print("found    ", " ".join(f"{x:.4f}" for x in values))
    print("on a grid", " ".join(f"{x:.4f}" for x in wanted))
    print("exact    ", " ".join(f"{x:.4f}" for x in exact))
    print(f"largest residual {rest:.1e}")
    print("oscillator.png: the tenth wave, through the middle")
    if rest > 2e-5 or abs(values - wanted).max() > 0.02:
        raise SystemExit("A level is off.")


if __name__ == "__main__":
    main()
