"""What a launch costs: a kernel of three pointers against the same path with a launcher that does nothing,
and replayed by a Program.

Flows in: nothing. Flows out: seconds. The stock path is Triton's own binding of arguments, its
cache lookup and the call of a launcher; it is measured in the same process, in turns with ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton

from ..pytorch.capture import capture
from ..pytorch.program import Program
from .kernels.launches import three_pointers, three_pointers_stock
from .measure import TimingBudget, interleaved

BUDGET = TimingBudget(rounds=60, sample_seconds=0.004, seconds=2.0)


def measure() -> tuple[float, float]:
    """Seconds of a launch of one program by our launcher, and by an empty one: the least medians."""
    x, y, out = (torch.ones(16) for _ in range(3))
    grid = (1,)
    ours: Any = three_pointers
    stock: Any = three_pointers_stock
    compiled = stock.warmup(x, y, out, BLOCK=16, grid=grid)
    stock[grid](x, y, out, BLOCK=16)
    for kernel in _kernels(stock, compiled):
        kernel._run = _nothing
    out.zero_()
    stock[grid](x, y, out, BLOCK=16)
    if out.any():
        raise AssertionError("the empty launcher ran the kernel: Triton keeps its launchers elsewhere now")
    found = interleaved(
        {
            "ours": lambda: ours[grid](x, y, out, BLOCK=16),
            "stock": lambda: stock[grid](x, y, out, BLOCK=16),
        },
        BUDGET,
    )
    return found.times["ours"].least, found.times["stock"].least


REPLAYED = 201


def measure_replay() -> tuple[float, int]:
    """Seconds of one launch in the replay of a Program, kernel included: the difference of a Program of
    `REPLAYED` launches and one of a single launch, for each launch more; and `REPLAYED`."""
    kernel: Any = three_pointers

    def chain(number: int) -> Program:
        def run(x: torch.Tensor) -> torch.Tensor:
            for _ in range(number):
                y = torch.empty_like(x)
                kernel[(1,)](x, x, y, BLOCK=16)
                x = y
            return x

        return capture(run, torch.zeros(16))

    x = torch.zeros(16)
    many, one = chain(REPLAYED), chain(1)
    found = interleaved({"many": lambda: many(x), "one": lambda: one(x)}, BUDGET)
    return (found.times["many"].least - found.times["one"].least) / (REPLAYED - 1), REPLAYED


def _nothing(*arguments: Any) -> None:
    """A launcher that launches nothing."""


def _kernels(function: Any, compiled: Any) -> list[Any]:
    """The compiled kernels that a JIT function holds for its launches."""
    held = [compiled]
    for caches in getattr(function, "device_caches", {}).values():
        held += [kernel for kernel in caches[0].values() if hasattr(kernel, "_run")]
    return held


def tutorial_matmul(kernel: Any, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """c = a b by tutorial 03's `matmul_kernel`, launched as the tutorial does."""
    (M, K), N = a.shape, b.shape[1]
    grid: Callable[[dict[str, Any]], tuple[int]] = lambda meta: (  # noqa: E731
        triton.cdiv(M, meta["BLOCK_SIZE_M"]) * triton.cdiv(N, meta["BLOCK_SIZE_N"]),
    )
    kernel[grid](a, b, c, M, N, K, *a.stride(), *b.stride(), *c.stride(), ACTIVATION="")
    return c
