"""The suite's kernels on small shapes against PyTorch in float64, and the choice of cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from anychip.bench import operators, suite
from anychip.bench.case import integers, normal
from anychip.bench.errors import BenchmarkError
from anychip.bench.kernels import (
    convolutions,
    elementwise,
    losses,
    matrices,
    movement,
    quantized,
    reductions,
    rows,
)
from anychip.runtime import launches


def x(*shape: int, seed: int = 0) -> torch.Tensor:
    return normal(*shape, seed=seed)


def _rms_norm_gradients(g: torch.Tensor, t: torch.Tensor, w: torch.Tensor) -> Any:
    return rows._pytorch_rms_norm_backward(g, t, w)


CHECKS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "silu_mul": (
        "silu_mul_kernel",
        elementwise.silu_mul,
        lambda a, b: torch.nn.functional.silu(a) * b,
        (x(3, 700), x(3, 700, seed=1)),
    ),
    "residual": (
        "residual_kernel",
        elementwise.residual,
        lambda a, b: b + 0.5 * a,
        (x(1500), x(1500, seed=1)),
    ),
    "rms_norm": (
        "rms_norm_kernel",
        rows.rms_norm,
        lambda t, w: torch.nn.functional.rms_norm(t, (t.shape[-1],), w, rows.EPS),
        (x(5, 100), x(100, seed=1)),
    ),
    "rms_norm_backward": (
        "rms_norm_backward_kernel",
        rows.rms_norm_backward,
        _rms_norm_gradients,
        (x(70, 100), x(70, 100, seed=1), x(100, seed=2)),
    ),
    "argmax": ("argmax_kernel", reductions.argmax, lambda t: t.argmax(1), (x(7, 300),)),
    "variance": ("variance_kernel", reductions.variance, lambda t: t.var(1), (x(7, 300) + 100,)),
    "cumsum": (
        "cumsum_kernel",
        movement._by_row(movement.cumsum_kernel),
        lambda t: t.cumsum(1),
        (x(4, 300),),
    ),
    "sort": ("sort_kernel", movement.sort, lambda t: t.sort(1).values, (x(4, 64),)),
    "topk": ("topk_kernel", movement.topk, lambda t: t.topk(16, 1).values, (x(4, 64),)),
    "transpose": ("transpose_kernel", movement.transpose, lambda t: t.t(), (x(45, 70),)),
    "gather": (
        "gather_kernel",
        movement.gather,
        lambda t, i: t.gather(1, i),
        (x(5, 90), integers(90, 5, 90)),
    ),
    "histogram": (
        "histogram_kernel",
        movement.histogram,
        lambda t: torch.bincount(t, minlength=movement.BINS),
        (integers(movement.BINS, 10_000, dtype=torch.int32),),
    ),
    "matmul": ("matmul_kernel", matrices.matmul, torch.mm, (x(70, 50), x(50, 90, seed=1))),
    "matmul_bias_gelu": (
        "matmul_kernel",
        lambda a, b, c: matrices.matmul(a, b, c, True),
        lambda a, b, c: torch.nn.functional.gelu(a @ b + c),
        (x(33, 40), x(40, 65, seed=1), x(65, seed=2)),
    ),
    "matmul_int8": (
        "matmul_kernel",
        matrices.matmul,
        torch.mm,
        tuple(integers(256, 64, 64, dtype=torch.int8, seed=k) for k in range(2)),
    ),
    "weight_only": (
        "weight_only_kernel",
        quantized.weight_only,
        lambda v, w, s: (w.double() @ v.double()) * s,
        (x(200), integers(256, 37, 200, dtype=torch.int8), x(37)),
    ),
    "matmul_bias_gelu_residual": (
        "matmul_kernel",
        lambda a, b, c, d: matrices.matmul(a, b, c, True, d),
        lambda a, b, c, d: torch.nn.functional.gelu(a @ b + c) + d,
        (x(33, 40), x(40, 65, seed=1), x(65, seed=2), x(33, 65, seed=3)),
    ),
    "weight_only_int4": (
        "weight_only_int4_kernel",
        lambda v, w, s: quantized.weight_only_int4(v, quantized.pack(w), s),
        lambda v, w, s: ((w.double() - 8) * s.t().repeat_interleave(quantized.GROUP, 1)) @ v,
        (x(256), integers(16, 37, 256, dtype=torch.int32), x(2, 37)),
    ),
    "conv2d": (
        "implicit_product_kernel",
        lambda t, w: convolutions.conv2d(t, w, 2),
        lambda t, w: torch.nn.functional.conv2d(t, w, stride=2, padding=1),
        (x(2, 5, 9, 11), x(7, 5, 3, 3, seed=1)),
    ),
    "depthwise": (
        "depthwise_kernel",
        convolutions.depthwise,
        lambda t, w: torch.nn.functional.conv2d(t, w, padding=1, groups=t.shape[1]),
        (x(2, 5, 20, 70), x(5, 1, 3, 3, seed=1)),
    ),
    "cross_entropy": (
        "cross_entropy_kernel",
        losses.cross_entropy,
        lambda t, y: torch.nn.functional.cross_entropy(t, y, reduction="none"),
        (x(3, 5000), integers(5000, 3)),
    ),
    "linear_cross_entropy": (
        "linear_cross_entropy_kernel",
        losses.linear_cross_entropy,
        lambda h, w, y: torch.nn.functional.cross_entropy(h @ w.t(), y, reduction="none"),
        (x(70, 40), x(1000, 40, seed=1), integers(1000, 70)),
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_kernel_against_float64(name: str) -> None:
    kernel, ours, reference, arguments = CHECKS[name]
    before = launches.count(kernel)
    got = ours(*arguments)
    assert launches.count(kernel) > before
    want = reference(*(suite.double(argument) for argument in arguments))
    for one, other in zip(_each(got), _each(want), strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=2e-5, atol=2e-5)


def _each(result: Any) -> tuple[torch.Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def test_random_kernels_have_the_right_moments() -> None:
    like = torch.empty(100_000)
    drawn = movement.randn(like)
    assert abs(float(drawn.mean())) < 0.02
    assert abs(float(drawn.std()) - 1) < 0.02
    kept = movement.dropout(torch.ones(100_000))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert abs(float(kept.mean()) - 1) < 0.02


def test_labels_are_unique() -> None:
    labels = [case.label for case in suite.cases()]
    assert len(set(labels)) == len(labels)


def test_choice_by_name_and_by_pattern() -> None:
    assert {case.name for case in suite.cases(["softmax"])} == {"softmax"}
    assert [case.label for case in suite.cases(["gelu f32 *"])] == ["gelu f32 4096x1024", "gelu f32 256x1024"]
    with pytest.raises(BenchmarkError, match="no kernel of the suite matches 'softmux'"):
        suite.cases(["softmux"])


def test_cases_of_an_operator_come_from_its_record() -> None:
    found = operators.cases("softmax")
    assert [(case.name, case.sizes) for case in found] == [("_softmax", (4096, 1024))]
    with pytest.raises(BenchmarkError, match="there is no operator"):
        operators.cases("softmux")
