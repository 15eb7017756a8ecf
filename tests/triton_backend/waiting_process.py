"""A program without torch, hence without OpenMP: threads are the runtime's own.

Prints once from each program of a kernel when all of them have come to a barrier.
Run as `python -m tests.triton_backend.waiting_process`.
"""

import ctypes

from tests.triton_backend import waiting_kernels as kernels

from anychip.runtime import native
from anychip.triton_backend import activate

PROGRAMS = 40


class Count:
    """The least that Triton takes for a tensor."""

    dtype = "int32"
    memory = ctypes.c_int32(0)

    def data_ptr(self):
        return ctypes.addressof(self.memory)


if __name__ == "__main__":
    activate()
    kernels.printing_barrier[(PROGRAMS,)](Count(), PROGRAMS)
    print("own threads", not native.state().state.run_team, Count.memory.value)
