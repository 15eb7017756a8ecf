"""The sanitizer beside `triton-viz`, which interprets: processor time of a launch of each of five kernels,
checked by either, and without checks.

    pip install triton-viz
    python -m tools.debugging.peer

Both run in this process on one thread, on the same tensors. Ours is timed after the compilation, which
is printed by itself. With Triton 3.9, triton-viz 3.0 ends in errors of its own where a load has no mask, or
where it must know a value that was loaded (products, gathers): no such kernel is among the five.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.runtime.interpreter import InterpreterBuilder

from anychip.debug.written import following
from anychip.runtime import checks
from anychip.triton_backend import activate, sanitizer

GONE = (
    "create_make_block_ptr",
    "create_tensor_pointer_load",
    "create_tensor_pointer_store",
    "create_advance",
)
"""What triton-viz 3.0 wraps as it is imported, and Triton's interpreter of 3.9 has no more."""

ROUNDS = 3
LEAST = 0.2
"""Seconds of one measurement of ours, at least."""


@triton.jit
def add_kernel(x, y, out, n, B: tl.constexpr):
    """out = x + y, n elements."""
    k = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(out + k, tl.load(x + k, mask=k < n) + tl.load(y + k, mask=k < n), mask=k < n)


@triton.jit
def softmax_kernel(x, out, n, B: tl.constexpr):
    """Softmax of each row of x, n columns."""
    k = tl.arange(0, B)
    row = tl.program_id(0) * n
    v = tl.load(x + row + k, mask=k < n, other=float("-inf"))
    e = tl.exp(v - tl.max(v, 0))
    tl.store(out + row + k, e / tl.sum(e, 0), mask=k < n)


@triton.jit
def transpose_kernel(x, out, n, B: tl.constexpr):
    """out[j, i] = x[i, j], n x n."""
    i, j = tl.program_id(0) * B + tl.arange(0, B), tl.program_id(1) * B + tl.arange(0, B)
    inside = (i < n)[:, None] & (j < n)[None, :]
    value = tl.load(x + i[:, None] * n + j[None, :], mask=inside)
    tl.store(out + j[None, :] * n + i[:, None], value, mask=inside)


@triton.jit
def norm_kernel(x, out, n, B: tl.constexpr):
    """Each row of x by its mean square, n columns, in pieces of B."""
    row = tl.program_id(0) * n
    k = tl.arange(0, B)
    squares = tl.zeros((B,), tl.float32)
    for start in range(0, n, B):
        v = tl.load(x + row + start + k, mask=start + k < n, other=0.0)
        squares += v * v
    scale = 1.0 / tl.sqrt(tl.sum(squares, 0) / n + 1e-5)
    for start in range(0, n, B):
        v = tl.load(x + row + start + k, mask=start + k < n, other=0.0)
        tl.store(out + row + start + k, v * scale, mask=start + k < n)


@triton.jit
def silu_kernel(x, out, n, B: tl.constexpr):
    """out = x * sigmoid(x), n elements."""
    k = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + k, mask=k < n)
    tl.store(out + k, v / (1.0 + tl.exp(0.0 - v)), mask=k < n)


def cases() -> dict[str, tuple[Any, tuple[int, ...], tuple[Any, ...]]]:
    """Kernel, grid and arguments of each case."""
    x, y = torch.randn(1 << 16), torch.randn(1 << 16)
    rows, square = torch.randn(64, 1000), torch.randn(512, 512)
    return {
        "add, 65,536": (add_kernel, (64,), (x, y, torch.empty_like(x), x.numel(), 1024)),
        "softmax, 64 x 1000": (softmax_kernel, (64,), (rows, torch.empty_like(rows), 1000, 1024)),
        "transpose, 512": (transpose_kernel, (16, 16), (square, torch.empty_like(square), 512, 32)),
        "norm, 64 x 1000": (norm_kernel, (64,), (rows, torch.empty_like(rows), 1000, 256)),
        "silu, 65,536": (silu_kernel, (64,), (x, torch.empty_like(x), x.numel(), 1024)),
    }


def seconds(call: Callable[[], object], least: float) -> float:
    """Processor time of a call, the median of ROUNDS measurements."""
    found = []
    for _ in range(ROUNDS):
        count, start = 0, time.process_time()
        while time.process_time() - start < least or not count:
            call()
            count += 1
        found.append((time.process_time() - start) / count)
    return statistics.median(found)


def ours(wanted: frozenset[Any], call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the first call with these checks, and of a later one."""
    sanitizer.wanted = lambda: wanted
    findings: list[Any] = []
    with following(), checks.listening(findings.extend):
        start = time.process_time()
        call()
        first = time.process_time() - start
        later = seconds(call, LEAST)
    if findings:
        raise SystemExit(f"a clean kernel was reported: {findings[0]}")
    return first, later


def main() -> None:
    """Measure, and print a row for each kernel."""
    for name in GONE:
        if not hasattr(InterpreterBuilder, name):
            setattr(InterpreterBuilder, name, None)
    import triton_viz  # type: ignore[import-not-found]

    activate()
    torch.set_num_threads(1)
    ratios = []
    for name, (kernel, grid, arguments) in cases().items():
        *tensors, block = arguments
        call = lambda kernel=kernel, grid=grid, tensors=tensors, block=block: kernel[grid](*tensors, B=block)  # noqa: E731
        _, plain = ours(frozenset(), call)
        kernel.device_caches.clear()
        first, checked = ours(sanitizer.USUAL, call)
        kernel.device_caches.clear()
        traced = triton_viz.trace("sanitizer")(kernel)
        theirs = seconds(lambda traced=traced, g=grid, t=tensors, b=block: traced[g](*t, B=b), 0.0)
        ratios.append(theirs / checked)
        print(
            f"{name}: plain {1e6 * plain:.0f} us, ours {1e6 * checked:.0f} us (first {first:.2f} s), "
            f"triton-viz {1e6 * theirs:.0f} us, {ratios[-1]:.0f} times ours",
            flush=True,
        )
    print(f"geometric mean {statistics.geometric_mean(ratios):.0f}")


if __name__ == "__main__":
    main()
