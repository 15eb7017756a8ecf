"""Matrix products with the tile shapes of GPU kernels: plain, batched, fused with bias, activation and
residual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.registry import overloads
from ..case import Case, Work, moved, normal

FAMILY = "matmul {}"

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def matmul_kernel(
    c,
    a,
    b,
    bias,
    residual,
    M,
    N,
    K,
    a_m,
    a_k,
    b_k,
    b_n,
    c_m,
    c_n,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    GROUP: tl.constexpr,
    ACC: tl.constexpr,
    ACTIVATION: tl.constexpr,
):
    """One BM x BN tile of c = activation(a b + bias) + residual, tiles in groups of GROUP rows; the residual
    lies like c."""
    program = tl.program_id(0)
    tiles_m, tiles_n = tl.cdiv(M, BM), tl.cdiv(N, BN)
    group = program // (GROUP * tiles_n)
    height = min(tiles_m - group * GROUP, GROUP)
    tile_m = group * GROUP + (program % (GROUP * tiles_n)) % height
    tile_n = (program % (GROUP * tiles_n)) // height
    row = (tile_m * BM + tl.arange(0, BM)) % M
    column = (tile_n * BN + tl.arange(0, BN)) % N
    inner = tl.arange(0, BK)
    at_a = a + row[:, None] * a_m + inner[None, :] * a_k
    at_b = b + inner[:, None] * b_k + column[None, :] * b_n
    total = tl.zeros((BM, BN), ACC)
    for k in range(tl.cdiv(K, BK)):
        x = tl.load(at_a, mask=inner[None, :] < K - k * BK, other=0)
        y = tl.load(at_b, mask=inner[:, None] < K - k * BK, other=0)
        total = tl.dot(x, y, total, out_dtype=ACC)
        at_a += BK * a_k
        at_b += BK * b_k
    if bias is not None:
        total += tl.load(bias + column)[None, :].to(ACC)
    if ACTIVATION:
        total = 0.5 * total * (1.0 + tl.erf(total * 0.7071067811865476))
    row = tile_m * BM + tl.arange(0, BM)
    column = tile_n * BN + tl.arange(0, BN)
    inside = (row[:, None] < M) & (column[None, :] < N)
    if residual is not None:
        kept = tl.load(residual + row[:, None] * c_m + column[None, :] * c_n, mask=inside, other=0.0)
        total += kept.to(ACC)
    tl.store(c + row[:, None] * c_m + column[None, :] * c_n, total.to(c.dtype.element_ty), mask=inside)


# ---- callables ------------------------------------------------------------------------------------


def matmul(
    a: torch.Tensor,
    b: torch.Tensor,
    bias: torch.Tensor | None = None,
    activation: bool = False,
    residual: torch.Tensor | None = None,
    tile: tuple[int, int, int] = (64, 64, 32),
) -> torch.Tensor:
    """a b, plus a bias for each column, GELU if `activation`, plus a contiguous residual; int8 matrices
    give int32."""
    (M, K), N = a.shape, b.shape[1]
    integral = not a.dtype.is_floating_point
    out = torch.empty((M, N), dtype=torch.int32 if integral else a.dtype)
    BM, BN, BK = min(tile[0], max(16, triton.next_power_of_2(M))), *tile[1:]
    matmul_kernel[(triton.cdiv(M, BM) * triton.cdiv(N, BN),)](
        out,
        a,
        b,
        bias,
        residual,
        M,
        N,
        K,
        *a.stride(),
        *b.stride(),
        *out.stride(),
        BM=BM,
        BN=BN,
        BK=BK,
        GROUP=8,
        ACC=tl.int32 if integral else tl.float32,
        ACTIVATION=activation,
    )
    return out


# ---- cases ----------------------------------------------------------------------------------------

SHAPES: dict[torch.dtype, tuple[tuple[int, int, int], ...]] = {
    torch.float32: (
        (256, 256, 256),
        (512, 512, 512),
        (1024, 1024, 1024),
        (2048, 2048, 2048),
        (4096, 4096, 4096),
        (4096, 384, 384),
        (32, 1024, 1024),
    ),
    torch.bfloat16: ((256, 256, 256), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 384, 384)),
    torch.float16: ((256, 256, 256), (512, 512, 512)),
}
BATCHES = ((48, 128, 128, 32), (384, 64, 64, 64))


def cases() -> Iterator[Case]:
    """Square, tall and flat products; the tile shapes are a GPU's."""
    for dtype, shapes in SHAPES.items():
        for shape in shapes:
            family = FAMILY.format({torch.float32: "f32", torch.bfloat16: "bf16, int8"}.get(dtype, "f16"))
            yield Case("matmul", family, shape, dtype, lambda s=shape, d=dtype: _matmul(s, d))
    for sizes in BATCHES:
        yield Case("bmm", FAMILY.format("f32"), sizes, torch.float32, lambda s=sizes: _bmm(*s))
    for shape in ((1024, 1024, 1024), (4096, 1536, 384), (256, 256, 256)):
        for residual in (False, True):
            yield Case(
                "matmul_bias_gelu_residual" if residual else "matmul_bias_gelu",
                FAMILY.format("fused"),
                shape,
                torch.float32,
                lambda s=shape, r=residual: _fused(s, r),
            )


def _matmul(shape: tuple[int, int, int], dtype: torch.dtype) -> Work:
    m, n, k = shape
    a, b = normal(m, k, dtype=dtype), normal(k, n, dtype=dtype, seed=1)
    return Work(
        (a, b),
        matmul,
        torch.mm,
        bytes=moved(a, b) + m * n * a.element_size(),
        flops=2.0 * m * n * k,
        terms=k,
        jax=lambda j, n, a, b: a @ b,
    )


def _bmm(batch: int, m: int, n: int, k: int) -> Work:
    a, b = normal(batch, m, k), normal(batch, k, n, seed=1)
    return Work(
        (a, b),
        overloads()["bmm"][1].implementation,
        torch.bmm,
        bytes=moved(a, b) + 4.0 * batch * m * n,
        flops=2.0 * batch * m * n * k,
        terms=k,
        jax=lambda j, n, a, b: a @ b,
    )


def _fused(shape: tuple[int, int, int], residual: bool) -> Work:
    m, n, k = shape
    a, b, bias = normal(m, k), normal(k, n, seed=1) / k**0.5, normal(n, seed=2)
    kept = (normal(m, n, seed=3),) if residual else ()

    def ours(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor, *kept: torch.Tensor) -> torch.Tensor:
        return matmul(a, b, bias, True, *kept)

    def pytorch(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor, *kept: torch.Tensor) -> torch.Tensor:
        product = torch.nn.functional.gelu(torch.addmm(bias, a, b))
        return product + kept[0] if kept else product

    def jax(j: Any, np: Any, a: Any, b: Any, bias: Any, *kept: Any) -> Any:
        return sum(kept, j.nn.gelu(a @ b + bias, approximate=False))

    return Work(
        (a, b, bias, *kept),
        ours,
        pytorch,
        bytes=moved(a, b, bias, *kept) + 4.0 * m * n,
        flops=2.0 * m * n * k,
        terms=k,
        jax=jax,
    )
