"""A program whose kernel writes far outside of its tensor.

Run as `python -m tests.triton_backend.faulty_process`.
"""

import ctypes
import faulthandler

import triton
import triton.language as tl

from anychip.triton_backend import activate


@triton.jit
def far_away(values, distance):
    tl.store(values + distance + tl.program_id(0), 1.0)


class Values:
    """The least that Triton takes for a tensor."""

    dtype = "float32"
    memory = (ctypes.c_float * 64)()

    def data_ptr(self):
        return ctypes.addressof(self.memory)


if __name__ == "__main__":
    faulthandler.enable()
    activate()
    far_away[(1,)](Values(), 1)
    assert list(Values.memory)[:3] == [0, 1, 0]
    far_away[(1,)](Values(), -1 << 40)
