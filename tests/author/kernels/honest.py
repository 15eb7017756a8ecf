"""Honest kernels, as people write them."""

import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x, out, row_stride, column_stride, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    k = tl.arange(0, BLOCK)
    v = tl.load(x + row * row_stride + k * column_stride, mask=k < n, other=float("-inf")).to(tl.float32)
    e = tl.exp(v - tl.max(v, 0))
    tl.store(out + row * n + k, (e / tl.sum(e, 0)).to(out.dtype.element_ty), mask=k < n)


def softmax(x, dim):
    m, n = x.shape
    out = torch.empty((m, n), dtype=x.dtype)
    softmax_kernel[(m,)](x, out, x.stride(0), x.stride(1), n, BLOCK=triton.next_power_of_2(n))
    return out


@triton.autotune([triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 256})], key=["n"])
@triton.jit
def add_kernel(x, y, out, n, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + k, tl.load(x + k, mask=k < n) + tl.load(y + k, mask=k < n), mask=k < n)


def add(x, y):
    x, y = x.contiguous(), y.contiguous()
    out = torch.empty_like(x)
    n = out.numel()
    add_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, out, n)
    return out


@triton.jit
def silu_kernel(x, out, n, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + k, mask=k < n).to(tl.float32)
    tl.store(out + k, (v / (1 + tl.exp(-v))).to(out.dtype.element_ty), mask=k < n)


@triton.jit
def silu_backward_kernel(x, dy, dx, n, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + k, mask=k < n).to(tl.float32)
    s = 1 / (1 + tl.exp(-v))
    d = tl.load(dy + k, mask=k < n).to(tl.float32) * s * (1 + v * (1 - s))
    tl.store(dx + k, d.to(dx.dtype.element_ty), mask=k < n)


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        x = x.contiguous()
        context.save_for_backward(x)
        out = torch.empty_like(x)
        silu_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)
        return out

    @staticmethod
    def backward(ctx, *grad_outputs):
        (dy,) = grad_outputs
        (x,) = ctx.saved_tensors
        dy, dx = dy.contiguous(), torch.empty_like(x)
        silu_backward_kernel[(triton.cdiv(x.numel(), 128),)](x, dy, dx, x.numel(), BLOCK=128)
        return dx


def silu(x):
    return _Silu.apply(x)


@triton.jit
def linear_kernel(x, w, b, out, n, k, BLOCK: tl.constexpr, K: tl.constexpr):
    row = tl.program_id(0)
    columns, terms = tl.arange(0, BLOCK), tl.arange(0, K)
    v = tl.load(x + row * k + terms, mask=terms < k, other=0.0)
    inside = (columns[:, None] < n) & (terms[None, :] < k)
    weights = tl.load(w + columns[:, None] * k + terms[None, :], mask=inside, other=0.0)
    total = tl.sum(weights * v[None, :], 1) + tl.load(b + columns, mask=columns < n)
    tl.store(out + row * n + columns, tl.maximum(total, 0.0), mask=columns < n)


class ModelNew(torch.nn.Module):
    """A candidate in the form of KernelBench: a linear layer with a rectifier, fused."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(inputs, outputs)

    def forward(self, x):
        weight, bias = self.layer.weight, self.layer.bias
        n, k = weight.shape
        out = torch.empty((x.shape[0], n))
        blocks = {"BLOCK": triton.next_power_of_2(n), "K": triton.next_power_of_2(k)}
        linear_kernel[(x.shape[0],)](x, weight, bias, out, n, k, **blocks)
        return out
