"""Products of activations with packed weights, and rows of packed weights as numbers. Flows in: rows of
floating numbers, a `PackedWeight`. Flows out: rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ..registry import FLOATING
from .formats import INNER, PART
from .kernels import packed_product_kernel, round_rows_kernel, unpack_rows_kernel
from .weights import AT_ONCE, ROWS, PackedWeight

TILES = Tiles(simt={"blocks": 8, "elements": 256}, simd={"blocks": 16, "elements": 512})


@dataclass(frozen=True, slots=True)
class RoundedRows:
    """Rows rounded to 8 bits in blocks of 32: numbers [rows, columns] int8, scales [rows, columns / 32]
    float32, sums of 16 numbers each [rows, columns / 16] int32. An element is its number times the scale."""

    numbers: torch.Tensor
    scales: torch.Tensor
    sums: torch.Tensor

    @classmethod
    def empty(cls, rows: int, columns: int, device: torch.device) -> RoundedRows:
        """Memory for so many."""
        return cls(
            torch.empty((rows, columns), dtype=torch.int8, device=device),
            torch.empty((rows, columns // INNER), dtype=torch.float32, device=device),
            torch.empty((rows, columns // PART), dtype=torch.int32, device=device),
        )


def rounded_rows(x: torch.Tensor) -> RoundedRows:
    """x [..., columns] floating, columns a multiple of 32, as rows of 8 bits. Raises ArgumentError."""
    columns = x.shape[-1] if x.ndim else 0
    if x.dtype not in FLOATING or columns == 0 or columns % INNER:
        raise ArgumentError(
            f"rounded_rows: expected floating rows of a multiple of {INNER} elements, got {tuple(x.shape)} "
            f"of {x.dtype}"
        )
    x = x.contiguous()
    rows, blocks = x.shape[:-1].numel(), columns // INNER
    made = RoundedRows.empty(rows, columns, x.device)
    at_a_time = min(power_of_two(blocks), TILES.on(x)["blocks"])
    launch(
        round_rows_kernel,
        (rows, cdiv(blocks, at_a_time)),
        made.numbers,
        made.scales,
        made.sums,
        x,
        columns,
        blocks,
        BLOCKS=at_a_time,
    )
    return made


def kernel_constants(weight: PackedWeight) -> dict[str, Any]:
    """What a kernel is compiled for."""
    format = weight.format
    return {
        "LOW": format.low,
        "HIGH": format.high,
        "TABLE": format.table,
        "OFFSET": format.offset,
        "BLOCKS": format.block // INNER,
        "PARTS": INNER // format.part,
        "SIGN": format.sign,
        "ROWS": ROWS,
    }


def packed_matmul(
    x: RoundedRows,
    weight: PackedWeight,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """x weight^T + bias + residual [rows, weight's rows] in `dtype`, of rows that are rounded to 8 bits.

    bias [weight's rows], residual [rows, weight's rows] contiguous. Raises ArgumentError.
    """
    rows = x.numbers.shape[0]
    if x.numbers.shape[1] != weight.columns:
        raise ArgumentError(
            f"packed_matmul: rows of {x.numbers.shape[1]} elements, a weight of {weight.columns} columns"
        )
    for given, shape in ((bias, (weight.rows,)), (residual, (rows, weight.rows))):
        if given is not None and (given.shape != shape or not given.is_contiguous()):
            raise ArgumentError(f"packed_matmul: expected {shape} contiguous, got {tuple(given.shape)}")
    out = torch.empty((rows, weight.rows), dtype=dtype, device=x.numbers.device)
    at_once = next(m for m in AT_ONCE if rows % m == 0)
    launch(
        packed_product_kernel,
        (rows // at_once, cdiv(weight.rows, ROWS)),
        out,
        x.numbers.view(torch.int32),
        x.scales,
        x.sums,
        *weight.tensors(),
        bias,
        residual,
        weight.rows,
        weight.columns // INNER,
        **kernel_constants(weight),
        M=at_once,
    )
    return out


def unpacked_rows(
    weight: PackedWeight, rows: torch.Tensor, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """The chosen rows [..., columns] as numbers, exact in float32; rows [...] are integers of the
    weight's."""
    out = torch.empty((*rows.shape, weight.columns), dtype=dtype, device=rows.device)
    block = min(power_of_two(weight.columns), TILES.on(out)["elements"])
    launch(
        unpack_rows_kernel,
        (rows.numel(), cdiv(weight.columns, block)),
        out,
        rows.contiguous(),
        *weight.tensors(),
        weight.columns // INNER,
        BLOCK=block,
        **kernel_constants(weight),
    )
    return out
