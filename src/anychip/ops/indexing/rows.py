"""Whole rows by computed position: embedding and index_select, and their accumulating counterparts.
A position is first made an element offset; the kernels then move rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from ..elementwise.arithmetic import mul
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import Plan, Plans, Tiles, cdiv, compute_dtype, launch, signature
from ..memory.copy import fill_
from ..pointwise import writable
from ..registry import ALL, FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .combine import along_checked
from .rows_kernels import add_rows_in_turn_kernel, add_rows_kernel, gather_rows_kernel, gather_short_kernel

TILES = Tiles(
    simt={"block": 1024, "rows": 1, "in_turn": 0, "elements": 512, "short": 16},
    simd={"block": 4096, "rows": 16, "in_turn": 1, "elements": 1024, "short": 16},
)
"""Rows shorter than `short` are gathered many at a time, `elements` of them. `rows`: how many rows a program
copies, at most. `in_turn`: rows are added one after the other by the one program that owns their
destination, where an atomic addition costs more than that."""
PLANS: Plans[Plan] = Plans()
INDEX_DTYPES = (torch.int64, torch.int32)

# ---- forward, backward ----------------------------------------------------------------------------


def _check(name: str, index: torch.Tensor) -> None:
    if index.dtype not in INDEX_DTYPES:
        raise NotServed(name, f"an index of dtype {index.dtype} is not served")


def take_rows(
    source: torch.Tensor,
    index: torch.Tensor,
    before: int,
    size: int,
    after: int,
    out: torch.Tensor,
    wrap: bool = False,
) -> None:
    """Rows of a contiguous [before, size, after] into a contiguous [before, index, after]; with `wrap`,
    negative indices count from the end."""
    key = (signature(source, index), before, size, after, wrap)
    plan = PLANS.get(key)
    if plan is None:
        rows = index.numel()
        if after < TILES.on(source)["short"]:
            plan = PLANS.remember(key, _short_plan(source, before, rows, size, after, wrap))
            plan.launch(out, source, index)
            return
        block = min(power_of_two(after), TILES.on(source)["block"])
        pairs, blocks = before * rows, cdiv(after, block)
        each = min(TILES.on(source)["rows"], power_of_two(pairs * blocks // _wanted_programs() + 1))
        constants = {"WRAP": wrap, "ROWS": each, "BLOCK": block, "debug": True, "sanitize_overflow": False}
        sizes = (pairs, rows, after, size, after, size * after)
        plan = PLANS.remember(key, Plan(gather_rows_kernel, cdiv(pairs, each) * blocks, sizes, constants))
    plan.launch(out, source, index)


def _short_plan(source: torch.Tensor, before: int, rows: int, size: int, after: int, wrap: bool) -> Plan:
    block_a = power_of_two(after)
    block_p = min(power_of_two(rows), TILES.on(source)["elements"] // block_a)
    constants = {
        "WRAP": wrap,
        "BLOCK_P": block_p,
        "BLOCK_A": block_a,
        "debug": True,
        "sanitize_overflow": False,
    }
    return Plan(gather_short_kernel, before * cdiv(rows, block_p), (rows, after, size), constants)


def _put(
    out: torch.Tensor,
    values: torch.Tensor,
    index: torch.Tensor,
    before: int,
    size: int,
    after: int,
    add: bool,
    skipped: int,
) -> None:
    """Rows of a contiguous [before, index, after] into a contiguous [before, size, after]."""
    tiles = TILES.on(out)
    block = min(power_of_two(after), tiles["block"])
    rows = index.numel()
    if add and tiles["in_turn"]:
        key = (signature(out, values, index), before, size, after, skipped)
        plan = PLANS.get(key)
        if plan is None:
            owners = before * cdiv(after, block)
            parts = _parts(owners)
            sizes = (rows, after, size, after, size * after, skipped)
            constants = {"PARTS": parts, "BLOCK": block, "debug": True, "sanitize_overflow": False}
            plan = PLANS.remember(key, Plan(add_rows_in_turn_kernel, owners * parts, sizes, constants))
        plan.launch(out, values, index)
        return
    launch(
        add_rows_kernel,
        before * rows * cdiv(after, block),
        out,
        values,
        index,
        rows,
        after,
        size,
        after,
        size * after,
        skipped,
        ADD=add,
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )


PROGRAMS_PER_THREAD = 4


def _wanted_programs() -> int:
    """So many programs keep the CPU's threads busy."""
    return PROGRAMS_PER_THREAD * torch.get_num_threads()


def _parts(owners: int) -> int:
    """In how many parts destination rows are divided so that all threads find work."""
    if torch.get_num_threads() == 1 or owners == 0:
        return 1
    return power_of_two(cdiv(_wanted_programs(), owners))


NOTHING_SKIPPED = -(1 << 40)


def embedding(
    weight: torch.Tensor,
    indices: torch.Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> torch.Tensor:
    """Rows of `weight` [count, width] for indices of any shape, appended as a last dimension."""
    if weight.ndim != 2:
        raise ArgumentError(f"'weight' must be 2-D, but its shape is {list(weight.shape)}")
    _check("embedding", indices)
    width = weight.shape[1]
    out = torch.empty((*indices.shape, width), dtype=weight.dtype, device=weight.device)
    take_rows(weight.contiguous(), indices.contiguous(), 1, weight.shape[0], width, out)
    return out


def embedding_dense_backward(
    grad_output: torch.Tensor,
    indices: torch.Tensor,
    num_weights: int,
    padding_idx: int,
    scale_grad_by_freq: bool,
) -> torch.Tensor:
    """Gradient of the table: rows of `grad_output` added up by index, `padding_idx` left out."""
    if scale_grad_by_freq:
        raise NotServed("embedding_dense_backward", "scale_grad_by_freq=True is not served")
    _check("embedding_dense_backward", indices)
    width = grad_output.shape[-1]
    wide = torch.empty(
        (num_weights, width), dtype=compute_dtype(grad_output.dtype), device=grad_output.device
    )
    fill_(wide, 0)
    skipped = padding_idx if padding_idx >= 0 else NOTHING_SKIPPED
    _put(wide, grad_output.contiguous(), indices.contiguous(), 1, num_weights, width, True, skipped)
    return wide.to(grad_output.dtype)


def _around(shape: torch.Size, dim: int) -> tuple[int, int, int, int]:
    """dim as a non-negative number, and the sizes before, at and after it."""
    if not shape:
        return 0, 1, 1, 1
    dim = dim % len(shape)
    return dim, math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])


def index_select(self: torch.Tensor, dim: int, index: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Slices of self along `dim` at the positions of a 1-d `index`."""
    _check("index_select", index)
    dim, before, size, after = _around(self.shape, dim)
    shape = list(self.shape)
    if shape:
        shape[dim] = index.numel()
    result = torch.empty(shape, dtype=self.dtype, device=self.device)
    take_rows(self.contiguous(), index.contiguous(), before, size, after, result)
    if out is None:
        return result
    if writable(out).shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


def index_add(
    self: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor,
    *,
    alpha: float = 1,
    out: Any = None,
) -> torch.Tensor:
    """self with `alpha * source` added along `dim` at the positions of `index`."""
    along_checked("index_add", self, dim, index, source)
    dim, before, size, after = _around(self.shape, dim)
    wide = torch.empty(self.shape, dtype=compute_dtype(self.dtype), device=self.device).copy_(self)
    added = source if alpha == 1 else mul(source, alpha)
    _put(wide, added.contiguous(), index.contiguous(), before, size, after, True, NOTHING_SKIPPED)
    if out is None:
        return wide.to(self.dtype)
    if out.shape != self.shape:
        out.resize_(self.shape)
    return out.copy_(wide)


# ---- record ---------------------------------------------------------------------------------------


def _embeddings(dtype: torch.dtype) -> Iterable[Sample]:
    table = tensor((11, 6), dtype)
    for shape in ((5,), (2, 3), (), (0,)):
        positions = torch.arange(math.prod(shape)).reshape(shape) * 7 % 11
        yield Sample((table, positions))
    yield Sample((table.t().contiguous().t(), torch.tensor([3, 3, 10], dtype=torch.int32), 3))


def _embedding_gradients(dtype: torch.dtype) -> Iterable[Sample]:
    positions = torch.tensor([[1, 4, 1], [0, 4, 4]])
    yield Sample((tensor((2, 3, 5), dtype), positions, 6, -1, False))
    yield Sample((tensor((2, 3, 5), dtype), positions, 6, 4, False))


def _selections(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((4, 5, 6), dtype)
    for dim in (0, 1, -1):
        yield Sample((x, dim, torch.tensor([3, 0, 3])))
    yield Sample((x.transpose(0, 2), 1, torch.tensor([2], dtype=torch.int32)))
    yield Sample((x, 1, torch.tensor([], dtype=torch.int64)))


def _additions(dtype: torch.dtype) -> Iterable[Sample]:
    for dim in (0, 1):
        shape = [4, 5]
        shape[dim] = 3
        yield Sample((tensor((4, 5), dtype), dim, torch.tensor([3, 0, 3]), tensor(shape, dtype, seed=1)))


def _tokens(dtype: torch.dtype) -> Sample:
    return Sample((tensor((30522, 384), dtype), tensor((32, 128), torch.int64, 0, 30522)))


def _columns(dtype: torch.dtype) -> Sample:
    return Sample((tensor((2048, 1024), dtype), 1, tensor((512,), torch.int64, 0, 1024)))


register(
    Operator(
        name="embedding",
        overloads=(
            Overload("embedding", embedding, _embeddings, takes_out=False),
            Overload(
                "embedding_dense_backward", embedding_dense_backward, _embedding_gradients, takes_out=False
            ),
        ),
        kernels=(gather_rows_kernel, gather_short_kernel, add_rows_kernel, add_rows_in_turn_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("embedding", _tokens),),
    )
)
register(
    Operator(
        name="index_select",
        overloads=(Overload("index_select", index_select, _selections),),
        kernels=(gather_rows_kernel, gather_short_kernel),
        benchmarks=(Benchmark("index_select", _columns),),
        dtypes=ALL,
        tiles=TILES,
    )
)
register(
    Operator(
        name="index_add",
        overloads=(Overload("index_add", index_add, _additions),),
        kernels=(add_rows_kernel, add_rows_in_turn_kernel),
        dtypes=(*FLOATING, torch.int64, torch.int32),
        tiles=TILES,
    )
)
