"""The chip as Triton sees it. Flows in: binaries of `compiler`, launches. Flows out: results in the chip's
memory; in this template the chip is the machine at hand, by Anychip's CPU runtime."""

from __future__ import annotations

import os

from triton.backends.compiler import GPUTarget

from anychip.triton_backend import driver as stand_in

# Triton takes the one subclass of DriverBase that it finds in this module: import no other by its name.


class AcmeDriver(stand_in.CPUDriver):
    """Drives Acme One. A real driver asks its own runtime for devices, streams and memory."""

    @classmethod
    def is_active(cls) -> bool:
        """Whether the chip is in this machine; the stand-in is there when it is asked for."""
        return os.environ.get("TRITON_DEFAULT_BACKEND") == "acme"

    def get_current_target(self) -> GPUTarget:
        """Back end, architecture and warp size, as `AcmeBackend` takes them; "" is the machine at hand."""
        return GPUTarget("acme", "", 32)

    def get_current_device(self) -> int:
        return 0
