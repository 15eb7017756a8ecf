"""Loops that a kernel's author unrolled are rolled up where a block is long: the results stay those of the
unrolled code, bit by bit, and what LLVM is given does not grow with the repetitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import triton
import triton.language as tl

from anychip.compiler import pipeline, targets
from anychip.compiler.schedule import rolling

NEVER = 1 << 30
COLUMNS, ROWS = 4, 16
version = itertools.count()


@triton.jit
def rotations(w, s, N: tl.constexpr, M: tl.constexpr, SWEEPS: tl.constexpr, VERSION: tl.constexpr):
    """Singular values of a matrix by rotations of pairs of its columns, which stay in memory."""
    r = tl.arange(0, M)
    w += tl.program_id(0) * M * N
    for _ in tl.static_range(SWEEPS):
        for p in tl.static_range(N - 1):
            for q in tl.static_range(p + 1, N):
                x = tl.load(w + p * M + r)
                y = tl.load(w + q * M + r)
                a, b, g = tl.sum(x * x), tl.sum(y * y), tl.sum(x * y)
                z = (b - a) / tl.where(g == 0, 1.0, 2.0 * g)
                t = tl.where(z >= 0, 1.0, -1.0) / (tl.abs(z) + tl.sqrt(1.0 + z * z))
                t = tl.where(g == 0, 0.0, t)
                c = 1 / tl.sqrt(1.0 + t * t)
                tl.store(w + p * M + r, c * x - c * t * y)
                tl.store(w + q * M + r, c * t * x + c * y)
    for p in tl.static_range(N):
        x = tl.load(w + p * M + r)
        tl.store(s + tl.program_id(0) * N + p, tl.sqrt(tl.sum(x * x)))


@triton.jit
def handed_over(x, out, n, B: tl.constexpr, TIMES: tl.constexpr, VERSION: tl.constexpr):
    """A tile and a scalar go from one repetition to the next; offsets, masks and numbers differ."""
    i = tl.arange(0, B)
    total = tl.zeros([B], tl.float32)
    scale = 1.0
    for k in tl.static_range(TIMES):
        part = tl.load(x + 3 * k + i, mask=i + 3 * k < n, other=0.25)
        if tl.sum(part) > 0:
            total = total * 0.5 + part * (k + 2.5)
        else:
            total -= part
        scale = scale * 0.75 + tl.max(part, 0)
    tl.store(out + i, total * scale)


@triton.jit
def each_kept(x, out, B: tl.constexpr, TIMES: tl.constexpr, VERSION: tl.constexpr):
    """Every repetition writes what it hands on."""
    i = tl.arange(0, B)
    first = tl.load(x + i)
    value = tl.load(x + B + i)
    for k in tl.static_range(TIMES):
        value = first + value * tl.load(x + k)
        tl.store(out + k * B + i, value)
    tl.store(out + i, first - value)


@triton.jit
def chain(x, out, B: tl.constexpr, TIMES: tl.constexpr, VERSION: tl.constexpr):
    """Nothing but a tile is handed over: the loop runs inside the nest, in registers."""
    i = tl.arange(0, B)
    value = tl.load(x + i)
    for k in tl.static_range(TIMES):
        value = value * 0.5 + (k * k + 3)
    tl.store(out + i, value)


@triton.jit
def signs_of_zeros(x, out, B: tl.constexpr, TIMES: tl.constexpr, VERSION: tl.constexpr):
    """Two numbers of each repetition are equal, and differ in their signs."""
    i = tl.arange(0, B)
    for k in tl.static_range(TIMES):
        value = tl.load(x + k * B + i)
        tl.store(out + 2 * k * B + i, value * (0.0 if k % 2 == 0 else -0.0))
        tl.store(out + (2 * k + 1) * B + i, value * (-0.0 if k % 2 == 0 else 0.0))


@triton.jit
def two_back(x, out, B: tl.constexpr, TIMES: tl.constexpr, VERSION: tl.constexpr):
    """A repetition takes what the one before the last made, which no loop of ours hands on."""
    i = tl.arange(0, B)
    first = tl.load(x + i)
    second = tl.load(x + B + i)
    for k in tl.static_range(TIMES):
        first, second = second, first + second * tl.load(x + k)
    tl.store(out + i, second)


def rotated(x: torch.Tensor, sweeps: int = 6) -> tuple[torch.Tensor, object]:
    out = torch.empty(len(x), COLUMNS)
    kernel = rotations[(len(x),)](x.transpose(1, 2).contiguous(), out, COLUMNS, ROWS, sweeps, next(version))
    return out, kernel


def run_handed_over(x: torch.Tensor) -> tuple[torch.Tensor, object]:
    out = torch.empty(16)
    return out, handed_over[(1,)](x, out, 40, 16, 12, next(version))


def run_each_kept(x: torch.Tensor) -> tuple[torch.Tensor, object]:
    out = torch.empty(12 * 16)
    return out, each_kept[(1,)](x, out, 16, 12, next(version))


def run_chain(x: torch.Tensor) -> tuple[torch.Tensor, object]:
    out = torch.empty(16)
    return out, chain[(1,)](x, out, 16, 12, next(version))


def chain_in_double(x: torch.Tensor) -> torch.Tensor:
    value = x[:16].double()
    for k in range(12):
        value = value * 0.5 + (k * k + 3)
    return value


def handed_over_in_double(x: torch.Tensor) -> torch.Tensor:
    total, scale = torch.zeros(16, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    i = torch.arange(16)
    for k in range(12):
        part = torch.where(i + 3 * k < 40, x.double()[3 * k : 3 * k + 16], 0.25)
        total = total * 0.5 + part * (k + 2.5) if part.sum() > 0 else total - part
        scale = scale * 0.75 + part.max()
    return total * scale


def each_kept_in_double(x: torch.Tensor) -> torch.Tensor:
    first, value = x[:16].double(), x[16:32].double()
    out = []
    for k in range(12):
        value = first + value * x[k].double()
        out.append(value)
    return torch.cat([first - value, *out[1:]])


def loops(text: str) -> list[int]:
    """How often each loop that is made of the kernel's unrolled ones runs."""
    module = pipeline.parse(text)
    pipeline.inline_calls(module)
    rolling.roll(module.kernel)
    return [
        bound.attrs["value"]
        for op in module.kernel.body.walk()
        if op.name == "scf.for" and (bound := op.operands[1].defining_op) is not None
    ]


CASES: dict[
    str,
    tuple[
        Callable[[torch.Tensor], tuple[torch.Tensor, object]],
        torch.Tensor,
        Callable[[torch.Tensor], torch.Tensor],
    ],
] = {
    "rotations": (
        rotated,
        torch.randn(3, ROWS, COLUMNS, generator=torch.Generator().manual_seed(1)),
        lambda x: torch.linalg.svdvals(x.double()),
    ),
    "handed over": (run_handed_over, torch.linspace(-1, 1, 60), handed_over_in_double),
    "chain": (run_chain, torch.linspace(-1, 1, 60), chain_in_double),
    "each kept": (run_each_kept, torch.linspace(-1, 1, 60), each_kept_in_double),
}


@pytest.mark.parametrize("case", CASES)
def test_rolled_up_is_what_was_unrolled(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, x, exact = CASES[case]
    monkeypatch.setattr(rolling, "LONG", NEVER)
    unrolled, kernel = run(x)
    text = kernel.asm["ttir"]  # type: ignore[attr-defined]
    assert loops(text) == []
    monkeypatch.setattr(rolling, "LONG", 1)
    assert [count for count in loops(text) if count >= rolling.FEWEST]
    rolled, _ = run(x)
    assert torch.equal(rolled, unrolled)
    found = rolled.sort(-1, descending=True).values if case == "rotations" else rolled
    torch.testing.assert_close(found.double(), exact(x), rtol=1e-5, atol=1e-5)


def test_zeros_keep_their_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "LONG", 1)
    x, out = torch.linspace(1, 2, 12 * 16), torch.empty(12, 2, 16)
    kernel = signs_of_zeros[(1,)](x, out, 16, 12, next(version))
    assert loops(kernel.asm["ttir"]) == [12]
    assert torch.equal(out.signbit()[:, :, 0], torch.tensor([[False, True], [True, False]] * 6))


def test_what_no_loop_stands_for_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "LONG", 1)
    x, out = torch.linspace(-1, 1, 60), torch.empty(16)
    kernel = two_back[(1,)](x, out, 16, 12, next(version))
    assert loops(kernel.asm["ttir"]) == []
    first, second = x[:16].double(), x[16:32].double()
    for k in range(12):
        first, second = second, first + second * x[k].double()
    torch.testing.assert_close(out.double(), second, rtol=1e-5, atol=1e-5)


def test_a_short_kernel_is_left_as_it_is() -> None:
    _, kernel = run_handed_over(torch.linspace(-1, 1, 60))
    assert loops(kernel.asm["ttir"]) == []  # type: ignore[attr-defined]


def test_code_does_not_grow_with_the_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "LONG", 100)
    lines: list[int] = []
    for sweeps in (4, 8):
        text = rotated(torch.ones(1, ROWS, COLUMNS), sweeps)[1].asm["ttir"]  # type: ignore[attr-defined]
        lines.append(pipeline.lower(text, targets.host()).llvm_ir.count("\n"))
        assert loops(text) == [sweeps * COLUMNS * (COLUMNS - 1) // 2]
    assert lines[0] == lines[1]
