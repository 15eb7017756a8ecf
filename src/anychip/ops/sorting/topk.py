"""The k largest or smallest elements along a dimension. A few are taken out of a row one by one; many
are read off the sorted row."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..axis import last, normal_dim
from ..errors import ArgumentError
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, signature
from ..memory.copy import COPY
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, special, tensor
from .radix import KERNELS, sort_rows
from .radix_kernels import ordered_key

TILES = Tiles(simt={"block": 4096, "few": 16}, simd={"block": 4096, "few": 48})
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def topk_kernel(
    values, indices, source, n, k, LARGEST: tl.constexpr, BLOCK: tl.constexpr, WHOLE: tl.constexpr
):
    """The first k of a row in order. A word is a key with the index below it, so that no two are equal:
    each next one is the smallest of those larger than the one before."""
    row = tl.program_id(0).to(tl.int64)
    source += row * n
    values += row * k
    indices += row * k
    lane = tl.arange(0, BLOCK)
    none = 0x7FFFFFFFFFFFFFFF
    before = tl.full((), -0x7FFFFFFFFFFFFFFF - 1, tl.int64)
    words = lane.to(tl.int64)
    if WHOLE:
        key = ordered_key(tl.load(source + lane, mask=lane < n), LARGEST)
        words = tl.where(lane < n, ((key - 0x80000000) << 32) | words, none)
    for j in range(k):
        if WHOLE:
            smallest = tl.where((words > before) | (j == 0), words, none)
        else:
            smallest = tl.full((BLOCK,), 0x7FFFFFFFFFFFFFFF, tl.int64)
            for block in range(0, n, BLOCK):
                place = block + lane
                far = ordered_key(tl.load(source + place, mask=place < n), LARGEST)
                word = ((far - 0x80000000) << 32) | place.to(tl.int64)
                fits = (place < n) & ((word > before) | (j == 0))
                smallest = tl.minimum(smallest, tl.where(fits, word, none))
        before = tl.min(smallest, 0)
        index = before & 0xFFFFFFFF
        tl.store(indices + j, index)
        tl.store(values + j, tl.load(source + index))


# ---- forward --------------------------------------------------------------------------------------


def topk(
    self: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, indices) of the k first elements along `dim`, in order; of equal ones the earlier first."""
    dim = normal_dim(dim, self.ndim)
    size = self.shape[dim] if self.ndim else 1
    if not 0 <= k <= size:
        raise ArgumentError(f"selected index k out of range: {k} of {size}")
    source = last(self, dim)
    sizes = TILES.on(self)
    shape = (*source.shape[:-1], k)
    if size <= 32 or k > sizes["few"] or self.element_size() == 8 or self.dtype not in TRITON_DTYPES:
        values, indices = sort_rows(source, largest, kept=k)
        assert values is not None
    else:
        values = torch.empty(shape, dtype=self.dtype, device=self.device)
        indices = torch.empty(shape, dtype=torch.int64, device=self.device)
        key = (signature(source), k, largest)
        plan = PLANS.get(key)
        if plan is None:
            block = min(power_of_two(size), sizes["block"])
            constants = {"LARGEST": largest, "BLOCK": block, "WHOLE": block >= size}
            plan = PLANS.remember(key, Plan(topk_kernel, source.numel() // size, (size, k), constants))
        if k:
            plan.launch(values, indices, source)
    if self.ndim == 0:
        shape = (k,) if k == 0 else ()
        return values.view(shape), indices.view(shape)
    if dim == self.ndim - 1:
        return values, indices
    moved = [x.movedim(-1, dim) for x in (values, indices)]
    first, second = (COPY(x, out=torch.empty(x.shape, dtype=x.dtype, device=x.device)) for x in moved)
    return first, second


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for count, k in ((9, 3), (50, 50), (100, 4)):
        x = ((torch.arange(count) * 37) % 101 - 50).to(dtype)
        yield Sample((x, k))
        yield Sample((x, k, 0, False))
    yield Sample((((torch.arange(120) * 37) % 121 - 50).to(dtype).reshape(40, 3), 3, 0))
    yield Sample((tensor((0, 40), dtype), 3))
    if dtype.is_floating_point:
        yield Sample((torch.cat([special(dtype)[2:], torch.arange(40).to(dtype) + 2]), 5))


def _few(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), 10))


register(
    Operator(
        name="topk",
        overloads=(Overload("topk", topk, _samples, takes_out=False),),
        kernels=(topk_kernel, *KERNELS),
        dtypes=(*FLOATING, *[d for d in INTEGRAL if d != torch.uint8]),
        tiles=TILES,
        benchmarks=(Benchmark("topk", _few),),
    )
)
