"""What kernels of libraries are written with: helpers of other modules, functions as constants, tuples with
names, classes, functions of constants, Triton's interpreter; and inline assembly, which is refused with its
place."""

import os
import subprocess
import sys
import textwrap
from typing import NamedTuple

import pytest
import torch
import triton
import triton.language as tl
from tests.triton_backend import kernels
from triton.language.core import _aggregate as aggregate

from anychip.errors import AnychipError


class Rows(NamedTuple):
    memory: object
    scale: float
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]  # a field, not tuple.count


@aggregate
class Reader:
    memory: tl.tensor
    count: tl.tensor

    @triton.constexpr_function
    def __init__(self, memory, count):
        self.memory = memory
        self.count = count

    @triton.jit
    def load(self, offsets):
        return tl.load(self.memory + offsets, mask=offsets < self.count, other=-1.0)


@triton.constexpr_function
def padded(size):
    return triton.next_power_of_2(size)


@triton.jit
def by_helpers(x_ptr, out_ptr, N: tl.constexpr):
    offsets = tl.arange(0, N)
    x = tl.load(x_ptr + offsets)
    tl.store(out_ptr + offsets, kernels.applied_with_bias(x, kernels.square))


@triton.jit
def recurrence(scale_ptr, shift_ptr, out_ptr, N: tl.constexpr):
    offsets = tl.arange(0, N)
    steps = (tl.load(scale_ptr + offsets), tl.load(shift_ptr + offsets))
    _, states = tl.associative_scan(steps, 0, kernels.affine)
    tl.store(out_ptr + offsets, states)


@triton.jit
def by_name(rows, out_ptr, DTYPE: tl.constexpr, nothing, N: tl.constexpr):
    offsets = tl.arange(0, N)
    value = tl.load(rows.memory + offsets, mask=offsets < rows.count, other=0).to(DTYPE) * rows.scale
    if nothing is None:
        value += 10
    tl.store(out_ptr + offsets, value)


@triton.jit
def by_class(x_ptr, count, out_ptr, N: tl.constexpr):
    reader = Reader(x_ptr, count)
    offsets = tl.arange(0, padded(N))
    tl.store(out_ptr + offsets, reader.load(offsets), mask=offsets < N)


@triton.jit
def widened(x_ptr, out_ptr, N: tl.constexpr):
    offsets = tl.arange(0, N)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets).to(tl.float32))


@triton.jit
def assembly(x_ptr, N: tl.constexpr):
    offsets = tl.arange(0, N)
    x = tl.load(x_ptr + offsets)
    y = tl.inline_asm_elementwise("ldu.b32 $0, $1;", "=r,r", [x], dtype=tl.int32, is_pure=True, pack=1)
    tl.store(x_ptr + offsets, y)


def test_helpers_of_other_modules_and_functions_as_constants():
    x, out = torch.rand(16), torch.empty(16)
    by_helpers[(1,)](x, out, 16)
    torch.testing.assert_close(out, x * x + 3)


def test_scans_by_a_helper_of_another_module():
    scale, shift = torch.rand(2, 64)
    out, state, expected = torch.empty(64), 0.0, []
    recurrence[(1,)](scale, shift, out, 64)
    for a, b in zip(scale.double().tolist(), shift.double().tolist(), strict=True):
        state = a * state + b
        expected.append(state)
    torch.testing.assert_close(
        out.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [tl.float32, tl.float16], ids=str)
def test_tuples_with_names_types_and_none(dtype):
    x, out = torch.arange(16.0), torch.empty(16)
    by_name[(1,)](Rows(x, 0.5, 8), out, dtype, None, 16)
    assert torch.equal(out, torch.where(torch.arange(16) < 8, x * 0.5, 0) + 10)


def test_classes_and_functions_of_constants():
    x, out = torch.rand(7), torch.empty(7)
    by_class[(1,)](x, 5, out, 7)
    assert torch.equal(out, torch.cat((x[:5], torch.tensor([-1.0, -1.0]))))


def test_memory_seen_as_another_type():
    x, out = torch.rand(16).to(torch.float8_e5m2), torch.empty(16)
    widened[(1,)](triton.reinterpret(x.view(torch.uint8), tl.float8e5), out, 16)
    assert torch.equal(out, x.float())


def test_inline_assembly_is_refused_with_its_place():
    line = assembly.fn.__code__.co_firstlineno + 4
    with pytest.raises(AnychipError, match=rf"(?s)test_kernel_source\.py:{line}.*inline assembly.*ldu\.b32"):
        assembly[(1,)](torch.zeros(16, dtype=torch.int32), 16)


def test_tritons_interpreter_stays_tritons(tmp_path):
    """With TRITON_INTERPRET=1 a kernel runs in Python, with the back end installed and unasked."""
    script = tmp_path / "interpreted.py"
    script.write_text(
        textwrap.dedent("""
        import torch, triton, triton.language as tl
        from anychip.runtime import launches

        @triton.jit
        def double(x_ptr, n, BLOCK: tl.constexpr):
            offsets = tl.arange(0, BLOCK)
            x = tl.load(x_ptr + offsets, mask=offsets < n)
            assert isinstance(offsets.handle.data.sum().item(), int)
            tl.store(x_ptr + offsets, x * 2, mask=offsets < n)

        x = torch.ones(5)
        double[(1,)](x, 5, BLOCK=8)
        print(x.tolist(), launches.count())
        """),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[0] == "[2.0, 2.0, 2.0, 2.0, 2.0] 0", done.stderr
