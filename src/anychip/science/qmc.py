"""Quasi-random points under the names of `scipy.stats.qmc`, made of integers alone, which every chip
computes alike. Flows in: dimensions, and which points. Flows out: points [n, d] in [0, 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from ..ops.distinct import distinct
from ..ops.launching import cdiv, launch
from .errors import InvalidValue, NotProvided

BLOCK, BITS = 64, 30
MOST = 1 << BITS

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def mixed(x, seed):
    """A permutation of 32-bit numbers, kept in 64, in which a bit depends on lower ones alone (Laine and
    Karras, "Stratified sampling for stochastic transparency", 2011, with constants by Vegdahl)."""
    x = (x ^ (x * 0x3D20ADEA)) & 0xFFFFFFFF
    x = (x + seed) & 0xFFFFFFFF
    x = (x * ((seed >> 16) | 1)) & 0xFFFFFFFF
    x = (x ^ (x * 0x05526C56)) & 0xFFFFFFFF
    return (x ^ (x * 0x53A22864)) & 0xFFFFFFFF


@triton.jit
def reversed_bits(x):
    """The 32 bits of a number, kept in 64, in reverse."""
    x = ((x >> 1) & 0x55555555) | ((x & 0x55555555) << 1)
    x = ((x >> 2) & 0x33333333) | ((x & 0x33333333) << 2)
    x = ((x >> 4) & 0x0F0F0F0F) | ((x & 0x0F0F0F0F) << 4)
    x = ((x >> 8) & 0x00FF00FF) | ((x & 0x00FF00FF) << 8)
    return (x >> 16) | ((x & 0xFFFF) << 16)


@triton.jit(do_not_specialize=["first", "count", "columns"])
def sobol_kernel(
    out, directions, seeds, first, count, columns,
    SCRAMBLED: tl.constexpr, BITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out [count, columns] = points `first` and so on of Sobol's sequence in the order of Gray's code, by
    directions [columns, BITS]; nested scrambling by seeds [columns]. A program takes BLOCK points of a
    column."""
    distinct(out, directions)
    column = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    number = at + first
    gray = number ^ (number >> 1)
    x = tl.zeros((BLOCK,), tl.int64)
    for bit in range(BITS):
        direction = tl.load(directions + column * BITS + bit)
        x = x ^ tl.where((gray >> bit) & 1 == 1, direction, 0)
    scale = 1.0
    if SCRAMBLED:
        x = reversed_bits(mixed(reversed_bits(x << (32 - BITS)), tl.load(seeds + column)))
        value = x.to(tl.float64) * 2.3283064365386963e-10
    else:
        value = x.to(tl.float64) * 9.313225746154785e-10
    tl.store(out + at * columns + column, value * scale, mask=mask)


@triton.jit(do_not_specialize=["first", "count", "columns"])
def halton_kernel(out, bases, first, count, columns, BLOCK: tl.constexpr):
    """out [count, columns] = the digits of numbers `first` and so on to a base of each column, mirrored at
    the point. A program takes BLOCK points of a column."""
    distinct(out, bases)
    column = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    base = tl.load(bases + column)
    rest = at + first
    top = tl.zeros((BLOCK,), tl.int64)
    scale = tl.zeros((BLOCK,), tl.int64) + 1
    while tl.max(rest, 0) > 0:
        going = rest > 0
        top = tl.where(going, top * base + rest % base, top)
        scale = tl.where(going, scale * base, scale)
        rest = rest // base
    # numbers below 2^53, whose quotient is rounded once
    tl.store(out + at * columns + column, top.to(tl.float64) / scale.to(tl.float64), mask=mask)


# ---- names ----------------------------------------------------------------------------------------


class _Points:
    """What both sequences share: a place in them. Raises InvalidValue for less than one dimension."""

    def __init__(self, d: int):
        if d < 1:
            raise InvalidValue(f"d must be at least 1, not {d}")
        self.d, self.num_generated = d, 0

    def _drawn(self, n: int) -> torch.Tensor:
        raise NotImplementedError

    def random(self, n: int = 1) -> np.ndarray:
        """The next n points [n, d], float64. Raises InvalidValue."""
        return self.tensor(n).numpy()

    def tensor(self, n: int = 1) -> torch.Tensor:
        """The next n points [n, d], float64, as a tensor. Raises InvalidValue."""
        if n < 0 or self.num_generated + n > MOST:
            raise InvalidValue(f"there are {MOST - self.num_generated} more points, not {n}")
        out = self._drawn(n)
        self.num_generated += n
        return out

    def fast_forward(self, n: int) -> Any:
        """Leave n points out. Returns the sequence."""
        self.num_generated += n
        return self

    def reset(self) -> Any:
        """Begin anew. Returns the sequence."""
        self.num_generated = 0
        return self


class Sobol(_Points):
    """Sobol's sequence in d dimensions, at most 21201, with the directions of Joe and Kuo (2008) as PyTorch
    has them: without `scramble` SciPy's points, with it Owen's nested scrambling by `seed`, of integers
    alone, whose bits are not SciPy's. Raises InvalidValue."""

    def __init__(self, d: int, *, scramble: bool = True, seed: int = 0):
        super().__init__(d)
        if d > 21201:
            raise InvalidValue(f"Sobol's sequence has at most 21201 dimensions, not {d}")
        state = torch.quasirandom.SobolEngine(d, scramble=False).sobolstate
        self.directions = state.to(torch.int64).contiguous()
        self.scramble = scramble
        generator = np.random.Generator(np.random.Philox(seed))
        self.seeds = torch.from_numpy(generator.integers(0, 1 << 32, d, dtype=np.int64))

    def _drawn(self, n: int) -> torch.Tensor:
        out = torch.empty((n, self.d), dtype=torch.float64)
        launch(
            sobol_kernel, (cdiv(n, BLOCK), self.d), out, self.directions, self.seeds, self.num_generated, n,
            self.d, SCRAMBLED=self.scramble, BITS=BITS, BLOCK=BLOCK,
        )  # fmt: skip
        return out

    def random_base2(self, m: int) -> np.ndarray:
        """The next 2^m points [2^m, d], float64. Raises InvalidValue where these are not balanced."""
        before = self.num_generated
        if before > 1 << m or (before & (before - 1)):
            raise InvalidValue(
                f"The balance properties of Sobol' points require n to be a power of 2; "
                f"{before} points were drawn before 2^{m}"
            )
        return self.random(1 << m)


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % one for one in found if one * one <= number):
            found.append(number)
        number += 1
    return found


class Halton(_Points):
    """Halton's sequence in d dimensions, to the first d primes as bases; SciPy's points without scrambling.
    Raises InvalidValue, and NotProvided for `scramble`."""

    def __init__(self, d: int, *, scramble: bool = False):
        super().__init__(d)
        if scramble:
            raise NotProvided("Halton's sequence is not scrambled here", "Use Sobol, or add a shift.")
        self.bases = torch.tensor(_primes(d), dtype=torch.int64)

    def _drawn(self, n: int) -> torch.Tensor:
        out = torch.empty((n, self.d), dtype=torch.float64)
        launch(
            halton_kernel,
            (cdiv(n, BLOCK), self.d),
            out,
            self.bases,
            self.num_generated,
            n,
            self.d,
            BLOCK=BLOCK,
        )
        return out
