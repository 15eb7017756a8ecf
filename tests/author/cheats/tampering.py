"""Cheats that reach for the judge. Each is a stand-in that tries one door, and gives nothing right
otherwise."""

import ctypes
import gc
import os
import socket
from typing import Any

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


def wrong(x):
    """Zeros, by an honest launch."""
    out = torch.zeros(x.shape)
    softmax_kernel[(1,)](x, out, 0, 1, 1, BLOCK=1)
    return out


def reads_the_judge(x, dim):
    """Looks for the expected result in the memory of the process before it."""
    with open(f"/proc/{os.getppid()}/mem", "rb") as memory:
        memory.read(1)
    return wrong(x)


def reads_all_processes(x, dim):
    """Looks for any process."""
    assert [name for name in os.listdir("/proc") if name.isdigit()]
    return wrong(x)


def reads_by_a_call(x, dim):
    """Asks the system for the memory of another process."""
    library = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(8)
    pieces = (ctypes.c_size_t * 2)(ctypes.addressof(room), 8)
    if library.process_vm_readv(os.getppid() or 1, pieces, 1, pieces, 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")
    return wrong(x)


def stops_the_judge(x, dim):
    """Has the process before it stand still."""
    os.kill(os.getppid(), 19)
    return wrong(x)


def telephones(x, dim):
    """Asks somebody else."""
    socket.socket().close()
    return wrong(x)


def writes_outside(x, dim):
    """Leaves a file where the judge might look."""
    with open("/verdict.json", "w") as file:
        file.write("accepted")
    return wrong(x)


def reads_keys(x, dim):
    """Looks for the judge's key."""
    os.listdir("/etc")
    return wrong(x)


def equal_to_all(x, dim):
    """Replaces what would compare, if that were done here."""
    torch.equal = torch.allclose = torch.testing.assert_close = lambda *args, **kwargs: True
    tensors: Any = torch.Tensor
    tensors.__eq__ = lambda self, other: torch.ones(self.shape, dtype=torch.bool)
    return wrong(x)


def without_guard(x, dim):
    """Takes the guard out of the dispatcher's way, and lets PyTorch compute into memory of the call."""
    from anychip.author.guard import Guard

    Guard.__torch_dispatch__ = lambda self, func, types, args=(), kwargs=None: func(*args, **(kwargs or {}))
    out = honest(x, dim)
    out.copy_(torch.softmax(x, dim))
    return out


def forged_steps(x, dim):
    """Reports the steps of an honest call for one that PyTorch computed."""
    from anychip.author.guard import Guard

    guard = next(g for g in gc.get_objects() if isinstance(g, Guard) and not g.steps)
    out = honest(x, dim)
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.Python)):
        found = torch.softmax(x.double(), dim).float()
    ctypes.memmove(out.data_ptr(), found.data_ptr(), 4 * out.numel())
    assert guard.launch_count
    return out


def checks_off(x, dim):
    """Writes behind its output, with the variable for checks unset."""
    os.environ["ANYCHIP_SANITIZE"] = "0"
    m, n = x.shape
    out = torch.empty((m, n))
    softmax_kernel[(m + 1,)](x, out, 0, x.stride(1), n, BLOCK=triton.next_power_of_2(n))
    softmax_kernel[(m,)](x, out, x.stride(0), x.stride(1), n, BLOCK=triton.next_power_of_2(n))
    return out
