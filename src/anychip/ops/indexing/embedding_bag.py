"""_embedding_bag and its backward operators: for each bag of indices the sum, mean or maximum of the rows
that they name, without forming the rows. A bag is the run of indices between two offsets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, launch, signature
from ..memory.copy import COPY, zero_
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .embedding_bag_kernels import (
    bag_factor_gradient_kernel,
    bag_gradient_in_turn_kernel,
    bag_gradient_kernel,
    bag_kernel,
    bag_maximum_gradient_kernel,
    bag_places_kernel,
    index_count_kernel,
)

TILES = Tiles(
    simt={"block": 256, "places": 256, "in_turn": 0}, simd={"block": 1024, "places": 128, "in_turn": 1}
)
"""`in_turn`: rows are added one after the other by the one program that owns their destination, where an
atomic addition costs more than that."""
PROGRAMS_PER_THREAD = 4
PLANS: Plans[Plan] = Plans()
SUM, MEAN, MAX = 0, 1, 2
CHECKED: dict[str, Any] = {"debug": True, "sanitize_overflow": False}

# ---- forward --------------------------------------------------------------------------------------

Four = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _check(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    mode: int,
    factors: torch.Tensor | None,
    include_last_offset: bool,
) -> None:
    name = "embedding_bag"
    integers = (torch.int64, torch.int32)
    if weight.dtype not in FLOATING:
        raise NotServed(name, f"dtype {weight.dtype} is not served")
    if weight.ndim != 2 or indices.ndim not in (1, 2) or offsets.ndim not in (1, 2):
        raise ArgumentError(
            f"{name}: weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}"
        )
    if indices.dtype not in integers or offsets.dtype not in integers:
        raise ArgumentError(
            f"Expected tensors for arguments indices and offsets to have scalar types Long, Int; but got "
            f"{indices.dtype} and {offsets.dtype} instead"
        )
    if include_last_offset and offsets.shape[0] < 1:
        raise ArgumentError("include_last_offset: number of offset should be at least 1")
    if factors is not None:
        if mode != SUM:
            raise ArgumentError("embedding_bag: per_sample_weights only supported with mode='sum'")
        if factors.dtype != weight.dtype or factors.shape != indices.shape:
            raise ArgumentError(
                f"expected per_sample_weights of dtype {weight.dtype} and shape {list(indices.shape)}, but "
                f"got {factors.dtype} and {list(factors.shape)}"
            )
    if offsets.device.type == "cpu" and offsets.numel():
        first, last = int(offsets[0]), int(offsets[-1])
        if first != 0:
            raise ArgumentError(
                f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
                f"position 0. However, got {first}"
            )
        if last > indices.shape[0]:
            raise ArgumentError(
                f"offsets[-1] can not be greater than input's length({indices.shape[0]}) but got offsets[-1] "
                f"of {last}"
            )


def _bags(offsets: torch.Tensor, include_last_offset: bool) -> int:
    return offsets.shape[0] - 1 if include_last_offset else offsets.shape[0]


def _places(
    indices: torch.Tensor, offsets: torch.Tensor, bags: int, padding: int, rows: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each index its bag, and the sizes of bags; with `rows`, indices are checked against it."""
    bag_of = torch.empty(indices.shape, dtype=offsets.dtype, device=indices.device)
    sizes = torch.empty((bags,), dtype=offsets.dtype, device=indices.device)
    key = ("places", signature(indices, offsets), bags, padding, rows)
    plan = PLANS.get(key)
    if plan is None:
        count = indices.shape[0]
        numbers = (offsets.shape[0], count, rows or 0, padding)
        share = TILES.on(indices)["places"]
        block = min(power_of_two(cdiv(count, max(bags, 1))), share)
        constants = {"CHECK": rows is not None, "BLOCK": block, **CHECKED}
        plan = PLANS.remember(key, Plan(bag_places_kernel, bags, numbers, constants))
    if indices.shape[0] and not bags:
        zero_(bag_of)
    plan.launch(bag_of, sizes, indices, offsets)
    return bag_of, sizes


def embedding_bag(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = SUM,
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Four:
    """(result [bags, width], bag of each index, sizes of bags, rows of the maxima); the last is the sizes
    unless the mode is a maximum."""
    _check(weight, indices, offsets, mode, per_sample_weights, include_last_offset)
    listed, starts = indices.contiguous(), offsets.contiguous()
    factors = None if per_sample_weights is None else per_sample_weights.contiguous()
    bags, width = _bags(offsets, include_last_offset), weight.shape[1]
    out = torch.empty((bags, width), dtype=weight.dtype, device=weight.device)
    bag_of, sizes = _places(listed, starts, bags, padding_idx, weight.shape[0])
    largest = torch.empty_like(sizes)
    if mode == MAX:
        largest = torch.empty((bags, width), dtype=indices.dtype, device=weight.device)
    key = (signature(weight, listed, starts, factors), bags, mode, padding_idx)
    plan = PLANS.get(key)
    if plan is None:
        block = min(power_of_two(width), TILES.on(weight)["block"])
        numbers = (starts.shape[0], listed.shape[0], weight.shape[0], width, *weight.stride(), padding_idx)
        constants = {"MODE": mode, "COMPUTE": TRITON_DTYPES[compute_dtype(weight.dtype)], "BLOCK": block}
        plan = PLANS.remember(key, Plan(bag_kernel, bags * cdiv(width, block), numbers, constants))
    plan.launch(out, largest, weight, listed, starts, factors)
    return out, bag_of, sizes, largest


# ---- backward -------------------------------------------------------------------------------------


def embedding_bag_dense_backward(
    grad: torch.Tensor,
    indices: torch.Tensor,
    offset2bag: torch.Tensor,
    bag_size: torch.Tensor,
    maximum_indices: torch.Tensor,
    num_weights: int,
    scale_grad_by_freq: bool,
    mode: int,
    per_sample_weights: torch.Tensor | None,
    padding_idx: int = -1,
) -> torch.Tensor:
    """Gradient of the table [num_weights, width]."""
    if grad.dtype not in FLOATING:
        raise NotServed("embedding_bag_dense_backward", f"dtype {grad.dtype} is not served")
    if mode != MAX and offset2bag.shape[0] != indices.shape[0]:
        raise ArgumentError(
            f"embedding_bag_dense_backward: expected the bag of each of {indices.shape[0]} indices, but got "
            f"{offset2bag.shape[0]}"
        )
    gradient, listed = grad.contiguous(), indices.contiguous()
    width = grad.shape[1]
    compute = compute_dtype(grad.dtype)
    wide = zero_(torch.empty((num_weights, width), dtype=compute, device=grad.device))
    block = min(power_of_two(width), TILES.on(grad)["block"])
    constants = {"COMPUTE": TRITON_DTYPES[compute], "BLOCK": block}
    if mode == MAX:
        launch(
            bag_maximum_gradient_kernel,
            grad.shape[0] * cdiv(width, block),
            wide,
            gradient,
            maximum_indices.contiguous(),
            bag_size.contiguous(),
            width,
            **constants,
        )
    else:
        counts = None
        if scale_grad_by_freq:
            counts = zero_(torch.empty((num_weights,), dtype=torch.int32, device=grad.device))
            launch(
                index_count_kernel, cdiv(listed.shape[0], block), counts, listed, listed.shape[0], BLOCK=block
            )
        factors = None if per_sample_weights is None else per_sample_weights.contiguous()
        operands = (wide, gradient, listed, offset2bag.contiguous(), bag_size.contiguous(), counts, factors)
        blocks = cdiv(width, block)
        if TILES.on(grad)["in_turn"]:
            parts = power_of_two(cdiv(PROGRAMS_PER_THREAD * torch.get_num_threads(), max(blocks, 1)))
            launch(
                bag_gradient_in_turn_kernel,
                blocks * parts,
                *operands,
                width,
                padding_idx,
                listed.shape[0],
                MEAN=mode == MEAN,
                PARTS=parts,
                **constants,
            )
        else:
            launch(
                bag_gradient_kernel,
                listed.shape[0] * blocks,
                *operands,
                width,
                padding_idx,
                MEAN=mode == MEAN,
                **constants,
            )
    if wide.dtype == grad.dtype:
        return wide
    return COPY(wide, out=torch.empty(wide.shape, dtype=grad.dtype, device=grad.device))


def embedding_bag_backward(
    grad: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    offset2bag: torch.Tensor,
    bag_size: torch.Tensor,
    maximum_indices: torch.Tensor,
    num_weights: int,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: torch.Tensor | None,
    padding_idx: int = -1,
) -> torch.Tensor:
    """`embedding_bag_dense_backward`, which also finds the bags where the forward pass left them out."""
    if sparse:
        raise NotServed("_embedding_bag_backward", "a sparse gradient is not served")
    if mode != MAX and offset2bag.shape[0] != indices.shape[0]:
        offset2bag, _ = _places(indices.contiguous(), offsets.contiguous(), grad.shape[0], padding_idx)
    return embedding_bag_dense_backward(
        grad,
        indices,
        offset2bag,
        bag_size,
        maximum_indices,
        num_weights,
        scale_grad_by_freq,
        mode,
        per_sample_weights,
        padding_idx,
    )


def embedding_bag_per_sample_weights_backward(
    grad: torch.Tensor,
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    offset2bag: torch.Tensor,
    mode: int,
    padding_idx: int = -1,
) -> torch.Tensor:
    """Gradient of the per-sample weights."""
    if mode != SUM:
        raise ArgumentError("embedding_bag_backward: per_sample_weights only supported for mode='sum'")
    if grad.dtype not in FLOATING:
        raise NotServed("embedding_bag_per_sample_weights_backward", f"dtype {grad.dtype} is not served")
    listed = indices.contiguous()
    if offset2bag.shape[0] != indices.shape[0]:
        offset2bag, _ = _places(listed, offsets.contiguous(), grad.shape[0], padding_idx)
    out = torch.empty(indices.shape, dtype=grad.dtype, device=grad.device)
    width = grad.shape[1]
    launch(
        bag_factor_gradient_kernel,
        indices.shape[0],
        out,
        grad.contiguous(),
        weight,
        listed,
        offset2bag.contiguous(),
        width,
        *weight.stride(),
        padding_idx,
        COMPUTE=TRITON_DTYPES[compute_dtype(grad.dtype)],
        BLOCK=min(power_of_two(width), TILES.on(grad)["block"]),
    )
    return out


# ---- record ---------------------------------------------------------------------------------------

INDICES = torch.tensor([1, 2, 4, 4, 0, 3, 5, 2])
PAIRS = torch.tensor([1, 2, 4, 4, 0, 1, 0, 2])
"""Each index twice: PyTorch's CPU kernel divides by the count of another index where counts differ
(it looks the count up at the ordinal of the index instead of at its place)."""
OFFSETS = torch.tensor([0, 2, 2, 5])


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    weight = tensor((6, 5), dtype)
    for mode in (SUM, MEAN, MAX):
        yield Sample((weight, INDICES, OFFSETS, False, mode))
        yield Sample((weight, INDICES, OFFSETS, False, mode, False, None, False, 4))
    yield Sample((weight, INDICES, OFFSETS, False, SUM, False, tensor((8,), dtype, seed=1)))
    yield Sample(
        (weight.t().contiguous().t(), INDICES.int(), torch.tensor([0, 3, 8], dtype=torch.int32)),
        {"include_last_offset": True, "mode": MEAN},
    )


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for mode, scaled, padding in ((SUM, False, 4), (MEAN, True, -1), (MAX, False, -1)):
        weight = tensor((6, 5), dtype)
        indices = PAIRS if scaled else INDICES
        forward = torch.ops.aten._embedding_bag(
            weight, indices, OFFSETS, scaled, mode, False, None, False, padding
        )
        sizes = torch.tensor([2, 0, 3, 3])
        bag_of = torch.tensor([0, 0, 2, 2, 2, 3, 3, 3])
        gradient = tensor((4, 5), dtype, seed=1)
        factors = tensor((8,), dtype, seed=2) if mode == SUM else None
        largest = forward[3] if mode == MAX else sizes
        rest = (largest, 6, scaled, mode, factors, padding)
        yield Sample((gradient, indices, bag_of, sizes, *rest))


def _whole_gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _gradients(dtype):
        gradient, indices, bag_of, sizes, largest, rows, scaled, mode, factors, padding = sample.arguments
        tail = (rows, scaled, mode, False, factors, padding)
        yield Sample((gradient, indices, OFFSETS, bag_of, sizes, largest, *tail))


def _factor_gradients(dtype: torch.dtype) -> Iterable[Sample]:
    bag_of = torch.tensor([0, 0, 2, 2, 2, 3, 3, 3])
    yield Sample((tensor((4, 5), dtype), tensor((6, 5), dtype, seed=1), INDICES, OFFSETS, bag_of, SUM, 4))


def _result(result: Any) -> Any:
    """The bags' values: what else is returned differs among PyTorch's own paths."""
    return result[0]


def _sentences(dtype: torch.dtype) -> Sample:
    table = tensor((30522, 256), dtype)
    indices = tensor((64 * 128,), torch.int64, 0, 30522)
    return Sample((table, indices, torch.arange(0, 64 * 128, 128), False, MEAN))


def _sentence_gradients(dtype: torch.dtype) -> Sample:
    table, indices, offsets, *_ = _sentences(dtype).arguments
    bag_of, sizes = torch.arange(64).repeat_interleave(128), torch.full((64,), 128)
    rest = (offsets, bag_of, sizes, sizes, table.shape[0], False, MEAN, False, None)
    return Sample((tensor((64, table.shape[1]), dtype, seed=1), indices, *rest))


register(
    Operator(
        name="embedding_bag",
        overloads=(
            Overload("_embedding_bag", embedding_bag, _samples, takes_out=False, compared=_result),
            Overload(
                "_embedding_bag_forward_only", embedding_bag, _samples, takes_out=False, compared=_result
            ),
            Overload("_embedding_bag_backward", embedding_bag_backward, _whole_gradients, takes_out=False),
            Overload(
                "_embedding_bag_dense_backward", embedding_bag_dense_backward, _gradients, takes_out=False
            ),
            Overload(
                "_embedding_bag_per_sample_weights_backward",
                embedding_bag_per_sample_weights_backward,
                _factor_gradients,
                takes_out=False,
            ),
        ),
        kernels=(
            bag_kernel,
            bag_places_kernel,
            bag_gradient_kernel,
            bag_gradient_in_turn_kernel,
            bag_maximum_gradient_kernel,
            bag_factor_gradient_kernel,
            index_count_kernel,
        ),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark("_embedding_bag", _sentences),
            Benchmark("_embedding_bag_backward", _sentence_gradients),
        ),
        tolerance=2.0,
    )
)
