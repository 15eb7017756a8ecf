"""Matrix products: mm, bmm, and with an addend addmm, baddbmm, addmv. One kernel, any strides; the
addend and its factor are part of the product's last step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..axis import check_in_place
from ..complex_forms import delivered, parts_of, plain, whole
from ..elementwise.arithmetic import add, mul
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, launch, scalar_bits, signature
from ..reduce.sums import SUM
from ..reduction import accumulator
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .matmul_kernels import dot_kernel, matmul_kernel

DOT_TILES = Tiles(simt={"block": 1024, "shares": 1024}, simd={"block": 2048, "shares": 16})
"""Block of a product of two vectors, and among how many programs the vectors are shared at most."""
TILES = Tiles(
    simt={"m": 64, "n": 64, "k": 32, "group": 8},
    simd={"m": 128, "n": 64, "k": 64, "group": 8},
)
INTEGER_TILE = 16
PROGRAMS_PER_THREAD = 4
SMALLEST_ROWS = 32
"""Tiles are made lower, down to this, until every CPU thread has several to work on."""
PLANS: Plans[Plan] = Plans()

# ---- forward --------------------------------------------------------------------------------------


def product(
    a: torch.Tensor,
    b: torch.Tensor,
    addend: torch.Tensor | None = None,
    alpha: float = 1,
    beta: float = 1,
    out: torch.Tensor | None = None,
    operator: str = "bmm",
) -> torch.Tensor:
    """alpha a @ b + beta addend for [batch, m, k] and [batch, k, n], any strides; `addend` must
    broadcast to [batch, m, n]."""
    if beta == 0:
        addend = None
    scaled = alpha != 1 or beta != 1
    key = (signature(a, b, addend), None if out is None else out.stride(), scaled, operator)
    plan = PLANS.get(key)
    if plan is None:
        if a.is_complex():
            return _complex_product(a, b, addend, alpha, beta, out, operator)
        plan = PLANS.remember(key, _plan(a, b, addend, out, scaled, operator))
    if out is None:
        out = torch.empty(plan.result, dtype=a.dtype, device=a.device)
    floating = a.dtype.is_floating_point
    plan.launch(out, a, b, addend, numbers=(scalar_bits(alpha, floating), scalar_bits(beta, floating)))
    return out


def _complex_product(
    a: torch.Tensor,
    b: torch.Tensor,
    addend: torch.Tensor | None,
    alpha: Any,
    beta: Any,
    out: torch.Tensor | None,
    operator: str,
) -> torch.Tensor:
    """`product` of complex matrices, by four products of their real and imaginary parts."""
    if b.dtype != a.dtype or (addend is not None and addend.dtype != a.dtype):
        raise ArgumentError(f"{operator}: expected operands of one dtype, but got {a.dtype} and {b.dtype}")
    shape = (*a.shape[:2], b.shape[2])
    made = torch.empty(shape, dtype=a.dtype, device=a.device)
    (a_real, a_imaginary), (b_real, b_imaginary) = parts_of(plain(a)), parts_of(plain(b))
    real, imaginary = parts_of(made)
    product(a_real, b_real, out=real, operator=operator)
    product(a_imaginary, b_imaginary, real, -1, out=real, operator=operator)
    product(a_real, b_imaginary, out=imaginary, operator=operator)
    product(a_imaginary, b_real, imaginary, out=imaginary, operator=operator)
    if alpha != 1:
        made = mul(made, alpha)
    if addend is not None:
        made = add(made, plain(addend).expand(shape), beta)
    return made if out is None else delivered(made, out)


def _plan(
    a: torch.Tensor,
    b: torch.Tensor,
    addend: torch.Tensor | None,
    out: torch.Tensor | None,
    scaled: bool,
    operator: str,
) -> Plan:
    batch, rows, inner = a.shape
    columns = b.shape[2]
    if b.shape[0] != batch or b.shape[1] != inner:
        raise ArgumentError(
            f"{operator}: shapes cannot be multiplied ({list(a.shape)} and {list(b.shape)}): "
            "the first's columns must be the second's rows"
        )
    if a.dtype != b.dtype or (addend is not None and addend.dtype != a.dtype):
        raise ArgumentError(f"{operator}: expected operands of one dtype, but got {a.dtype} and {b.dtype}")
    if a.dtype not in FLOATING and a.dtype not in INTEGRAL:
        raise NotServed(operator, f"dtype {a.dtype} is not served")
    shape = (batch, rows, columns)
    out_strides = (rows * columns, columns, 1) if out is None else out.stride()
    add_strides = (0, 0, 0) if addend is None else addend.expand(shape).stride()
    floating = a.dtype.is_floating_point
    tiles = dict(TILES.on(a))
    if not floating:
        tiles.update(m=INTEGER_TILE, n=INTEGER_TILE, k=INTEGER_TILE)
    block_m = max(16, min(tiles["m"], power_of_two(rows)))
    block_n = max(16, min(tiles["n"], power_of_two(columns)))
    block_k = max(16, min(tiles["k"], power_of_two(inner)))
    if a.device.type == "cpu":
        wanted = PROGRAMS_PER_THREAD * torch.get_num_threads()
        while block_m > SMALLEST_ROWS and batch * cdiv(rows, block_m) * cdiv(columns, block_n) < wanted:
            block_m //= 2
    return Plan(
        matmul_kernel,
        batch * cdiv(rows, block_m) * cdiv(columns, block_n),
        (rows, columns, inner, out_strides, a.stride(), b.stride(), add_strides),
        {
            "SCALED": scaled,
            "ACCUMULATE": TRITON_DTYPES[accumulator(a.dtype)],
            "FLOAT": floating,
            "BLOCK_M": block_m,
            "BLOCK_N": block_n,
            "BLOCK_K": block_k,
            "GROUP": tiles["group"],
        },
        label=operator,
        result=shape,
    )


def _target(out: torch.Tensor | None, shape: tuple[int, ...], *read: Any) -> torch.Tensor | None:
    """`out` resized, or None if the result must be made elsewhere because `out` is also read."""
    if out is None or any(isinstance(x, torch.Tensor) and x.data_ptr() == out.data_ptr() for x in read):
        return None
    if tuple(out.shape) != shape:
        out.resize_(shape)
    return out


def _deliver(result: torch.Tensor, out: torch.Tensor | None, target: torch.Tensor | None) -> torch.Tensor:
    """The result itself, or `out` once it holds the result."""
    if out is None:
        return result
    if target is None:
        if out.shape != result.shape:
            out.resize_(result.shape)
        out.copy_(result)
    return out


def _matrix(name: str, x: torch.Tensor, rank: int) -> None:
    if x.ndim != rank:
        raise ArgumentError(f"{name}: expected {rank} dimensions, but got shape {list(x.shape)}")


def addmm(
    self: torch.Tensor | None,
    mat1: torch.Tensor,
    mat2: torch.Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Any = None,
    operator: str = "addmm",
) -> torch.Tensor:
    """beta self + alpha mat1 @ mat2 for matrices; self broadcasts (a bias)."""
    _matrix(operator, mat1, 2)
    _matrix(operator, mat2, 2)
    shape = (mat1.shape[0], mat2.shape[1])
    check_in_place(operator, self, out, shape)
    target = _target(out, shape, mat1, mat2, self)
    result = product(
        mat1[None], mat2[None], self, alpha, beta, None if target is None else target[None], operator
    )[0]
    return _deliver(result, out, target)


def mm(self: torch.Tensor, mat2: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """self @ mat2 for matrices."""
    return addmm(None, self, mat2, out=out, operator="mm")


def baddbmm(
    self: torch.Tensor | None,
    batch1: torch.Tensor,
    batch2: torch.Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Any = None,
    operator: str = "baddbmm",
) -> torch.Tensor:
    """beta self + alpha batch1 @ batch2 for batches of matrices; self broadcasts."""
    _matrix(operator, batch1, 3)
    _matrix(operator, batch2, 3)
    shape = (batch1.shape[0], batch1.shape[1], batch2.shape[2])
    check_in_place(operator, self, out, shape)
    target = _target(out, shape, batch1, batch2, self)
    return _deliver(product(batch1, batch2, self, alpha, beta, target, operator), out, target)


def bmm(self: torch.Tensor, mat2: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """self @ mat2 for batches of matrices."""
    return baddbmm(None, self, mat2, out=out, operator="bmm")


def addmv(
    self: torch.Tensor,
    mat: torch.Tensor,
    vec: torch.Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Any = None,
) -> torch.Tensor:
    """beta self + alpha mat @ vec."""
    _matrix("addmv", mat, 2)
    _matrix("addmv", vec, 1)
    check_in_place("addmv", self, out, mat.shape[:1])
    addend = self.expand(mat.shape[0])[:, None]
    result = addmm(addend, mat, vec[:, None], beta=beta, alpha=alpha, operator="addmv")[:, 0]
    return _deliver(result, out, None)


def dot(self: torch.Tensor, tensor: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Sum of products of two vectors, 0-d."""
    _matrix("dot", self, 1)
    _matrix("dot", tensor, 1)
    if self.dtype != tensor.dtype or self.shape != tensor.shape:
        raise ArgumentError(
            "dot: expected vectors of one dtype and length, but got "
            f"{self.dtype} {list(self.shape)} and {tensor.dtype} {list(tensor.shape)}"
        )
    if self.is_complex():
        products = parts_of(mul(plain(self), plain(tensor)))
        return whole(*(SUM(x, None, False, compute=x.dtype, result=x.dtype) for x in products), out=out)
    compute = accumulator(self.dtype)
    if self.dtype not in TRITON_DTYPES:
        raise NotServed("dot", f"dtype {self.dtype} is not served")
    n, tiles = self.numel(), DOT_TILES.on(self)
    shares = max(1, min(tiles["shares"], cdiv(n, tiles["block"])))
    share = cdiv(cdiv(n, shares), tiles["block"]) * tiles["block"]
    partial = torch.empty((shares,), dtype=compute, device=self.device)
    launch(
        dot_kernel,
        shares,
        partial,
        self.contiguous(),
        tensor.contiguous(),
        n,
        share,
        COMPUTE=TRITON_DTYPES[compute],
        BLOCK=tiles["block"],
    )
    return SUM(partial, None, False, compute=compute, result=self.dtype, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _pairs(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    for m, k, n in ((3, 4, 5), (17, 33, 20), (1, 8, 1), (0, 3, 2), (2, 0, 3), (70, 40, 65)):
        yield tensor((m, k), dtype, -1, 1), tensor((k, n), dtype, -1, 1, seed=1)
    yield tensor((6, 4), dtype, -1, 1).t(), tensor((5, 6), dtype, -1, 1, seed=1).t()
    yield tensor((6, 8), dtype, -1, 1)[:, ::2], tensor((4, 10), dtype, -1, 1, seed=1)[:, ::3]


def _mm(dtype: torch.dtype) -> Iterable[Sample]:
    return (Sample(pair) for pair in _pairs(dtype))


def _addmm(dtype: torch.dtype) -> Iterable[Sample]:
    for a, b in _pairs(dtype):
        yield Sample((tensor((b.shape[1],), dtype, seed=2), a, b))
    a, b = tensor((5, 3), dtype, -1, 1), tensor((3, 4), dtype, -1, 1)
    yield Sample((tensor((5, 4), dtype), a, b), {"alpha": 2, "beta": 3})
    yield Sample((tensor((5, 1), dtype), a, b), {"beta": 0})


def _batched(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    yield tensor((3, 4, 5), dtype, -1, 1), tensor((3, 5, 6), dtype, -1, 1, seed=1)
    yield tensor((2, 5, 4), dtype, -1, 1).transpose(1, 2), tensor((1, 5, 3), dtype, -1, 1).expand(2, 5, 3)
    yield tensor((0, 2, 3), dtype), tensor((0, 3, 2), dtype)


def _bmm(dtype: torch.dtype) -> Iterable[Sample]:
    return (Sample(pair) for pair in _batched(dtype))


def _baddbmm(dtype: torch.dtype) -> Iterable[Sample]:
    for a, b in _batched(dtype):
        yield Sample((tensor((b.shape[2],), dtype, seed=2), a, b), {"alpha": 2})


def _addmv(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((7,), dtype), tensor((7, 5), dtype, -1, 1), tensor((5,), dtype, -1, 1)))


def _dot(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((37,), dtype, -1, 1), tensor((37,), dtype, -1, 1, seed=1)))


def _layer(dtype: torch.dtype) -> Sample:
    """The widest layer of a small language model: 1024 tokens, 384 to 1536 features."""
    weight = tensor((1536, 384), dtype, -1, 1)
    return Sample((tensor((1536,), dtype), tensor((1024, 384), dtype, -1, 1), weight.t()))


register(
    Operator(
        name="matmul",
        overloads=(
            Overload("mm", mm, _mm),
            Overload("addmm", addmm, _addmm),
            Overload("bmm", bmm, _bmm),
            Overload("baddbmm", baddbmm, _baddbmm),
            Overload("addmv", addmv, _addmv),
            Overload("dot", dot, _dot),
        ),
        kernels=(matmul_kernel, dot_kernel),
        benchmarks=(
            Benchmark("mm", lambda dtype: Sample((tensor((1024, 1024), dtype), tensor((1024, 1024), dtype)))),
            Benchmark("addmm", _layer),
            Benchmark("bmm", lambda dtype: Sample((tensor((384, 64, 64), dtype),) * 2)),
        ),
        dtypes=(*FLOATING, torch.int64, torch.int32),
        tiles=TILES,
        tolerance=4.0,
    )
)
