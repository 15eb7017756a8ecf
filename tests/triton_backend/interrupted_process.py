"""A program without torch, hence without OpenMP, whose launches are interrupted.

Run as `python -m tests.triton_backend.interrupted_process`.
"""

import ctypes
import os
import signal
import threading

from tests.triton_backend import waiting_kernels as kernels

from anychip.runtime import launches, native
from anychip.runtime.function import at
from anychip.runtime.program import LaunchList, MemoryBlock, MemoryKind, Pointer, RecordedLaunch
from anychip.triton_backend import activate


class Numbers:
    """The least that Triton takes for a tensor."""

    def __init__(self, dtype, memory):
        self.dtype = dtype
        self.memory = memory

    def data_ptr(self):
        return ctypes.addressof(self.memory)


def interrupted(launch):
    sender = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    sender.start()
    try:
        launch()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sender.join()


def replay(flag):
    with launches.record() as made:
        flag.memory[0] = 1
        kernels.stuck[(50,)](flag)
    (launch,) = made
    flag.memory[0] = 0
    step = RecordedLaunch(at(launch.function), launch.grid, launch.slots, (Pointer(0, 0, 0, 4),))
    LaunchList([step], [MemoryBlock(MemoryKind.INPUT, 4)]).replay([flag.data_ptr()])


if __name__ == "__main__":
    activate()
    out, flag = Numbers("float32", (ctypes.c_float * 64)()), Numbers("int32", (ctypes.c_int32 * 1)(1))
    kernels.run_on[(40,)](out, 0)
    kernels.stuck[(50,)](flag)
    flag.memory[0] = 0
    interrupted(lambda: kernels.run_on[(40,)](out, 1))
    interrupted(lambda: kernels.stuck[(50,)](flag))
    interrupted(lambda: replay(flag))
    kernels.run_on[(40,)](out, 0)
    assert not native.state().state.run_team
    print("right")
