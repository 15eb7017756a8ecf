"""The plug-in that gives stock Triton a CPU.

Triton finds it through the entry point group `triton.backends`, name `cpu`, and imports
`compiler` and `driver` from here during `import triton`: neither may import torch or LLVM at
that time. `activate` makes the CPU the active device on a machine that also has a GPU.
"""

from __future__ import annotations


def activate() -> None:
    """Make the CPU Triton's active device in this process, whatever else the machine has."""
    from triton.runtime.driver import driver as triton_driver

    from .driver import CPUDriver

    if type(triton_driver._active) is not CPUDriver:
        triton_driver.set_active(CPUDriver())


def is_active() -> bool:
    """Whether launches go to the CPU now (not to a maker's driver that is built upon ours)."""
    from triton.runtime.driver import driver as triton_driver

    from .driver import CPUDriver

    try:
        return type(triton_driver.active) is CPUDriver
    except RuntimeError:  # several back ends say that they drive this machine, and Triton chooses none
        return False
