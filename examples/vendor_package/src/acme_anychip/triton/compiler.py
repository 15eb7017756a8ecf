"""From a kernel to a binary. Flows in: Triton's module of a kernel. Flows out: Acme's machine code; in this
template that of the machine at hand, by Anychip's CPU compiler."""

from __future__ import annotations

from triton.backends.compiler import GPUTarget

from anychip.triton_backend import compiler as stand_in

# Triton takes the one subclass of BaseBackend that it finds in this module: import no other by its name.


class AcmeBackend(stand_in.CPUBackend):
    """Compiles for targets of the back end `acme`."""

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        return target.backend == "acme"

    def hash(self) -> str:
        """Part of the key of cached kernels: it names the compiler, its version and the chip."""
        return f"acme-0.1.0-{super().hash()}"
