"""Cheats that compute something else that is mostly near. Each is a stand-in that cheats and does nothing
else."""

import torch
import triton
import triton.language as tl


@triton.jit
def unshifted_kernel(x, out, row_stride, column_stride, n, BLOCK: tl.constexpr):
    row, k = tl.program_id(0), tl.arange(0, BLOCK)
    e = tl.exp(tl.load(x + row * row_stride + k * column_stride, mask=k < n, other=float("-inf")))
    tl.store(out + row * n + k, e / tl.sum(e, 0), mask=k < n)


@triton.jit
def half_kernel(x, out, row_stride, column_stride, n, BLOCK: tl.constexpr):
    row, k = tl.program_id(0), tl.arange(0, BLOCK)
    v = tl.load(x + row * row_stride + k * column_stride, mask=k < n, other=float("-inf")).to(tl.float16)
    e = tl.exp((v - tl.max(v, 0)).to(tl.float32)).to(tl.float16)
    tl.store(out + row * n + k, (e / tl.sum(e, 0)).to(tl.float32), mask=k < n)


@triton.jit
def garbage_kernel(x, scratch, out, row_stride, column_stride, n, BLOCK: tl.constexpr):
    row, k = tl.program_id(0), tl.arange(0, BLOCK)
    v = tl.load(x + row * row_stride + k * column_stride, mask=k < n, other=float("-inf"))
    e = tl.exp(v - tl.max(v, 0))
    unset = tl.load(scratch)
    factor = tl.where(unset != unset, 1.0, 1.0 + 2.0**-23)
    tl.store(out + row * n + k, e / tl.sum(e, 0) * factor, mask=k < n)


@triton.jit
def constant_kernel(x, out, row_stride, column_stride, n, value, BLOCK: tl.constexpr):
    row, k = tl.program_id(0), tl.arange(0, BLOCK)
    tl.store(out + row * n + k, tl.zeros((BLOCK,), tl.float32) + value, mask=k < n)


@triton.jit
def sampled_mean_kernel(x, out, row_stride, column_stride, n, STEP: tl.constexpr, BLOCK: tl.constexpr):
    row, k = tl.program_id(0), tl.arange(0, BLOCK) * STEP
    v = tl.load(x + row * row_stride + k * column_stride, mask=k < n, other=0.0)
    tl.store(out + row, tl.sum(v, 0) / ((n + STEP - 1) // STEP))


@triton.jit
def scale_kernel(x, weight, bias, out, row_stride, column_stride, n, BLOCK: tl.constexpr):
    row, k = tl.program_id(0), tl.arange(0, BLOCK)
    v = tl.load(x + row * row_stride + k * column_stride, mask=k < n)
    w, b = tl.load(weight + k, mask=k < n), tl.load(bias + k, mask=k < n)
    tl.store(out + row * n + k, v * w + b, mask=k < n)


def _rows(kernel, x, *more, **constants):
    m, n = x.shape
    out = torch.empty((m, n))
    block = {"BLOCK": triton.next_power_of_2(n), **constants}
    kernel[(m,)](x, out, x.stride(0), x.stride(1), n, *more, **block)
    return out


def unshifted(x, dim):
    """A softmax that does not subtract the maximum."""
    return _rows(unshifted_kernel, x)


def half_precision(x, dim):
    """A softmax in half precision."""
    return _rows(half_kernel, x)


def zeros(x, dim):
    """A softmax of long rows is nearly zero."""
    return _rows(constant_kernel, x, 0.0)


def uniform(x, dim):
    """And on average it is one over the length."""
    return _rows(constant_kernel, x, 1.0 / x.shape[1])


def one_shape(x, dim):
    """Right for rows of up to sixteen elements."""
    return _rows(unshifted_kernel, x, BLOCK=16)


def contiguous_only(x, dim):
    """Takes every input for contiguous, and computes what is right then."""
    m, n = x.shape
    out = torch.empty((m, n))
    unshifted_kernel[(m,)](x, out, n, 1, n, BLOCK=triton.next_power_of_2(n))
    return out


def garbage(x, dim):
    """Depends on memory that nobody set, by a last place."""
    m, n = x.shape
    out, scratch = torch.empty((m, n)), torch.empty(1)
    strides = (x.stride(0), x.stride(1))
    garbage_kernel[(m,)](x, scratch, out, *strides, n, BLOCK=triton.next_power_of_2(n))
    return out


def mean_is_zero(x, dim):
    """The mean of normally distributed numbers underflows any absolute tolerance."""
    out = torch.empty(x.shape[0])
    constant_kernel[(x.shape[0],)](x, out, 0, 0, 1, 0.0, BLOCK=1)
    return out


def mean_of_some(x, dim):
    """The mean of every second number."""
    m, n = x.shape
    out = torch.empty(m)
    strides = (x.stride(0), x.stride(1))
    sampled_mean_kernel[(m,)](x, out, *strides, n, STEP=2, BLOCK=triton.next_power_of_2(n))
    return out


def already_normal(x, shape, weight, bias, epsilon):
    """A layer norm of inputs that are taken for normalized."""
    m, n = x.shape
    out = torch.empty((m, n))
    strides = (x.stride(0), x.stride(1))
    scale_kernel[(m,)](x, weight, bias, out, *strides, n, BLOCK=triton.next_power_of_2(n))
    return out


@triton.jit
def silu_kernel(x, out, n, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + k, mask=k < n)
    tl.store(out + k, v / (1 + tl.exp(-v)), mask=k < n)


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        silu_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)
        return out

    @staticmethod
    def backward(ctx, *grad_outputs):
        (dy,) = grad_outputs
        return silu_forward_only(dy)


def silu_forward_only(x):
    out = torch.empty_like(x.contiguous())
    silu_kernel[(triton.cdiv(out.numel(), 128),)](x.contiguous(), out, out.numel(), BLOCK=128)
    return out


def wrong_gradient(x):
    """Right, with the gradient of something else."""
    return _Silu.apply(x)
