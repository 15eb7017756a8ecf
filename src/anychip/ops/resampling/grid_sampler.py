"""grid_sampler_2d and grid_sampler_3d in every mode of interpolation and padding, and their backward
operators. Along each axis a place of the grid becomes one, two or four taps with weights and derivatives
of weights; a sample is the product of its axes' taps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, signature
from ..memory.copy import COPY, zero_
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .grid_sampler_kernels import grid_sampler_gradient_kernel, grid_sampler_kernel

TILES = Tiles(simt={"pixels": 128, "channels": 4}, simd={"pixels": 64, "channels": 8})
PLANS: Plans[Plan] = Plans()
BILINEAR, NEAREST, BICUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2
TAPS = {BILINEAR: 2, NEAREST: 1, BICUBIC: 4}

# ---- forward, backward ----------------------------------------------------------------------------


def _check(name: str, input: torch.Tensor, grid: torch.Tensor, rank: int, mode: int) -> None:
    if input.dtype not in FLOATING:
        raise NotServed(name, f"dtype {input.dtype} is not served")
    if input.dtype != grid.dtype:
        raise ArgumentError(
            f"grid_sampler(): expected input and grid to have same dtype, but input has {input.dtype} and "
            f"grid has {grid.dtype}"
        )
    if input.ndim != rank + 2 or grid.ndim != rank + 2 or input.shape[0] != grid.shape[0]:
        raise ArgumentError(
            f"grid_sampler(): expected grid and input to have same batch size and {rank + 2} dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != rank:
        raise ArgumentError(
            f"grid_sampler(): expected grid to have size {rank} in last dimension, but got grid with sizes "
            f"{list(grid.shape)}"
        )
    if 0 in input.shape[1:]:
        raise ArgumentError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
            f"{list(input.shape)}"
        )
    if mode not in TAPS or (mode == BICUBIC and rank == 3):
        raise ArgumentError("grid_sampler(): bicubic interpolation only supports 4D input")


def _plan(
    kernel: Any,
    source: torch.Tensor,
    grid: torch.Tensor,
    settings: tuple[int, int, bool],
    label: str,
    wanted: bool = True,
) -> Plan:
    key = (label, signature(source, grid), settings, wanted)
    plan = PLANS.get(key)
    if plan is not None:
        return plan
    rank = source.ndim - 2
    ones, none = (1,) * (3 - rank), (0,) * (3 - rank)
    sizes, spatial = (*ones, *source.shape[2:]), (*ones, *grid.shape[1:-1])
    mode, padding, align = settings
    tiles = TILES.on(source)
    block_p = min(power_of_two(math.prod(spatial)), tiles["pixels"])
    constants = {
        "RANK": rank,
        "MODE": mode,
        "PADDING": padding,
        "ALIGN": align,
        "TAPS": TAPS[mode],
        "DEPTH_TAPS": TAPS[mode] if rank == 3 else 1,
        "COMPUTE": TRITON_DTYPES[compute_dtype(source.dtype)],
        "BLOCK_C": min(power_of_two(source.shape[1]), tiles["channels"]),
        "BLOCK_P": block_p,
    }
    strides = source.stride()
    steps = grid.stride()
    arguments = (
        source.shape[1],
        sizes,
        spatial,
        (*strides[:2], *none, *strides[2:]),
        (steps[0], *none, *steps[1:]),
    )
    programs = source.shape[0] * cdiv(math.prod(spatial), block_p)
    return PLANS.remember(key, Plan(kernel, programs, arguments, constants, label=label))


def _forward(rank: int) -> Any:
    name = f"grid_sampler_{rank}d"

    def grid_sampler(
        input: torch.Tensor,
        grid: torch.Tensor,
        interpolation_mode: int,
        padding_mode: int,
        align_corners: bool,
    ) -> torch.Tensor:
        _check(name, input, grid, rank, interpolation_mode)
        settings = (interpolation_mode, padding_mode, bool(align_corners))
        shape = (*input.shape[:2], *grid.shape[1:-1])
        out = torch.empty(shape, dtype=input.dtype, device=input.device)
        _plan(grid_sampler_kernel, input, grid, settings, name).launch(out, input, grid)
        return out

    return grid_sampler


def _backward(rank: int) -> Any:
    name = f"grid_sampler_{rank}d_backward"

    def grid_sampler_backward(
        grad_output: torch.Tensor,
        input: torch.Tensor,
        grid: torch.Tensor,
        interpolation_mode: int,
        padding_mode: int,
        align_corners: bool,
        output_mask: Sequence[bool],
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        _check(name, input, grid, rank, interpolation_mode)
        settings = (interpolation_mode, padding_mode, bool(align_corners))
        wide = None
        if output_mask[0]:
            compute = compute_dtype(input.dtype)
            wide = zero_(torch.empty(input.shape, dtype=compute, device=input.device))
        grad_grid = torch.empty(grid.shape, dtype=grid.dtype, device=grid.device)
        plan = _plan(grid_sampler_gradient_kernel, input, grid, settings, name, output_mask[0])
        plan.launch(wide, grad_grid, grad_output.contiguous(), input, grid)
        if wide is not None and wide.dtype != input.dtype:
            wide = COPY(wide, out=torch.empty(input.shape, dtype=input.dtype, device=input.device))
        return wide, grad_grid

    return grid_sampler_backward


# ---- record ---------------------------------------------------------------------------------------


def _cases(rank: int, dtype: torch.dtype) -> Iterable[tuple[Any, ...]]:
    shape = (2, 3, 4, 5) if rank == 2 else (1, 2, 3, 4, 5)
    x = tensor(shape, dtype)
    grid = tensor((shape[0], *(2, 3, 4)[3 - rank :], rank), dtype, -1.4, 1.4, seed=1)
    modes = (BILINEAR, NEAREST, BICUBIC) if rank == 2 else (BILINEAR, NEAREST)
    if dtype != torch.float32:
        yield x, grid, BILINEAR, REFLECTION, False
        return
    for mode, padding in zip(modes, (ZEROS, BORDER, REFLECTION), strict=False):
        yield x, grid, mode, padding, padding == BORDER
    yield x, grid, NEAREST, REFLECTION, False
    yield x, grid, BILINEAR, BORDER, False
    yield x.transpose(-1, -2), grid, BILINEAR, REFLECTION, True


def _samples(rank: int) -> Samples:
    return lambda dtype: [Sample(case) for case in _cases(rank, dtype)]


def _gradients(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for x, grid, *rest in _cases(rank, dtype):
            gradient = tensor((*x.shape[:2], *grid.shape[1:-1]), dtype, seed=2)
            yield Sample((gradient, x, grid, *rest, [True, True]))

    return draw


def _image(dtype: torch.dtype) -> Sample:
    return Sample(
        (tensor((4, 32, 64, 64), dtype), tensor((4, 64, 64, 2), dtype, -1, 1), BILINEAR, ZEROS, False)
    )


register(
    Operator(
        name="grid_sampler",
        overloads=tuple(
            overload
            for rank in (2, 3)
            for overload in (
                Overload(f"grid_sampler_{rank}d", _forward(rank), _samples(rank), takes_out=False),
                Overload(
                    f"grid_sampler_{rank}d_backward", _backward(rank), _gradients(rank), takes_out=False
                ),
            )
        ),
        kernels=(grid_sampler_kernel, grid_sampler_gradient_kernel),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        benchmarks=(Benchmark("grid_sampler_2d", _image),),
        tolerance=16.0,
    )
)
