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

    if not isinstance(triton_driver._active, CPUDriver):
        triton_driver.set_active(CPUDriver())


def is_active() -> bool:
    """Whether launches go to the CPU now."""
    from triton.runtime.driver import driver as triton_driver

    from .driver import CPUDriver

    return isinstance(triton_driver.active, CPUDriver)
