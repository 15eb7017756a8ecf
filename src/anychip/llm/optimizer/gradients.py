"""What is done to gradients before a step: their common norm, clipping by it, Muon's orthogonalisation by
Newton and Schulz's iteration (Jordan, 2024). Flows in: gradients. Flows out: the norm, the same gradients
scaled in place, or an orthogonal matrix near one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..products import product, product_kernel
from ..registry import Fused, register

BLOCK = 4096
COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the polynomial a x + b x^3 + c x^5 that Muon iterates."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def squares_kernel(partial, x, count, BLOCK: tl.constexpr):
    """The sum of one block's squares."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < count, other=0.0).to(tl.float32)
    tl.store(partial + tl.program_id(0), tl.sum(value * value, 0))


@triton.jit
def norm_kernel(out, partial, count, BLOCK: tl.constexpr):
    """The root of the sum of `count` numbers."""
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, count, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        total += tl.load(partial + lane, mask=lane < count, other=0.0)
    tl.store(out, tl.sqrt(tl.sum(total, 0)))


@triton.jit
def shrink_kernel(out, x, norm, limit, eps, count, ONLY_DOWN: tl.constexpr, BLOCK: tl.constexpr):
    """out = x limit / (norm + eps), or x where that is larger with ONLY_DOWN."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    factor = limit / (tl.load(norm) + eps)
    if ONLY_DOWN:
        factor = tl.where(factor > 1.0, 1.0, factor)
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) * factor
    tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def gradient_norm(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """The root of the sum of all squares of contiguous floating tensors on one device, float32 of no
    dimensions. Raises ArgumentError."""
    if not gradients or any(not g.is_contiguous() or g.device != gradients[0].device for g in gradients):
        raise ArgumentError("gradient_norm: needs at least one tensor, all contiguous and on one device")
    device = gradients[0].device
    blocks = [cdiv(g.numel(), BLOCK) for g in gradients]
    partial = torch.empty(sum(blocks), dtype=torch.float32, device=device)
    first = 0
    for gradient, programs in zip(gradients, blocks, strict=True):
        launch(squares_kernel, programs, partial[first:], gradient, gradient.numel(), BLOCK=BLOCK)
        first += programs
    out = torch.empty((), dtype=torch.float32, device=device)
    launch(norm_kernel, 1, out, partial, first, BLOCK=1024)
    return out


def clip_gradient_norm(
    gradients: Sequence[torch.Tensor], limit: float, eps: float = 1e-6
) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    """Scales gradients in place by limit / (norm + eps) where that is below 1. Gives their norm before, and
    the gradients. The norm stays on the device. Raises ArgumentError."""
    norm = gradient_norm(gradients)
    for g in gradients:
        programs = cdiv(g.numel(), BLOCK)
        launch(shrink_kernel, programs, g, g, norm, limit, eps, g.numel(), ONLY_DOWN=True, BLOCK=BLOCK)
    return norm, gradients


def newton_schulz(matrix: torch.Tensor, steps: int = 5, eps: float = 1e-7) -> torch.Tensor:
    """Muon's orthogonalisation of a matrix [m, n]: singular values go to about 1. Computed and kept in
    float32, returned in the matrix's dtype. Raises ArgumentError."""
    if matrix.ndim != 2 or steps < 1:
        raise ArgumentError(
            f"newton_schulz: expected a matrix and a step or more, got {tuple(matrix.shape)} and {steps}"
        )
    matrix = matrix.contiguous()
    rows, columns = matrix.shape
    single = {"dtype": torch.float32, "device": matrix.device}
    value, count = torch.empty((rows, columns), **single), matrix.numel()
    norm = gradient_norm([matrix])
    launch(
        shrink_kernel, cdiv(count, BLOCK), value, matrix, norm, 1.0, eps, count, ONLY_DOWN=False, BLOCK=BLOCK
    )
    x = value.t() if rows > columns else value
    square, mixed = (torch.empty((x.shape[0], x.shape[0]), **single) for _ in range(2))
    a, b, c = COEFFICIENTS
    for turn in range(steps):
        product(square, x, x.t())
        product(mixed, square, square, square, alpha=c, beta=b)
        out = torch.empty(
            (rows, columns), dtype=matrix.dtype if turn == steps - 1 else torch.float32, device=matrix.device
        )
        turned = out.t() if rows > columns else out
        x = product(turned, mixed, x, x, beta=a)
    return x.t() if rows > columns else x


# ---- records --------------------------------------------------------------------------------------


def _norm_reference(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([g.flatten() for g in gradients]).norm()


def _clip_reference(
    gradients: Sequence[torch.Tensor], limit: float, eps: float = 1e-6
) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    norm = _norm_reference(gradients)
    return norm, [g * min(1.0, limit / (float(norm) + eps)) for g in gradients]


def _newton_schulz_reference(matrix: torch.Tensor, steps: int = 5, eps: float = 1e-7) -> torch.Tensor:
    x = matrix / (matrix.norm() + eps)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        square = x @ x.t()
        x = a * x + (b * square + c * square @ square) @ x
    return x


def _lists(dtype: torch.dtype) -> Iterable[list[torch.Tensor]]:
    yield [tensor((5,), dtype)]
    yield [tensor((70, 90), dtype, -0.1, 0.1), tensor((3,), dtype, -0.1, 0.1), tensor((0,), dtype)]


def _norm_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for gradients in _lists(dtype):
        yield Sample((gradients,))


def _clip_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for gradients in _lists(dtype):
        yield Sample((gradients, 0.5))
    yield Sample(([tensor((5,), dtype)], 100.0))


def _matrix_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype),))
    yield Sample((tensor((40, 90), dtype).t(), 3))


_NORM = (squares_kernel, norm_kernel)
register(Fused("gradient_norm", "optimizer", gradient_norm, _norm_reference, _norm_samples, _NORM))
register(
    Fused(
        "clip_gradient_norm",
        "optimizer",
        clip_gradient_norm,
        _clip_reference,
        _clip_samples,
        (*_NORM, shrink_kernel),
        writes=True,
    )
)
# Rounding grows with each step of the polynomial, whose slope at 0 is 3.4.
register(
    Fused(
        "newton_schulz",
        "optimizer",
        newton_schulz,
        _newton_schulz_reference,
        _matrix_samples,
        (*_NORM, shrink_kernel, product_kernel),
        tolerance=16.0,
    )
)
