"""Liger-Kernel's Triton kernels, unmodified, forward and backward on the CPU, against PyTorch in float64.

Liger-Kernel is not in the test extra: `pip install --no-deps liger_kernel` brings it, and these tests are
skipped where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from anychip.runtime import launches

liger = pytest.importorskip(
    "liger_kernel.transformers.functional", reason="liger_kernel is not installed", exc_type=ImportError
)
pytestmark = pytest.mark.peers

TOLERANCES = {torch.float32: (1e-4, 1e-5), torch.bfloat16: (3e-2, 3e-2)}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def _compare(
    ours: Callable[..., Any], reference: Callable[..., Any], inputs: list[torch.Tensor], dtype: torch.dtype
) -> None:
    """Outputs and the gradients of all floating inputs, given random gradients of the outputs."""
    outputs, gradients = [], []
    for function, kind in ((ours, dtype), (reference, torch.float64)):
        leaves = [
            x.to(dtype).to(kind, copy=True).requires_grad_() if x.is_floating_point() else x for x in inputs
        ]
        before = launches.count()
        result = function(*[x.clone() if x.is_floating_point() else x for x in leaves])
        results = result if isinstance(result, tuple) else (result,)
        torch.manual_seed(1)
        weights = [torch.randn(r.shape) for r in results]
        torch.autograd.backward(results, [w.to(r.dtype) for w, r in zip(weights, results, strict=True)])
        if function is ours:
            assert launches.count() > before, "no Triton kernel was launched"
        outputs.append([r.detach() for r in results])
        gradients.append([x.grad for x in leaves if x.is_floating_point()])
    relative, absolute = TOLERANCES[dtype]
    for got, expected in zip(outputs[0] + gradients[0], outputs[1] + gradients[1], strict=True):
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(got.double(), expected, rtol=relative, atol=absolute * scale)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@DTYPES
@pytest.mark.parametrize(("rows", "columns"), [(4, 64), (9, 100), (3, 1500)])
def test_rms_norm(rows: int, columns: int, dtype: torch.dtype) -> None:
    _compare(
        lambda x, w: liger.liger_rms_norm(x, w, 1e-6),
        lambda x, w: F.rms_norm(x, (columns,), w, 1e-6),
        [torch.randn(rows, columns), torch.rand(columns)],
        dtype,
    )


@DTYPES
@pytest.mark.parametrize(("rows", "columns"), [(4, 64), (9, 100), (3, 1500)])
def test_layer_norm(rows: int, columns: int, dtype: torch.dtype) -> None:
    _compare(
        lambda x, w, b: liger.liger_layer_norm(x, w, b, 1e-5),
        lambda x, w, b: F.layer_norm(x, (columns,), w, b, 1e-5),
        [torch.randn(rows, columns), torch.rand(columns), torch.randn(columns)],
        dtype,
    )


@DTYPES
@pytest.mark.parametrize("shape", [(2, 5, 64), (3, 4, 123)])
def test_swiglu(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    _compare(liger.liger_swiglu, lambda a, b: F.silu(a) * b, [torch.randn(shape), torch.randn(shape)], dtype)


@DTYPES
@pytest.mark.parametrize("shape", [(2, 5, 64), (3, 4, 123)])
def test_geglu(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    _compare(
        liger.liger_geglu,
        lambda a, b: F.gelu(a, approximate="tanh") * b,
        [torch.randn(shape), torch.randn(shape)],
        dtype,
    )


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return x * cos[:, None].to(x.dtype) + torch.cat((-second, first), -1) * sin[:, None].to(x.dtype)


@DTYPES
@pytest.mark.parametrize(("length", "query_heads", "key_heads", "size"), [(7, 4, 2, 32), (5, 3, 3, 64)])
def test_rope(length: int, query_heads: int, key_heads: int, size: int, dtype: torch.dtype) -> None:
    angles = torch.outer(torch.arange(length), 1 / 10000 ** (torch.arange(0, size, 2) / size))
    angles = torch.cat((angles, angles), -1)[None]
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    _compare(
        lambda q, k: liger.liger_rope(q, k, cos, sin),
        lambda q, k: (_rotate(q, cos, sin), _rotate(k, cos, sin)),
        [torch.randn(2, query_heads, length, size), torch.randn(2, key_heads, length, size)],
        dtype,
    )


def _targets(rows: int, classes: int) -> torch.Tensor:
    """Class numbers, with one row that the loss ignores."""
    target = torch.randint(0, classes, (rows,))
    target[1] = -100
    return target


@DTYPES
@pytest.mark.parametrize(
    "options", [{}, {"reduction": "sum"}, {"label_smoothing": 0.1}], ids=["mean", "sum", "smooth"]
)
def test_cross_entropy(options: dict[str, Any], dtype: torch.dtype) -> None:
    target = _targets(6, 1003)
    _compare(
        lambda x: liger.liger_cross_entropy(x, target, **options),
        lambda x: F.cross_entropy(x, target, **options),
        [3 * torch.randn(6, 1003)],
        dtype,
    )


@DTYPES
@pytest.mark.parametrize("bias", [False, True], ids=["without bias", "with bias"])
def test_fused_linear_cross_entropy(bias: bool, dtype: torch.dtype) -> None:
    target = _targets(8, 300)
    inputs = [torch.randn(8, 32), torch.randn(300, 32) / 6, *([torch.randn(300)] if bias else [])]
    _compare(
        lambda x, w, *b: liger.liger_fused_linear_cross_entropy(x, w, target, *b),
        lambda x, w, *b: F.cross_entropy(F.linear(x, w, *b), target),
        inputs,
        dtype,
    )
