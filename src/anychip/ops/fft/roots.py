"""Tables of roots of unity for the transforms: matrices of small transforms, twiddle factors between
stages, and chirps. They are computed once in double precision by a kernel, and kept by length, dtype and
device."""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl

from ..iteration import power_of_two
from ..launching import cdiv, launch

BLOCK = 1024
SMALLEST_MATRIX = 16

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["modulus", "direction"])
def roots_kernel(
    real,
    imaginary,
    rows,
    columns,
    pitch,
    count,
    modulus,
    direction,
    SQUARES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Element (i, j) of [rows, columns], rows `pitch` apart, is e to the power of direction 2 pi i k /
    modulus with k = i j (k = j j if SQUARES); what lies outside, up to `count`, is zero."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = at // pitch
    column = at % pitch
    power = row * column
    if SQUARES:
        power = column * column
    inside = (row < rows) & (column < columns)
    angle = (power % modulus).to(tl.float64) * (6.283185307179586 / modulus.to(tl.float64))
    value = tl.where(inside, tl.cos(angle), 0.0)
    other = tl.where(inside, tl.sin(angle), 0.0) * direction.to(tl.float64)
    tl.store(real + at, value.to(real.dtype.element_ty), mask=at < count)
    tl.store(imaginary + at, other.to(real.dtype.element_ty), mask=at < count)


# ---- tables ---------------------------------------------------------------------------------------

Table = tuple[torch.Tensor, torch.Tensor]


def _table(
    rows: int,
    columns: int,
    shape: tuple[int, int],
    modulus: int,
    direction: int,
    squares: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Table:
    real = torch.empty(shape, dtype=dtype, device=device)
    imaginary = torch.empty(shape, dtype=dtype, device=device)
    launch(
        roots_kernel,
        cdiv(real.numel(), BLOCK),
        real,
        imaginary,
        rows,
        columns,
        shape[1],
        real.numel(),
        modulus,
        direction,
        SQUARES=squares,
        BLOCK=BLOCK,
    )
    return real, imaginary


def fill(
    real: torch.Tensor, imaginary: torch.Tensor, rows: int, columns: int, modulus: int, direction: int
) -> None:
    """Write e to the power of direction 2 pi i j k / modulus as [rows, columns] into contiguous tensors."""
    launch(
        roots_kernel,
        cdiv(real.numel(), BLOCK),
        real,
        imaginary,
        rows,
        columns,
        columns,
        real.numel(),
        modulus,
        direction,
        SQUARES=False,
        BLOCK=BLOCK,
    )


@lru_cache(maxsize=256)
def matrix(radix: int, direction: int, dtype: torch.dtype, device: torch.device) -> Table:
    """The matrix of a transform of length `radix`, padded with zeros to a power of two."""
    side = max(SMALLEST_MATRIX, power_of_two(radix))
    return _table(radix, radix, (side, side), radix, direction, False, dtype, device)


@lru_cache(maxsize=256)
def twiddles(rest: int, radix: int, direction: int, dtype: torch.dtype, device: torch.device) -> Table:
    """Factors [rest, radix] between a stage and the `rest` that remains to be transformed."""
    return _table(rest, radix, (rest, radix), rest * radix, direction, False, dtype, device)


@lru_cache(maxsize=64)
def chirp(length: int, direction: int, dtype: torch.dtype, device: torch.device) -> Table:
    """e to the power of direction pi i j^2 / length for 0 <= j < length."""
    return _table(1, length, (1, length), 2 * length, direction, True, dtype, device)


@lru_cache(maxsize=64)
def line(modulus: int, count: int, dtype: torch.dtype, device: torch.device) -> Table:
    """e to the power of -2 pi i j / modulus for 0 <= j < count."""
    real = torch.empty(2 * count, dtype=dtype, device=device)
    imaginary = torch.empty(2 * count, dtype=dtype, device=device)
    fill(real, imaginary, 2, count, modulus, -1)
    return real[count:], imaginary[count:]


@lru_cache(maxsize=4)
def turns(rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Table:
    """Factors [rows, columns] between the two halves of a transform of length rows * columns."""
    real = torch.empty(rows * columns, dtype=dtype, device=device)
    imaginary = torch.empty(rows * columns, dtype=dtype, device=device)
    fill(real, imaginary, rows, columns, rows * columns, -1)
    return real, imaginary
