"""Layer normalisation over the trailing dimensions, with mean and reciprocal deviation kept for the
backward pass. Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, launch, scalar_bits, signature
from ..reduce.sums import SUM
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .layer_norm_kernels import (
    layer_norm_backward_kernel,
    layer_norm_input_gradient_kernel,
    layer_norm_kernel,
    layer_norm_weight_gradient_kernel,
)

TILES = Tiles(
    simt={"block": 8192, "rows": 32, "columns": 64, "groups": 128},
    simd={"block": 8192, "rows": 1, "columns": 1024, "groups": 8},
)
PLANS: Plans[Plan] = Plans()

# ---- forward, backward ----------------------------------------------------------------------------


def _split(self: torch.Tensor, normalized_shape: Sequence[int]) -> tuple[int, int, tuple[int, ...]]:
    """Rows, row length, and the shape of mean and reciprocal deviation."""
    trailing = len(normalized_shape)
    if trailing == 0 or list(self.shape[self.ndim - trailing :]) != list(normalized_shape):
        raise ArgumentError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape "
            f"[*, {', '.join(map(str, normalized_shape))}], but got input of size {list(self.shape)}"
        )
    leading = self.shape[: self.ndim - trailing]
    return math.prod(leading), math.prod(normalized_shape), (*leading, *([1] * trailing))


def native_layer_norm(
    input: torch.Tensor,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(normalised, mean, reciprocal deviation); the statistics have the input's dtype, or single precision
    where that of weight and bias is another."""
    if input.dtype not in FLOATING:
        raise NotServed("native_layer_norm", f"dtype {input.dtype} is not served")
    source = input.contiguous()
    kinds = tuple(None if x is None else (x.dtype, x.shape) for x in (weight, bias))
    key = (signature(source), tuple(normalized_shape), kinds)
    plan = PLANS.get(key)
    if plan is None:
        rows, length, statistics = _split(input, normalized_shape)
        block = min(power_of_two(length), TILES.on(input)["block"])
        compute = compute_dtype(input.dtype)
        constants = {"COMPUTE": TRITON_DTYPES[compute], "BLOCK": block, "WHOLE": block >= length}
        for name, x in (("weight", weight), ("bias", bias)):
            if x is not None and tuple(x.shape) != tuple(normalized_shape):
                raise ArgumentError(
                    f"layer_norm: expected {name} to be of the shape {list(normalized_shape)} that is "
                    f"normalised, but got {list(x.shape)}"
                )
        mixed = any(x is not None and x.dtype != input.dtype for x in (weight, bias))
        kept = compute if mixed else input.dtype
        plan = PLANS.remember(
            key, Plan(layer_norm_kernel, rows, (length,), constants, result=(statistics, kept))
        )
    statistics, kept = plan.result
    out = torch.empty(input.shape, dtype=input.dtype, device=input.device)
    mean = torch.empty(statistics, dtype=kept, device=input.device)
    rstd = torch.empty(statistics, dtype=kept, device=input.device)
    plan.launch(
        out,
        mean,
        rstd,
        source,
        None if weight is None else weight.contiguous(),
        None if bias is None else bias.contiguous(),
        numbers=(scalar_bits(eps, True),),
    )
    return out, mean, rstd


def native_layer_norm_backward(
    grad_out: torch.Tensor,
    input: torch.Tensor,
    normalized_shape: Sequence[int],
    mean: torch.Tensor,
    rstd: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, weight and bias, each None where `output_mask` says it is not wanted."""
    rows, length, _ = _split(input, normalized_shape)
    gradient, source = grad_out.contiguous(), input.contiguous()
    mean, rstd = mean.contiguous(), rstd.contiguous()
    compute = compute_dtype(input.dtype)
    tiles = TILES.on(input)
    grad_input = grad_weight = grad_bias = None
    if output_mask[0]:
        grad_input = torch.empty(input.shape, dtype=input.dtype, device=input.device)
    block = min(power_of_two(length), tiles["block"])
    types: dict[str, Any] = {"COMPUTE": TRITON_DTYPES[compute]}
    weight = None if weight is None else weight.contiguous()
    wants_sums = (weight is not None and output_mask[1]) or (bias is not None and output_mask[2])
    groups = max(1, min(tiles["groups"], cdiv(rows, tiles["rows"])))
    partial = torch.empty(
        (2, groups, length) if wants_sums else (2, 0, 0), dtype=compute, device=input.device
    )
    if wants_sums and weight is not None and output_mask[0] and length <= block:
        launch(
            layer_norm_backward_kernel,
            groups,
            grad_input,
            partial[0],
            partial[1],
            None,
            gradient,
            source,
            mean,
            rstd,
            weight,
            rows,
            length,
            cdiv(rows, groups),
            BLOCK=block,
            **types,
        )
    else:
        if output_mask[0]:
            launch(
                layer_norm_input_gradient_kernel,
                rows,
                grad_input,
                gradient,
                source,
                mean,
                rstd,
                weight,
                length,
                BLOCK=block,
                **types,
            )
        if wants_sums:
            launch(
                layer_norm_weight_gradient_kernel,
                (cdiv(length, tiles["columns"]), groups),
                partial[0],
                partial[1],
                gradient,
                source,
                mean,
                rstd,
                rows,
                length,
                cdiv(rows, groups),
                ROWS=tiles["rows"],
                COLUMNS=tiles["columns"],
                **types,
            )
    like = weight if weight is not None else bias
    if wants_sums and like is not None:
        sums = SUM(partial, [1], False, compute=compute, result=like.dtype)
        shape = tuple(normalized_shape)
        grad_weight = sums[0].view(shape) if output_mask[1] and weight is not None else None
        grad_bias = sums[1].view(shape) if output_mask[2] and bias is not None else None
    return grad_input, grad_weight, grad_bias


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, normal in (
        ((3, 7), (7,)),
        ((2, 3, 20), (20,)),
        ((2, 3, 4), (3, 4)),
        ((0, 4), (4,)),
        ((5, 384), (384,)),
    ):
        weight, bias = tensor(normal, dtype, seed=1), tensor(normal, dtype, seed=2)
        yield Sample((tensor(shape, dtype), normal, weight, bias, 1e-5))
    yield Sample((tensor((3, 9), dtype), (9,), None, None, 1e-5))
    yield Sample((tensor((7, 3), dtype).t(), (7,), tensor((7,), dtype), None, 1e-12))
    yield Sample((tensor((2, 9000), dtype), (9000,), None, None, 1e-5))


def _backward_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, length in ((3, 7), (40, 20), (5, 9000)):
        x, gradient = tensor((rows, length), dtype), tensor((rows, length), dtype, seed=1)
        weight, bias = tensor((length,), dtype, seed=2), tensor((length,), dtype, seed=3)
        wide = x.double()
        mean = wide.mean(1, keepdim=True)
        rstd = (wide.var(1, keepdim=True, correction=0) + 1e-5).rsqrt()
        statistics = (mean.to(compute_dtype(dtype)), rstd.to(compute_dtype(dtype)))
        yield Sample((gradient, x, (length,), *statistics, weight, bias, [True, True, True]))


def _wide(dtype: torch.dtype) -> Sample:
    weight, bias = tensor((1024,), dtype, seed=1), tensor((1024,), dtype, seed=2)
    return Sample((tensor((4096, 1024), dtype), (1024,), weight, bias, 1e-5))


def _first(result: Any) -> Any:
    return result[0]


register(
    Operator(
        name="layer_norm",
        overloads=(
            Overload("native_layer_norm", native_layer_norm, _samples, takes_out=False, compared=_first),
            Overload(
                "native_layer_norm_backward", native_layer_norm_backward, _backward_samples, takes_out=False
            ),
        ),
        kernels=(
            layer_norm_kernel,
            layer_norm_input_gradient_kernel,
            layer_norm_weight_gradient_kernel,
            layer_norm_backward_kernel,
        ),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("native_layer_norm", _wide),),
        tolerance=4.0,
    )
)
