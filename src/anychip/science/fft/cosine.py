"""Cosine and sine transforms of types I to IV under SciPy's names and signatures, of arrays and tensors, with
gradients: each is a Fourier transform between two kernels that read tables (`cosine_tables`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from ...ops.fft.transforms import transform_complex, transform_half, transform_real
from ...ops.launching import cdiv, launch
from ...ops.samples import tensor
from ..arrays import COMPLEX, inexact, taken
from ..errors import InvalidValue
from ..registry import PRECISE, Fused, Sample, register
from .arguments import BACKWARD, FORWARD, checked, dimensions, factor, positive, resized
from .cosine_kernels import join_kernel, project_kernel, weigh_kernel
from .cosine_tables import Edges, steps

BLOCK = 1024
INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}
ROOT = math.sqrt(2.0)

# ---- steps ----------------------------------------------------------------------------------------


def _launch(kernel: Any, out: torch.Tensor, x: torch.Tensor, tables: Sequence[torch.Tensor], dim: int) -> Any:
    width, n, inner = out.shape[dim], x.shape[dim], math.prod(out.shape[dim + 1 :])
    memory = [torch.view_as_real(one) if one.is_complex() else one for one in (out, x)]
    count = out.numel()
    sizes = (width, n, inner, count)
    launch(kernel, cdiv(count, BLOCK), *memory, *tables, *sizes, INNER=inner != 1, BLOCK=BLOCK)
    return out


def transform_along(
    x: torch.Tensor, sine: bool, kind: int, dim: int, edges: Edges, scale: float
) -> torch.Tensor:
    """`scale` times a transform of a real tensor along one dimension."""
    n = x.shape[dim]
    plan = steps(sine, kind, n, edges, scale, x.dtype, x.device)
    x = x.contiguous()
    shape = list(x.shape)
    out = torch.empty(shape, dtype=x.dtype, device=x.device)
    if not out.numel():
        return out
    if plan.kind == "half":
        shape[dim] = plan.length
        work = _launch(weigh_kernel, x.new_empty(shape), x, plan.before, dim)
        return _launch(project_kernel, out, transform_half(work, [dim], 1.0), plan.after, dim)
    shape[dim] = plan.length if plan.kind == "complex" else n // 2 + 1
    work = torch.empty(shape, dtype=COMPLEX[x.dtype], device=x.device)
    _launch(join_kernel, work, x, plan.before, dim)
    if plan.kind == "real":
        return _launch(weigh_kernel, out, transform_real(work, [dim], n, 1.0), plan.after, dim)
    return _launch(project_kernel, out, transform_complex(work, [dim], -1, 1.0), plan.after, dim)


def _transposed(sine: bool, kind: int, edges: Edges) -> tuple[int, Edges]:
    """The transform whose matrix is the transposed one's."""
    if kind == 2:
        return 3, Edges(2 * edges.made, edges.given)
    if kind == 3:
        return 2, Edges(edges.made, edges.given / 2)
    if kind == 1 and not sine:
        return 1, Edges(2 * edges.made, edges.given / 2)
    return kind, edges


class Cosine(torch.autograd.Function):
    """A cosine or sine transform along one dimension."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, sine: bool, kind: int, dim: int, edges: Edges, scale: float
    ) -> torch.Tensor:
        """`scale` times the transform."""
        ctx.plan = sine, kind, dim, edges, scale
        return transform_along(x, sine, kind, dim, edges, scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The transposed transform."""
        sine, kind, dim, edges, scale = ctx.plan
        other, turned = _transposed(sine, kind, edges)
        return Cosine.apply(grad_outputs[0], sine, other, dim, turned, scale), None, None, None, None, None


def _edges(sine: bool, kind: int, orthogonal: bool) -> Edges:
    """What makes the matrix orthogonal, but for a factor."""
    if not orthogonal or kind == 4 or (sine and kind == 1):
        return Edges()
    return {1: Edges(ROOT, 1 / ROOT), 2: Edges(1.0, 1 / ROOT), 3: Edges(ROOT, 1.0)}[kind]


def _along(
    x: torch.Tensor, sine: bool, kind: int, dim: int, direction: int, norm: Any, orthogonal: bool
) -> torch.Tensor:
    n = x.shape[dim]
    logical = 2 * (n + (1 if sine else -1) * (kind == 1))
    if logical < 2:
        raise InvalidValue("A cosine transform of type I needs at least two elements")
    scale = factor(norm, direction, logical)
    if x.is_complex():
        parts = [_along(part, sine, kind, dim, direction, norm, orthogonal) for part in (x.real, x.imag)]
        return torch.complex(*parts)
    return Cosine.apply(x, sine, kind, dim, _edges(sine, kind, orthogonal), scale)


def _transform(
    x: Any,
    sine: bool,
    kind: int,
    s: Any,
    axes: Any,
    norm: Any,
    workers: Any,
    orthogonalize: bool | None,
    direction: int,
) -> Any:
    checked(workers)
    if kind not in INVERSE:
        raise InvalidValue(f"invalid type {kind!r}: cosine and sine transforms have the types 1 to 4")
    tensor, restore = taken(x)
    tensor = inexact(tensor)
    dims, lengths = dimensions(tensor, s, axes)
    positive(lengths)
    tensor = resized(tensor, dims, lengths)
    orthogonal = norm == "ortho" if orthogonalize is None else orthogonalize
    kind = kind if direction == FORWARD else INVERSE[kind]
    for dim in dims:
        tensor = _along(tensor, sine, kind, dim, direction, norm, orthogonal)
    return restore(tensor)


# ---- names ----------------------------------------------------------------------------------------


def _line(name: str, sine: bool, direction: int, what: str) -> Callable[..., Any]:
    def transform(
        x: Any,
        type: int = 2,
        n: int | None = None,
        axis: int = -1,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        orthogonalize: bool | None = None,
    ) -> Any:
        lengths = None if n is None else (n,)
        return _transform(x, sine, type, lengths, (axis,), norm, workers, orthogonalize, direction)

    return _named(transform, name, f"{what} of `type` 1 to 4 along `axis`, of `n` elements")


def _space(name: str, sine: bool, direction: int, what: str) -> Callable[..., Any]:
    def transform(
        x: Any,
        type: int = 2,
        s: Sequence[int] | None = None,
        axes: Sequence[int] | None = None,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        orthogonalize: bool | None = None,
    ) -> Any:
        return _transform(x, sine, type, s, axes, norm, workers, orthogonalize, direction)

    return _named(transform, name, f"{what} of `type` 1 to 4 along `axes`, of shape `s`")


def _named(function: Callable[..., Any], name: str, what: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{what}, of real numbers or of both parts of complex ones. Differentiable. float32 and float64; "
        "half types are computed in single precision, integers in double."
    )
    return function


dct = _line("dct", False, FORWARD, "The cosine transform")
idct = _line("idct", False, BACKWARD, "The inverse of the cosine transform")
dst = _line("dst", True, FORWARD, "The sine transform")
idst = _line("idst", True, BACKWARD, "The inverse of the sine transform")
dctn = _space("dctn", False, FORWARD, "The cosine transform")
idctn = _space("idctn", False, BACKWARD, "The inverse of the cosine transform")
dstn = _space("dstn", True, FORWARD, "The sine transform")
idstn = _space("idstn", True, BACKWARD, "The inverse of the sine transform")

# ---- records --------------------------------------------------------------------------------------


def _matrix(sine: bool, kind: int, n: int, orthogonal: bool) -> torch.Tensor:
    """The transform as a matrix, by its definition; types II and IV with rows of length one if
    `orthogonal`."""
    j, k = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    if kind == 1:
        turns, whole = ((j + 1) * (k + 1), 2 * (n + 1)) if sine else (j * k, 2 * (n - 1))
    else:
        shifts = {2: (0, 1), 3: (1, 0), 4: (1, 1)}[kind]
        row, column = (shift + (2 if sine and shift == 0 else 0) for shift in shifts)
        turns, whole = (2 * j + row) * (2 * k + column), 8 * n
    angle = 2 * torch.pi * (turns % whole).double() / whole
    matrix = 2 * (torch.sin(angle) if sine else torch.cos(angle))
    if kind == 3 or (kind == 1 and not sine):
        for edge in (0, n - 1) if kind == 1 else (n - 1 if sine else 0,):
            matrix[:, edge] /= 2
    return matrix / (matrix * matrix).sum(1, keepdim=True).sqrt() if orthogonal else matrix


def _by_matrix(sine: bool) -> Callable[..., torch.Tensor]:
    def reference(x: torch.Tensor, type: int = 2, *, axis: int = -1, norm: str | None = None) -> torch.Tensor:
        matrix = _matrix(sine, type, x.shape[axis], norm == "ortho").to(x.dtype)
        return torch.movedim(torch.movedim(x, axis, -1) @ matrix.mT, -1, axis)

    return reference


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for kind in INVERSE:
        for n in (6, 9):
            yield Sample((tensor((3, n), dtype, -1, 1), kind))
    yield Sample((tensor((2, 40, 3), dtype, -1, 1), 2), {"axis": 1, "norm": "ortho"})
    yield Sample((tensor((3, 16), dtype, -1, 1), 4), {"norm": "ortho"})


KERNELS = (weigh_kernel, join_kernel, project_kernel)
for _name, _function, _sine in (("dct", dct, False), ("dst", dst, True)):
    register(
        Fused(
            _name,
            "transforms",
            _function,
            _by_matrix(_sine),
            _samples,
            KERNELS,
            dtypes=PRECISE,
            differentiable=True,
            linear=True,
        )
    )
