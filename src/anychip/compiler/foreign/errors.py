"""Errors of compiling for chips that are not here."""

from __future__ import annotations

from ...chips import Chip
from ..errors import CompileError


class OutOfSharedMemory(CompileError):
    """A kernel was compiled that no workgroup of the GPU has the shared memory for."""

    def __init__(self, kernel: str, taken: int, limit: int, target: str):
        super().__init__(
            f"kernel {kernel!r} takes {taken} bytes of shared memory, of which a workgroup of {target} may "
            f"have {limit}",
            hint="Smaller tiles or fewer stages take less.",
        )


class PluginNeeded(CompileError):
    """The chip's maker brings its compiler as a back end of Triton's, which works on its own machine."""

    def __init__(self, chip: Chip):
        assert chip.plugin is not None
        super().__init__(
            f"{chip.identifier} is compiled for by its maker's own Triton back end {chip.plugin.backend!r}",
            hint=f"Run on a machine with {chip.plugin.package}; tensors on device {chip.plugin.device!r} "
            "then reach it.",
        )
