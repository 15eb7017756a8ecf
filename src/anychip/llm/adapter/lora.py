"""Low-rank adapters (Hu et al., 2021): down to a small rank and up again, with one adapter or with one for
each token (Chen et al., "Punica", 2023). Flows in: rows of hidden states, matrices of adapters, indices.
Flows out: rows of the rank, or of the layer's width with the layer's own result added."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import FLOATING, Fused, register

TILES = Tiles(simt={"rows": 32, "columns": 64, "inner": 64}, simd={"rows": 32, "columns": 64, "inner": 128})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def adapters_of(indices, row, rows, adapters):
    """Each row's adapter (-1: none), and the lowest and the highest among them."""
    inside = row < rows
    if indices is None:
        index = tl.where(inside, 0, -1)
    else:
        index = tl.load(indices + row, mask=inside, other=-1).to(tl.int32)
        index = tl.where((index >= 0) & (index < adapters), index, -1)
    return index, tl.min(tl.where(index < 0, adapters, index), 0), tl.max(index, 0)


@triton.jit
def lora_shrink_kernel(
    out,
    x,
    down,
    indices,
    rows,
    inner,
    rank,
    adapters,
    scale,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """scale x down^T for a tile of rows, adapter by adapter among those that its rows have; a row whose
    adapter it is not counts as zeros."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    lane = tl.arange(0, BLOCK_R)
    index, lowest, highest = adapters_of(indices, row, rows, adapters)
    row_at = row.to(tl.int64)[:, None]
    result = tl.zeros((BLOCK_M, BLOCK_R), tl.float32)
    for adapter in tl.range(lowest, highest + 1):
        mine = index == adapter
        if tl.max(mine.to(tl.int32), 0) > 0:
            matrix = (adapter.to(tl.int64) * rank + lane)[None, :] * inner
            for start in range(0, inner, BLOCK_K):
                k = start + tl.arange(0, BLOCK_K)
                in_k = k < inner
                left = tl.load(x + row_at * inner + k[None, :], mask=mine[:, None] & in_k[None, :], other=0.0)
                right = tl.load(
                    down + matrix + k[:, None], mask=(lane < rank)[None, :] & in_k[:, None], other=0.0
                )
                result = tl.dot(left, right.to(left.dtype), result, input_precision="ieee")
    tl.store(
        out + row_at * rank + lane[None, :],
        result * scale,
        mask=(row < rows)[:, None] & (lane < rank)[None, :],
    )


@triton.jit
def lora_expand_kernel(
    out,
    base,
    shrunk,
    up,
    indices,
    rows,
    columns,
    rank,
    adapters,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """base + shrunk up^T for a tile of rows and columns, adapter by adapter as above."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    lane = tl.arange(0, BLOCK_R)
    index, lowest, highest = adapters_of(indices, row, rows, adapters)
    row_at = row.to(tl.int64)[:, None]
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    result = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    if base is not None:
        result += tl.load(base + row_at * columns + column[None, :], mask=mask, other=0.0).to(tl.float32)
    low = tl.load(
        shrunk + row_at * rank + lane[None, :], mask=(row < rows)[:, None] & (lane < rank)[None, :], other=0.0
    )
    for adapter in tl.range(lowest, highest + 1):
        mine = index == adapter
        if tl.max(mine.to(tl.int32), 0) > 0:
            matrix = (adapter.to(tl.int64) * columns + column)[None, :] * rank
            right = tl.load(
                up + matrix + lane[:, None],
                mask=(column < columns)[None, :] & (lane < rank)[:, None],
                other=0.0,
            )
            left = tl.where(mine[:, None], low, 0.0).to(right.dtype)
            result = tl.dot(left, right, result, input_precision="ieee")
    tl.store(out + row_at * columns + column[None, :], result.to(out.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def _check(
    name: str, x: torch.Tensor, matrices: torch.Tensor, width: int, indices: torch.Tensor | None
) -> None:
    if x.ndim < 1 or x.dtype not in FLOATING or matrices.dtype not in FLOATING or x.shape[-1] != width:
        raise ArgumentError(
            f"{name}: rows {tuple(x.shape)} of {x.dtype} do not fit adapters {tuple(matrices.shape)} of "
            f"{matrices.dtype}; give floating rows of width {width}"
        )
    if indices is not None and indices.shape != x.shape[:-1]:
        raise ArgumentError(
            f"{name}: expected one index for each row {tuple(x.shape[:-1])}, got {tuple(indices.shape)}"
        )


def _shrink(
    name: str, x: torch.Tensor, down: torch.Tensor, indices: torch.Tensor | None, scale: float
) -> torch.Tensor:
    adapters, rank, inner = down.shape
    _check(name, x, down, inner, indices)
    rows = x.shape[:-1].numel()
    out = torch.empty((*x.shape[:-1], rank), dtype=torch.float32, device=x.device)
    tiles = TILES.on(x)
    block_m = max(16, min(tiles["rows"], power_of_two(rows)))
    launch(
        lora_shrink_kernel,
        cdiv(rows, block_m),
        out,
        x.contiguous(),
        down.contiguous(),
        None if indices is None else indices.contiguous(),
        rows,
        inner,
        rank,
        adapters,
        scale,
        BLOCK_M=block_m,
        BLOCK_R=max(16, power_of_two(rank)),
        BLOCK_K=max(16, min(tiles["inner"], power_of_two(inner))),
    )
    return out


def _expand(
    name: str, shrunk: torch.Tensor, up: torch.Tensor, indices: torch.Tensor | None, base: torch.Tensor | None
) -> torch.Tensor:
    adapters, columns, rank = up.shape
    _check(name, shrunk, up, rank, indices)
    shape = (*shrunk.shape[:-1], columns)
    if base is not None and base.shape != shape:
        raise ArgumentError(f"{name}: expected a base of shape {shape}, got {tuple(base.shape)}")
    rows = shrunk.shape[:-1].numel()
    out = torch.empty(shape, dtype=up.dtype if base is None else base.dtype, device=shrunk.device)
    tiles = TILES.on(shrunk)
    block_m = max(16, min(tiles["rows"], power_of_two(rows)))
    launch(
        lora_expand_kernel,
        (cdiv(rows, block_m), cdiv(columns, tiles["columns"])),
        out,
        None if base is None else base.contiguous(),
        shrunk.contiguous(),
        up.contiguous(),
        None if indices is None else indices.contiguous(),
        rows,
        columns,
        rank,
        adapters,
        BLOCK_M=block_m,
        BLOCK_N=tiles["columns"],
        BLOCK_R=max(16, power_of_two(rank)),
    )
    return out


def _one(name: str, matrix: torch.Tensor, rank: int) -> torch.Tensor:
    if matrix.ndim != rank:
        raise ArgumentError(f"{name}: expected {rank} dimensions of adapters, got {tuple(matrix.shape)}")
    return matrix[None] if rank == 2 else matrix


def lora_shrink(x: torch.Tensor, down: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """scale x down^T of one adapter, in float32.

    x [..., in] floating, down [rank, in]; gives [..., rank]. Raises ArgumentError.
    """
    return _shrink("lora_shrink", x, _one("lora_shrink", down, 2), None, scale)


def lora_expand(shrunk: torch.Tensor, up: torch.Tensor, base: torch.Tensor | None = None) -> torch.Tensor:
    """base + shrunk up^T of one adapter.

    shrunk [..., rank] as `lora_shrink` gives it (rounded to up's dtype for the product), up [out, rank], base
    [..., out], the layer's own result (None: nothing); gives base's dtype, or up's. Raises ArgumentError.
    """
    return _expand("lora_expand", shrunk, _one("lora_expand", up, 2), None, base)


def grouped_lora_shrink(
    x: torch.Tensor, down: torch.Tensor, indices: torch.Tensor, scale: float = 1.0
) -> torch.Tensor:
    """`lora_shrink` with an adapter for each row; quickest where rows of one adapter are neighbours.

    x [..., in], down [adapters, rank, in], indices [...] integers; a negative one, or one past the adapters,
    is none, and gives zeros. Raises ArgumentError.
    """
    return _shrink("grouped_lora_shrink", x, _one("grouped_lora_shrink", down, 3), indices, scale)


def grouped_lora_expand(
    shrunk: torch.Tensor, up: torch.Tensor, indices: torch.Tensor, base: torch.Tensor | None = None
) -> torch.Tensor:
    """`lora_expand` with an adapter for each row.

    shrunk [..., rank], up [adapters, out, rank], indices [...] as in `grouped_lora_shrink`: a row without
    adapter is that of base. Raises ArgumentError.
    """
    return _expand("grouped_lora_expand", shrunk, _one("grouped_lora_expand", up, 3), indices, base)


# ---- records --------------------------------------------------------------------------------------


def _shrink_reference(x: torch.Tensor, down: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return x @ down.t() * scale


def _expand_reference(
    shrunk: torch.Tensor, up: torch.Tensor, base: torch.Tensor | None = None
) -> torch.Tensor:
    return shrunk @ up.t() + (0 if base is None else base)


def grouped_product(x: torch.Tensor, matrices: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """x times the transposed matrix that each row's index names, in plain PyTorch; rows of no adapter (an
    index out of range) give zeros."""
    has = (indices >= 0) & (indices < len(matrices))
    chosen = matrices[torch.where(has, indices, 0).long()]
    return torch.einsum("...k,...rk->...r", x, chosen) * has[..., None]


def _grouped_shrink_reference(
    x: torch.Tensor, down: torch.Tensor, indices: torch.Tensor, scale: float = 1.0
) -> torch.Tensor:
    return grouped_product(x, down, indices) * scale


def _grouped_expand_reference(
    shrunk: torch.Tensor, up: torch.Tensor, indices: torch.Tensor, base: torch.Tensor | None = None
) -> torch.Tensor:
    return grouped_product(shrunk, up, indices) + (0 if base is None else base)


def _indices(*shape: int) -> torch.Tensor:
    return tensor(shape, torch.int64, -1, 4, seed=3)


def _shrink_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 7), dtype), tensor((2, 7), dtype, seed=1), 0.5))
    x = tensor((300, 2, 40), dtype, -1, 1).permute(2, 1, 0)
    yield Sample((x, tensor((20, 300), dtype, -1, 1, seed=1)))


def _expand_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 2), torch.float32), tensor((7, 2), dtype, seed=1)))
    # One element of the layer's own result is far larger than the adapter's part: its rounding alone counts.
    base = torch.tensor([[16.0, -2.0, 1.0]], dtype=dtype)
    up = torch.tensor([[0.5, 0.25], [-0.25, 0.5], [0.5, 0.5]], dtype=dtype)
    yield Sample((torch.tensor([[0.5, 0.25]]), up, base))
    shrunk = tensor((2, 40, 20), torch.float32, -1, 1)
    yield Sample((shrunk, tensor((20, 150), dtype, -1, 1).t(), tensor((2, 40, 150), dtype, seed=2)))


def _grouped_shrink_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype), tensor((3, 2, 7), dtype, seed=1), _indices(5), 0.5))
    x, down = tensor((2, 40, 300), dtype, -1, 1), tensor((4, 16, 300), dtype, -1, 1, seed=1)
    yield Sample((x, down, _indices(80).sort()[0].int().view(2, 40)))


def _grouped_expand_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 2), torch.float32), tensor((3, 7, 2), dtype, seed=1), _indices(5)))
    shrunk, up = tensor((80, 16), torch.float32, -1, 1), tensor((4, 150, 16), dtype, -1, 1, seed=1)
    yield Sample((shrunk, up, _indices(80).sort()[0].int(), tensor((80, 150), dtype, seed=2)))


register(
    Fused("lora_shrink", "adapter", lora_shrink, _shrink_reference, _shrink_samples, (lora_shrink_kernel,))
)
register(
    Fused("lora_expand", "adapter", lora_expand, _expand_reference, _expand_samples, (lora_expand_kernel,))
)
register(
    Fused(
        "grouped_lora_shrink",
        "adapter",
        grouped_lora_shrink,
        _grouped_shrink_reference,
        _grouped_shrink_samples,
        (lora_shrink_kernel,),
    )
)
register(
    Fused(
        "grouped_lora_expand",
        "adapter",
        grouped_lora_expand,
        _grouped_expand_reference,
        _grouped_expand_samples,
        (lora_expand_kernel,),
    )
)
