"""Results do not depend on the number of threads, and special values come out as from single operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from anychip.bench.kernels import elementwise, losses, rows
from anychip.ops.registry import overloads
from anychip.runtime import launches


def x(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def ours(name: str, *arguments: Any, **keywords: Any) -> Any:
    return overloads()[name][1].implementation(*arguments, **keywords)


def positions(high: int, count: int) -> torch.Tensor:
    return torch.randint(0, high, (count,), generator=torch.Generator().manual_seed(1))


CALLS: dict[str, Callable[[], Any]] = {
    "sum": lambda: ours("sum.dim_IntList", x(700, 900), None),
    "sum of columns": lambda: ours("sum.dim_IntList", x(700, 900), [0]),
    "softmax": lambda: ours("_softmax", x(300, 900), 1, False),
    "layer norm backward": lambda: ours(
        "native_layer_norm_backward",
        x(300, 500),
        x(300, 500, seed=1),
        (500,),
        x(300, 1),
        x(300, 1).abs(),
        x(500),
        x(500, seed=2),
        [True, True, True],
    ),
    "rms norm backward": lambda: rows.rms_norm_backward(x(300, 500), x(300, 500, seed=1), x(500)),
    "matmul": lambda: ours("mm", x(300, 400), x(400, 200)),
    "index_add": lambda: ours("index_add", x(50, 400), 0, positions(50, 800), x(800, 400)),
    "embedding gradient": lambda: ours(
        "embedding_dense_backward", x(900, 64), positions(30, 900), 30, -1, False
    ),
    "attention of one query": lambda: ours(
        "_scaled_dot_product_flash_attention_for_cpu", x(1, 2, 1, 64), x(1, 2, 3000, 64), x(1, 2, 3000, 64)
    ),
    "linear cross entropy": lambda: losses.linear_cross_entropy(x(70, 40), x(900, 40), positions(900, 70)),
}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", CALLS)
def test_results_do_not_depend_on_the_number_of_threads(name: str, threads: Callable[[int], None]) -> None:
    found = []
    before = launches.count()
    for number in (1, 2, 5):
        threads(number)
        for _ in range(2):
            result = CALLS[name]()
            found.append(result if isinstance(result, tuple) else (result,))
    assert launches.count() >= before + len(found)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_fused_chain_keeps_denormals_infinities_and_nan(dtype: torch.dtype) -> None:
    """y + x / 2 in one kernel is rounded once, in f32 as the two operations are (a half is exact)."""
    info = torch.finfo(dtype)
    tiny = info.smallest_normal
    special = [
        0.0,
        -0.0,
        tiny,
        tiny / 2,
        tiny / 4,
        -tiny / 8,
        info.max,
        -info.max,
        float("inf"),
        float("-inf"),
    ]
    values = torch.tensor([*special, float("nan"), 1.0, -1.5], dtype=dtype)
    a, b = (t.contiguous().view(-1) for t in torch.broadcast_tensors(values[:, None], values[None, :]))
    wide = torch.float64 if dtype == torch.float32 else torch.float32
    expected = (b.to(wide) + a.to(wide) / 2).to(dtype)
    got = elementwise.residual(a, b)
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)
    assert bool(((got != 0) & (got.abs() < tiny)).any())
    assert torch.equal(torch.signbit(got[~got.isnan()]), torch.signbit(expected[~got.isnan()]))
