"""A program for the cache tests: adds by a Triton kernel and prints how often it compiled.

It needs no torch (the tensors are ctypes arrays), so with Triton 3.8 and later it starts fast and
has no OpenMP either.
Run as `python -m tests.triton_backend.bare_process BLOCK`.
"""

import ctypes
import sys

import triton
import triton.language as tl

from anychip.compiler import pipeline
from anychip.runtime import launches
from anychip.triton_backend import activate, compiler

N = 1000


@triton.jit
def bare_add(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
    tl.store(out_ptr + offsets, x + x, mask=offsets < n)


class Array:
    """The least that Triton takes for a tensor."""

    dtype = "float32"

    def __init__(self, values):
        self.memory = (ctypes.c_float * N)(*values)

    def data_ptr(self):
        return ctypes.addressof(self.memory)


def main() -> None:
    compile_ttir, compilations = pipeline.compile_ttir, []

    def counted(*arguments, **options):
        compilations.append(arguments)
        return compile_ttir(*arguments, **options)

    pipeline.compile_ttir = counted
    compiler.compiler_fingerprint = lambda: "the same while sources are edited"
    activate()
    block = int(sys.argv[1])
    x, out = Array(range(N)), Array([-1.0] * N)
    print("started", flush=True)
    bare_add[(triton.cdiv(N, block),)](x, out, N, BLOCK=block)
    assert list(out.memory) == [2.0 * i for i in range(N)]
    assert launches.count("bare_add") == 1
    print("right, compiled", len(compilations))


if __name__ == "__main__":
    main()
