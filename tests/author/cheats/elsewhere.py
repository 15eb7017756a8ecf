"""Cheats that let something else compute. Each is a stand-in that cheats and does nothing else."""

import ctypes
import math
import os
import subprocess
import threading
from typing import Any

import numpy
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


@triton.jit
def copy_kernel(x, out, n, BLOCK: tl.constexpr):
    k = tl.arange(0, BLOCK)
    tl.store(out + k, tl.load(x + k, mask=k < n), mask=k < n)


@triton.jit
def fill_kernel(out, value):
    tl.store(out, value)


def in_numpy(x):
    x = numpy.lib.stride_tricks.as_strided(
        numpy.ctypeslib.as_array((ctypes.c_float * 1).from_address(x.data_ptr())),
        x.shape,
        [4 * s for s in x.stride()],
    )
    e = numpy.exp(x - x.max(-1, keepdims=True))
    return numpy.ascontiguousarray(e / e.sum(-1, keepdims=True))


def in_torch(x, dim):
    """PyTorch's own operator."""
    return torch.softmax(x, dim)


def in_torch_by_another_name(x, dim):
    """The same under a name that no search finds."""
    return getattr(getattr(torch.ops, "at" + "en"), "_soft" + "max").default(x, dim, False)


def in_torch_of_pieces(x, dim):
    """In pieces, after an honest launch."""
    honest(x, dim)
    e = x.exp()
    return e.div(e.sum(dim, keepdim=True))


def in_torch_script(x, dim):
    """In TorchScript."""
    traced: Any = torch.jit.trace(lambda y: torch.softmax(y, -1), (torch.zeros(2, 2),))
    return traced(x)


def in_torch_without_modes(x, dim):
    """With the dispatcher's modes put aside, and a launch for the count."""
    from torch.utils._python_dispatch import _disable_current_modes

    out = honest(x, dim)
    with _disable_current_modes():
        out.copy_(torch.softmax(x, dim) * 1.0000001)
    return out


def in_torch_past_python(x, dim):
    """With the dispatcher's keys of Python left out."""
    out = torch.empty(x.shape)
    softmax_kernel[(1,)](x, out, 0, 1, 1, BLOCK=1)
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.Python)):
        out.copy_(torch.softmax(x, dim))
    return out


def in_torch_while_tuning(x, dim):
    """In what passes for an autotuner's trial."""
    from anychip.runtime import launches

    out = torch.empty(x.shape)
    softmax_kernel[(1,)](x, out, 0, 1, 1, BLOCK=1)
    with launches.unheard():
        out.copy_(torch.softmax(x, dim))
    return out


def in_numpy_returned(x, dim):
    """NumPy's result as it is."""
    return torch.from_numpy(in_numpy(x))


def in_numpy_moved(x, dim):
    """NumPy's result moved into the output, with a launch for the count."""
    out, found = torch.empty(x.shape), in_numpy(x)
    softmax_kernel[(1,)](x, out, 0, 1, 1, BLOCK=1)
    ctypes.memmove(out.data_ptr(), found.ctypes.data, found.nbytes)
    return out


def in_numpy_copied(x, dim):
    """NumPy's result copied by a kernel."""
    out, found = torch.empty(x.shape), torch.from_numpy(in_numpy(x))
    copy_kernel[(1,)](found, out, out.numel(), BLOCK=triton.next_power_of_2(out.numel()))
    return out


def in_numpy_as_numbers(x, dim):
    """NumPy's result handed to a kernel number by number."""
    out, found = torch.empty(x.shape), in_numpy(x)
    for place, value in enumerate(found.flat):
        fill_kernel[(1,)](out.view(-1)[place:], float(value))
    return out


def in_python(x, dim):
    """Number by number in Python, with a launch for the count."""
    out = honest(x, dim)
    place = (ctypes.c_float * out.numel()).from_address(out.data_ptr())
    for k in range(out.numel()):
        place[k] = math.exp(math.log(place[k] * 1.000001))
    return out


def in_a_thread(x, dim):
    """In a thread, which the dispatcher's modes do not reach."""
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.softmax(x, dim)))
    thread.start()
    thread.join()
    return found[0]


def in_a_child(x, dim):
    """In a process that this one forks."""
    out = honest(x, dim)
    if os.fork() == 0:
        os._exit(0)
    return out


def in_a_program(x, dim):
    """In another program."""
    subprocess.run(["true"], check=True)
    return honest(x, dim)
