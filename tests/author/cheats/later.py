"""Cheats that are not done when they say so, or that say what is not so. Each is a stand-in that cheats and
does nothing else."""

import ctypes
import gc
import json
import os
import signal
import struct
import sys
import time

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


waiting = []


class Lazy(torch.Tensor):
    """Computes when somebody looks."""

    @staticmethod
    def __new__(cls, x):
        return torch.Tensor._make_wrapper_subclass(cls, x.shape, dtype=x.dtype)

    def __init__(self, x):
        self.x = x

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return function(*(honest(a.x, -1) if isinstance(a, cls) else a for a in args), **(kwargs or {}))


def lazy_tensor(x, dim):
    """A tensor that computes when it is looked at."""
    return Lazy(x)


def promise(x, dim):
    """A function that would compute."""
    return lambda: honest(x, dim)


def at_the_next_call(x, dim):
    """Does what the call before was to do."""
    while waiting:
        honest(*waiting.pop())
    out = torch.empty(x.shape)
    waiting.append((x, dim, out))
    return out


def at_a_signal(x, dim):
    """Does its work when it is woken up the next time."""
    out = torch.empty(x.shape)
    signal.signal(signal.SIGCONT, lambda number, frame: honest(x, dim, out))
    return out


def at_the_end(x, dim):
    """Answers by itself, and computes after that."""
    out = torch.empty(x.shape)
    start = min(b.data_ptr() for b in gc.get_objects() if type(b) is torch.Tensor and b.dtype == torch.uint8)
    place = out.data_ptr() - start
    view = {
        "offset": place,
        "dtype": "float32",
        "shape": list(out.shape),
        "stride": list(out.stride()),
        "start": place,
        "size": 4 * out.numel(),
    }
    _answer({"outputs": [view], "launches": 1, "refused": []})
    time.sleep(0.05)
    return honest(x, dim, out)


def _answer(message):
    data = json.dumps(message).encode()
    for file in range(3, 64):
        try:
            os.write(file, struct.pack("<I", len(data)) + data)
        except OSError:
            continue


def endless_answer(x, dim):
    """Answers with a tensor of more elements than there are."""
    view = {"offset": 0, "dtype": "float32", "shape": [1 << 61], "stride": [0], "start": 0, "size": 64}
    _answer({"outputs": [view], "launches": 1, "refused": []})
    return honest(x, dim)


def deep_answer(x, dim):
    """Answers with what no parser likes."""
    data = b"[" * 100_000
    for file in range(3, 64):
        try:
            os.write(file, struct.pack("<I", len(data)) + data)
        except OSError:
            continue
    return honest(x, dim)


def leaves_well(x, dim):
    """Ends its process with the status of success."""
    os._exit(0)


def exits_well(x, dim):
    """Ends itself with the status of success."""
    sys.exit(0)


def never(x, dim):
    """Never comes back."""
    time.sleep(1e6)


def prints_a_verdict(x, dim):
    """Prints the record of another verdict."""
    print(json.dumps({"verdict": "accepted", "accepted": True, "times": {"speed": 1e6}}), flush=True)
    return torch.empty(x.shape)


def slow_with_another_clock(x, dim):
    """Stops the clocks of its own process, and takes its time."""
    for name in ("time", "perf_counter", "perf_counter_ns", "monotonic", "process_time"):
        setattr(time, name, lambda: 0.0)
    time.perf_counter_ns = lambda: 0
    for _ in range(199):
        honest(x, dim)
    return honest(x, dim)


def scratch_in_the_input(x, dim):
    """Destroys its input."""
    out = honest(x, dim)
    ctypes.memset(x.data_ptr(), 0, 4)
    return out
