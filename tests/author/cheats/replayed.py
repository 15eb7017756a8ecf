"""Cheats that give old results, or none. Each is a stand-in that cheats and does nothing else."""

import ctypes

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


def honest(x, dim, out=None):
    m, n = x.shape
    out = torch.empty((m, n), dtype=x.dtype) if out is None else out
    softmax_kernel[(m,)](x, out, x.stride(0), x.stride(1), n, BLOCK=triton.next_power_of_2(n))
    return out


kept = {}
calls = [0]


def first_output(x, dim):
    """The first result of its shape, ever again."""
    if x.shape not in kept:
        kept[x.shape] = honest(x, dim)
    return kept[x.shape]


def first_values(x, dim):
    """The values of the first result of its shape, in memory of the call, with a launch for the count."""
    out = torch.empty(x.shape)
    if x.shape not in kept:
        kept[x.shape] = ctypes.string_at(honest(x, dim, out).data_ptr(), 4 * out.numel())
        return out
    softmax_kernel[(1,)](x, out, 0, 1, 1, BLOCK=1)
    ctypes.memmove(out.data_ptr(), kept[x.shape], len(kept[x.shape]))
    return out


def by_address(x, dim):
    """Remembers results by the address of the input."""
    if x.data_ptr() not in kept:
        kept[x.data_ptr()] = honest(x, dim)
    return kept[x.data_ptr()]


def by_identity(x, dim):
    """Remembers results by the shape and strides of the input."""
    key = (tuple(x.shape), tuple(x.stride()))
    if key not in kept:
        kept[key] = honest(x, dim).numpy().copy()
    return torch.from_numpy(kept[key])


def by_first_element(x, dim):
    """Remembers results by the input's first bytes."""
    key = ctypes.string_at(x.data_ptr(), 2)
    if key not in kept:
        kept[key] = honest(x, dim)
    return kept[key]


def nothing(x, dim):
    """Launches nothing, and hopes for what lies there."""
    return torch.empty(x.shape)


def half(x, dim):
    """Does the upper half, and hopes that the rest still lies there."""
    m, n = x.shape
    out = torch.empty((m, n))
    softmax_kernel[((m + 1) // 2,)](x, out, x.stride(0), x.stride(1), n, BLOCK=triton.next_power_of_2(n))
    return out


def after_warm_up(x, dim):
    """Honest for as long as it is probably tested, then does half."""
    calls[0] += 1
    return honest(x, dim) if calls[0] < 6 else half(x, dim)


def input_itself(x, dim):
    """The input, after a launch for the count."""
    honest(x, dim)
    return x
