"""PyTorch's ways for a user's Triton kernel to become part of a program: `torch.library.triton_op` with
`wrap_triton`, `torch.library.custom_op`, and a launch inside compiled code. Eager, compiled by Inductor and
by our back end, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from torch._inductor import config as inductor
from torch.library import custom_op, triton_op, wrap_triton

from anychip.runtime import launches

BACKENDS = pytest.mark.parametrize("backend", ["inductor", "anychip"])
N = 100


@triton.jit
def sine_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out_ptr + offsets, tl.sin(tl.load(x_ptr + offsets, mask=mask)), mask=mask)


tuned_sine_kernel = triton.autotune([triton.Config({"BLOCK": 32}, num_warps=w) for w in (1, 4)], key=["n"])(
    sine_kernel
)


def grid(meta: dict[str, int]) -> tuple[int]:
    return (triton.cdiv(N, meta["BLOCK"]),)


@triton_op("anychip_tests::sine", mutates_args={})
def sine(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    wrap_triton(sine_kernel)[grid](x, out, x.numel(), BLOCK=32)
    return out


operator: Any = sine
operator.register_autograd(
    lambda ctx, gradient: gradient * ctx.saved_tensors[0].cos(),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


@custom_op("anychip_tests::sine_into", mutates_args={"out"})
def sine_into(x: torch.Tensor, out: torch.Tensor) -> None:
    sine_kernel[grid](x, out, x.numel(), BLOCK=64)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inductor generates Triton, compiles it in this process, and forgets what it compiled."""
    torch._dynamo.reset()
    with inductor.patch(cpu_backend="triton", compile_threads=1):
        yield
    torch._dynamo.reset()


def check_gradient(function) -> None:
    x = torch.randn(N, requires_grad=True)
    with launches.record() as seen:
        result = function(x)
        result.sum().backward()
    assert any(launch.kernel.startswith("sine_kernel") for launch in seen)
    torch.testing.assert_close(result, 2 * x.detach().sin())
    torch.testing.assert_close(x.grad, 2 * x.detach().cos())


def test_an_operator_of_triton_kernels() -> None:
    check_gradient(lambda x: 2 * sine(x))


@BACKENDS
def test_an_operator_of_triton_kernels_compiled(backend: str) -> None:
    check_gradient(torch.compile(lambda x: 2 * sine(x), backend=backend, fullgraph=True))


def test_pytorch_finds_nothing_wrong_with_the_operator() -> None:
    checked = torch.library.opcheck(operator, (torch.randn(N, requires_grad=True),))
    assert set(checked.values()) == {"SUCCESS"}


@BACKENDS
def test_an_opaque_operator_that_writes_its_argument(backend: str) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        sine_into(x, out)
        return out + 1

    x = torch.randn(N)
    with launches.record() as seen:
        result = torch.compile(function, backend=backend, fullgraph=True)(x)
    assert [launch.kernel for launch in seen].count("sine_kernel") == 1
    torch.testing.assert_close(result, x.sin() + 1)


@BACKENDS
@pytest.mark.parametrize("kernel", [sine_kernel, tuned_sine_kernel], ids=["plain", "autotuned"])
def test_a_launch_inside_compiled_code(backend: str, kernel) -> None:
    constants = {"BLOCK": 32} if kernel is sine_kernel else {}

    @torch.compile(backend=backend, fullgraph=True)
    def function(x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        kernel[grid](x, out, N, **constants)
        return out.relu()

    x = torch.randn(N)
    with launches.record() as seen:
        results = [function(x) for _ in range(3)]
    assert sum(launch.kernel.startswith("sine_kernel") for launch in seen) >= 3
    for result in results:
        torch.testing.assert_close(result, x.sin().relu())
