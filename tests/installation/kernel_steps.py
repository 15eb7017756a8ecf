"""What Anychip does in the processes of `test_numba`: each step compiles and launches kernels, asserts that
they were launched, and compares what they give with PyTorch in float64."""

from __future__ import annotations

import itertools

import torch
import triton
import triton.language as tl

import anychip
from anychip.compiler import targets
from anychip.compiler.targets import machine
from anychip.runtime import launches
from anychip.triton_backend import activate

LOOP = """
declare <16 x float> @llvm.sqrt.v16f32(<16 x float>)
define void @roots(ptr %x, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %p = getelementptr float, ptr %x, i64 %i
  %a = load <16 x float>, ptr %p, align 4
  %b = call <16 x float> @llvm.sqrt.v16f32(<16 x float> %a)
  %c = fmul <16 x float> %a, %b
  %d = fadd <16 x float> %c, %a
  store <16 x float> %d, ptr %p, align 4
  %next = add i64 %i, 16
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""

_numbers = itertools.count(1)


@triton.jit
def beside_wave(out, x, n, NUMBER: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + i, mask=i < n)
    tl.store(out + i, tl.exp(value) * tl.sin(value * NUMBER) + tl.erf(value), mask=i < n)


@triton.jit
def beside_mixture(out, scores, values, ROWS: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr):
    rows, keys, columns = tl.arange(0, ROWS), tl.arange(0, KEYS), tl.arange(0, WIDTH)
    score = tl.load(scores + rows[:, None] * KEYS + keys)
    weight = tl.exp(score - tl.max(score, 1)[:, None])
    weight /= tl.sum(weight, 1)[:, None]
    mixed = tl.dot(weight, tl.load(values + keys[:, None] * WIDTH + columns), input_precision="ieee")
    tl.store(out + rows[:, None] * WIDTH + columns, mixed)


@triton.jit
def beside_barrier(x, out, arrived, programs, MOST: tl.constexpr):
    """Each program waits for all others, so it is compiled as a coroutine."""
    program = tl.program_id(0)
    tl.store(out + programs + program, tl.load(x + program) * 2)
    tl.atomic_add(arrived, 1, sem="release")
    while tl.atomic_add(arrived, 0, sem="acquire") < programs:
        pass
    i = tl.arange(0, MOST)
    tl.store(out + program, tl.sum(tl.load(out + programs + i, mask=i < programs, other=0)))


def kernels() -> None:
    """Kernels of Triton's language over one program and many, constants of a new value each time."""
    activate()
    number = next(_numbers)
    before = launches.by_kernel()
    x = torch.randn(50_000)
    out = torch.empty_like(x)
    beside_wave[(49,)](out, x, x.numel(), NUMBER=number, BLOCK=1024)
    wide = x.double()
    right = wide.exp() * (x * number).double().sin() + wide.erf()
    torch.testing.assert_close(out.double(), right, rtol=3e-6, atol=3e-6)

    width = 16 << number % 3
    scores, values, mixed = torch.randn(16, 64), torch.randn(64, width), torch.empty(16, width)
    beside_mixture[(1,)](mixed, scores, values, ROWS=16, KEYS=64, WIDTH=width)
    right = scores.double().softmax(1) @ values.double()
    torch.testing.assert_close(mixed.double(), right, rtol=1e-5, atol=1e-5)

    programs = 40 + number
    counts, sums = torch.arange(programs, dtype=torch.int32), torch.zeros(2 * programs, dtype=torch.int32)
    beside_barrier[(programs,)](counts, sums, torch.zeros(1, dtype=torch.int32), programs, MOST=64)
    assert sums[:programs].eq(programs * (programs - 1)).all()
    for name in ("beside_wave", "beside_mixture", "beside_barrier"):
        assert launches.by_kernel()[name] == before.get(name, 0) + 1, name


def operators() -> None:
    """Operators of PyTorch by our kernels."""
    number = next(_numbers)
    before = launches.count()
    x, y = torch.randn(300, 64 + number), torch.randn(64 + number, 70)
    with anychip.using():
        ours = torch.softmax(x @ y, -1)
    assert launches.count() >= before + 2
    torch.testing.assert_close(ours.double(), (x.double() @ y.double()).softmax(-1), rtol=1e-4, atol=1e-5)


def other_chips() -> None:
    """Object code for other chips: LLVM's code generators for them, and its settings that we make."""
    number = next(_numbers)
    text = f"define i64 @f(i64 %x) {{\n %y = mul i64 %x, {number}\n ret i64 %y\n}}"
    for name in ("cortex-a76", "cortex-m55"):
        assert machine.emit_object(text, targets.get(name))[:4] == b"\x7fELF"


def code() -> str:
    """The assembly of a loop, for this processor."""
    return machine.emit_assembly(LOOP, targets.host())
