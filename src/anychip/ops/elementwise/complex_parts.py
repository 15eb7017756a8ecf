"""Complex numbers from real ones: complex (real and imaginary part) and polar (length and angle). The
parts are written into the real view of the complex result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..iteration import broadcast_shape
from ..launching import cdiv, launch
from ..memory.copy import COPY
from ..pointwise import TILES, Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import COPYING, Operator, Overload, Sample, register
from ..samples import BROADCASTS, layouts, tensor

COMPLEX: dict[torch.dtype, torch.dtype] = {
    torch.float16: torch.complex32,
    torch.float32: torch.complex64,
    torch.float64: torch.complex128,
}
"""The complex type made of two numbers of a real type."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def along_real(length, angle):
    return length * tl.cos(angle)


@triton.jit
def along_imaginary(length, angle):
    return length * tl.sin(angle)


ALONG_REAL, ALONG_IMAGINARY = Pointwise(along_real), Pointwise(along_imaginary)


@triton.jit
def pairs_kernel(out, real, imaginary, n, BLOCK: tl.constexpr):
    """out[2 i] = real[i] and out[2 i + 1] = imaginary[i], all contiguous."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    mask = lane < n - start
    first = tl.load(real + start + lane, mask=mask, other=0)
    second = tl.load(imaginary + start + lane, mask=mask, other=0)
    both = tl.arange(0, 2 * BLOCK)
    tl.store(out + 2 * start + both, tl.interleave(first, second), mask=both < 2 * (n - start))


# ---- forward --------------------------------------------------------------------------------------


def _target(
    name: str, first: torch.Tensor, second: torch.Tensor, out: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The complex result, and its real view with a last dimension of two."""
    for x in (first, second):
        if x.dtype not in COMPLEX:
            raise ArgumentError(f"Expected both inputs to be Half, Float or Double tensors but got {x.dtype}")
    if first.dtype != second.dtype:
        raise ArgumentError(
            f"Expected object of scalar type {first.dtype} but got scalar type {second.dtype} ({name})"
        )
    shape = broadcast_shape(first.shape, second.shape)
    result = COMPLEX[first.dtype]
    if out is None:
        out = torch.empty(shape, dtype=result, device=first.device)
    elif out.dtype != result:
        raise ArgumentError(
            f"Expected object of scalar type {result} but got scalar type {out.dtype} for argument 'out'"
        )
    elif out.shape != shape:
        out.resize_(shape)
    return out, torch.view_as_real(out)


def complex_(real: torch.Tensor, imag: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """real + i imag."""
    result, parts = _target("complex", real, imag, out)
    if all(x.shape == result.shape and x.is_contiguous() for x in (real, imag, result)) and out is None:
        block = TILES.on(result)["tile"]
        launch(pairs_kernel, cdiv(result.numel(), block), parts, real, imag, result.numel(), BLOCK=block)
        return result
    COPY(real.expand(result.shape), out=parts[..., 0])
    COPY(imag.expand(result.shape), out=parts[..., 1])
    return result


def polar(abs: torch.Tensor, angle: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """abs (cos(angle) + i sin(angle))."""
    result, parts = _target("polar", abs, angle, out)
    ALONG_REAL(abs, angle, out=parts[..., 0])
    ALONG_IMAGINARY(abs, angle, out=parts[..., 1])
    return result


# ---- record ---------------------------------------------------------------------------------------


def _pairs(dtype: torch.dtype) -> Iterable[Sample]:
    for first, second in BROADCASTS:
        yield Sample((tensor(first, dtype), tensor(second, dtype, seed=1)))
    yield Sample((next(layouts(tensor((3, 4, 5), dtype))), tensor((4, 5), dtype)))


def _record(
    name: str, function: Callable[..., Any], *, differentiable: bool, labels: tuple[str, ...] = ()
) -> None:
    register(
        Operator(
            name=name,
            overloads=(Overload(name, function, _pairs),),
            kernels=(pairs_kernel, flat_kernel, tiled_kernel),
            dtypes=(torch.float32, torch.float64),
            differentiable=differentiable,
            tiles=TILES,
            labels=labels,
        )
    )


_record("complex", complex_, differentiable=True, labels=(COPYING,))  # strided parts are copied
_record("polar", polar, differentiable=False)
