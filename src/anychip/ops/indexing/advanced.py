"""Advanced indexing: reading and writing self[indices] with integer tensors and masks, which are first
made linear positions. Several writes to one place count in order; the last, or their sum, stays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from ..axis import delivered
from ..errors import ArgumentError, DimensionError, NotServed
from ..iteration import broadcast_shape
from ..launching import TRITON_DTYPES
from ..pointwise import Pointwise, apart
from ..registry import ALL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor
from .combine import INDEX_DTYPES, Kind, combine, combine_kernel, working_copy
from .rows import TILES, gather_rows_kernel, gather_short_kernel, take_rows
from .selection import nonzero

MASKS = (torch.bool, torch.uint8)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def linear_position(total, index, size):
    """total * size + index, a negative index counting from the end; -1 stays for what is outside."""
    wrapped = tl.where(index < 0, index + size, index)
    known = (wrapped >= 0) & (wrapped < size) & (total >= 0)
    return tl.where(known, total * size + wrapped, -1)


@triton.jit
def pair_position(first, second, rows, columns):
    """The linear position of a row and a column, negative ones counting from the end; -1 outside."""
    return linear_position(linear_position(0, first, rows), second, columns)


# ---- forward --------------------------------------------------------------------------------------


LINEAR = Pointwise(linear_position)
PAIR = Pointwise(pair_position)


class Places(NamedTuple):
    """Where advanced indexing reads or writes: dimensions in order (indexed ones adjacent), linear
    positions over those (from the end where negative, if they `wrap`), the first of them, and the sizes
    before, at and after."""

    order: tuple[int, ...]
    linear: torch.Tensor
    first: int
    before: int
    size: int
    after: int
    wrap: bool


def _expanded(self: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """One index for each of the first dimensions of self: masks become the places that they select."""
    found: list[torch.Tensor | None] = []
    for x in indices:
        if x is None:
            found.append(None)
        elif x.dtype in MASKS:
            for k, size in enumerate(x.shape):
                d = len(found) + k
                if d >= self.ndim or size != self.shape[d]:
                    raise DimensionError(
                        f"The shape of the mask {list(x.shape)} at index {k} does not match the shape of the "
                        f"indexed tensor {list(self.shape)} at index {d}"
                    )
            places = nonzero(x)
            found += [places[:, k] for k in range(x.ndim)]
        elif x.dtype in INDEX_DTYPES:
            found.append(x)
        else:
            raise DimensionError("tensors used as indices must be long, int, byte or bool tensors")
    if len(found) > self.ndim:
        raise DimensionError(f"too many indices for tensor of dimension {self.ndim} (got {len(found)})")
    return found


def _places(self: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> tuple[Places, tuple[int, ...]]:
    """Where self[indices] is, and the shape of the positions."""
    if self.dtype not in TRITON_DTYPES:
        raise NotServed("index", f"dtype {self.dtype} is not served")
    expanded = _expanded(self, indices)
    indexed = [d for d, x in enumerate(expanded) if x is not None]
    chosen = [x for x in expanded if x is not None]
    try:
        shapes = [x.shape for x in chosen]
        shape = tuple(shapes[0] if len(shapes) == 1 else broadcast_shape(*shapes))
    except RuntimeError as mismatch:
        raise DimensionError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            f"{[list(x.shape) for x in chosen]}"
        ) from mismatch
    adjacent = indexed == list(range(indexed[0], indexed[0] + len(indexed)))
    rest = [d for d in range(self.ndim) if d not in indexed]
    order = tuple(range(self.ndim)) if adjacent else (*indexed, *rest)
    first = indexed[0] if adjacent else 0
    linear: Any = 0
    if len(chosen) == 1:
        linear = chosen[0]
    else:
        i, j, *others = (x.to(torch.int64) for x in chosen)
        linear = PAIR(i, j, *(self.shape[d] for d in indexed[:2]))
        for x, d in zip(others, indexed[2:], strict=True):
            linear = LINEAR(linear, x, self.shape[d])
    sizes = [self.shape[d] for d in order]
    stop = first + len(indexed)
    spans = (math.prod(sizes[:first]), math.prod(sizes[first:stop]), math.prod(sizes[stop:]))
    if linear.shape != shape:
        linear = linear.expand(shape)
    flat = linear.contiguous().view(-1)
    return Places(order, flat, first, *spans, len(chosen) == 1), shape


def index(self: torch.Tensor, indices: Sequence[torch.Tensor | None], *, out: Any = None) -> torch.Tensor:
    """self[indices] with integer tensors (broadcast together) and masks; None stands for a dimension."""
    places, shape = _places(self, indices)
    source = _ordered(self, places.order).contiguous()
    result_shape = (*source.shape[: places.first], *shape, *source.shape[places.first + _width(indices) :])
    result = torch.empty(result_shape, dtype=self.dtype, device=self.device)
    if result.numel() and not self.numel():
        raise DimensionError(f"index is out of bounds for dimension with size 0, shape {list(self.shape)}")
    if result.numel():
        take_rows(source, places.linear, places.before, places.size, places.after, result, places.wrap)
    return delivered(result, out)


def _width(indices: Sequence[torch.Tensor | None]) -> int:
    """How many dimensions are indexed."""
    return sum(x.ndim if x.dtype in MASKS else 1 for x in indices if x is not None)


def index_put_(
    self: torch.Tensor,
    indices: Sequence[torch.Tensor | None],
    values: torch.Tensor,
    accumulate: bool = False,
    unsafe: bool = False,
) -> torch.Tensor:
    """self[indices] = values, or += if `accumulate`, in place."""
    if values.dtype != self.dtype:
        raise ArgumentError(
            f"Index put requires the source and destination dtypes match, got {self.dtype} for the "
            f"destination and {values.dtype} for the source."
        )
    places, shape = _places(self, indices)
    kind: Kind = "add" if accumulate else "replace"
    merged = (places.before, places.size, places.after)
    ordered = _ordered(self, places.order)
    spread_shape = (*ordered.shape[: places.first], *shape, *ordered.shape[places.first + _width(indices) :])
    try:
        spread = apart(values, self)
        spread = spread if spread.shape == spread_shape else spread.expand(spread_shape)
    except RuntimeError as mismatch:
        raise ArgumentError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing "
            f"result of shape {list(spread_shape)}"
        ) from mismatch
    rows = places.linear.numel()
    if not spread.numel():
        return self
    if not self.numel():
        raise DimensionError(f"index is out of bounds for dimension with size 0, shape {list(self.shape)}")
    target = None
    if not accumulate or self.dtype in (torch.float32, torch.float64, torch.int64, torch.int32):
        target = _viewed(ordered, merged)
    direct = target is not None
    if target is None:
        target = working_copy(ordered, kind).view(merged)
    written = _viewed(spread, (places.before, rows, places.after))
    if written is None:
        written = spread.contiguous().view(places.before, rows, places.after)
    index = places.linear.view(1, rows, 1).expand(written.shape)
    combine(target, 1, index, written, kind, wrap=places.wrap)
    if not direct:
        ordered.copy_(target.view(ordered.shape))
    return self


def _ordered(self: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    return self if order == tuple(range(self.ndim)) else self.permute(order)


def _viewed(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor | None:
    """`x` in another shape over the same memory, if its strides allow that."""
    try:
        return x.view(shape)
    except RuntimeError:
        return None


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _indexings(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((4, 5, 6), dtype)
    i, j = torch.tensor([0, -1, 2]), torch.tensor([[1], [-5]])
    for indices in ([i], [i, j], [None, i], [None, i, j], [i, None, j], [i, j, i]):
        yield Sample((x, indices))
    for indices in ([tensor((4, 5), torch.bool)], [None, tensor((5,), torch.bool)]):
        yield Sample((x, indices))
    yield Sample((tensor((6, 20), dtype).t(), [i]))


@sparingly
def _writes(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((4, 5, 6), dtype)
    i, j = torch.tensor([0, -1, 2]), torch.tensor([1, 3, -5])
    for indices, shape in (([i], (3, 5, 6)), ([i, j], (6,)), ([None, i, j], (4, 3)), ([i, None, j], (3, 5))):
        yield Sample((x, indices, tensor(shape, dtype, seed=1)))
    yield Sample((x, [tensor((4, 5), torch.bool)], tensor((6,), dtype, seed=1)))
    if dtype != torch.bool:
        yield Sample((x, [torch.tensor([1, 1, 1])], tensor((3, 5, 6), dtype, -1, 2, seed=1), True))
        yield Sample((x, [i, None, j], tensor((3, 5), dtype, -1, 2, seed=1), True))


def _points(dtype: torch.dtype) -> Sample:
    place = tensor((1 << 20,), torch.int64, 0, 1024)
    return Sample((tensor((1024, 1024), dtype), [place, place.flip(0)]))


register(
    Operator(
        name="index",
        overloads=(
            Overload("index.Tensor", index, _indexings),
            Overload("_index_put_impl_", index_put_, _writes, takes_out=False),
        ),
        kernels=(gather_rows_kernel, gather_short_kernel, combine_kernel),
        dtypes=ALL,
        tiles=TILES,
        benchmarks=(Benchmark("index.Tensor", _points),),
    )
)
