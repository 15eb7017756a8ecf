"""Triton's side of running: the CPU as a device, its launcher, its clock for benchmarks.

Triton asks for a device, a stream, a target, the means to load a binary and to launch it; the
answers come from `anychip.runtime`. Nothing of torch or LLVM is imported before it is needed.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

from . import timing
from .compiler import BACKEND_NAME, CPUBackend, resolve_target, target_identity

DEVICE = -1
"""The CPU's device index. Triton keeps kernels by index alone, and GPUs start at 0."""

_asking = threading.local()


def other_driver_is_active() -> bool:
    """Whether some other back end's driver says that it drives this machine."""
    if getattr(_asking, "now", False):
        return False
    from triton.backends import backends

    _asking.now = True
    try:
        return any(b.driver.is_active() for b in backends.values() if b.compiler is not CPUBackend)
    finally:
        _asking.now = False


class CPUUtilities:
    """Loading of binaries and facts of the device, under the names that Triton calls."""

    def load_binary(
        self, name: str, kernel: bytes, shared: int, device: int
    ) -> tuple[Any, int, int, int, int]:
        """(module, function, n_regs, n_spills, n_max_threads) of a stored binary.

        `function` is the address of the runtime's function record, which `module` keeps alive.
        Tutorials divide by the register count, autotuners discard configurations that spill.
        """
        from ..runtime.function import share

        function = share(kernel, target_identity(resolve_target("")))
        return function, function.address, 32, 0, 1 << 20

    def unload_module(self, module: Any) -> None:
        """The machine code goes with `module`, which Triton drops after this call."""

    def get_device_properties(self, device: int) -> dict[str, int]:
        """The properties that kernels and tuners ask for; sizes are generous, not a GPU's."""
        return {
            "max_shared_mem": 1 << 40,
            "max_num_regs": 65536,
            "multiprocessor_count": os.cpu_count() or 1,
            "warpSize": 32,
            "sm_clock_rate": 0,
            "mem_clock_rate": 0,
            "mem_bus_width": 64,
        }


def make_launcher(source: Any, metadata: Any) -> Any:
    """A callable that Triton launches a kernel with; made once for a compiled kernel."""
    from ..compiler.codegen.check_table import CheckTable
    from ..runtime.launch import launcher
    from .origin import Origin
    from .signature import slot_tree
    from .threads import follow_torch

    follow_torch()
    tree = slot_tree(source.signature.values())
    origin = Origin(source, metadata)
    checks = CheckTable.from_json(metadata.checks) if metadata.checks else None
    return launcher(tree, tuple(metadata.arg_types), metadata.name, origin, checks)


class CPUDriver(DriverBase):
    """The CPU as a Triton device."""

    def __init__(self) -> None:
        super().__init__()
        self.utils = CPUUtilities()
        self.launcher_cls = make_launcher

    @classmethod
    def is_active(cls) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether this driver serves launches: when it is asked for by name, or no GPU's driver is active."""
        if os.environ.get("TRITON_DEFAULT_BACKEND") == BACKEND_NAME:
            return True
        return not other_driver_is_active()

    def map_python_to_cpp_type(self, ty: str) -> str:
        """The C type of a Triton type ("i32", "*fp32", ...)."""
        if ty.startswith("*"):
            return "void*"
        return {
            "i1": "int8_t",
            "i8": "int8_t",
            "i16": "int16_t",
            "i32": "int32_t",
            "i64": "int64_t",
            "u1": "uint8_t",
            "u8": "uint8_t",
            "u16": "uint16_t",
            "u32": "uint32_t",
            "u64": "uint64_t",
            "fp16": "float",
            "bf16": "float",
            "fp32": "float",
            "f32": "float",
            "fp64": "double",
        }[ty]

    def get_current_target(self) -> GPUTarget:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The target "cpu", with the machine at hand as its architecture."""
        return GPUTarget(BACKEND_NAME, "", 32)

    def get_active_torch_device(self) -> Any:
        """PyTorch's CPU."""
        import torch

        return torch.device("cpu")

    def get_current_device(self) -> int:
        """The number of the one device."""
        return DEVICE

    def set_current_device(self, device: int) -> None:
        """There is one CPU; nothing to select."""

    def get_current_stream(self, device: int | None = None) -> int:
        """0: launches are over when they return."""
        return 0

    def get_device_capability(self, device: int | None = None) -> tuple[int, int]:
        """(0, 0): versions of compute capability are NVIDIA's."""
        return (0, 0)

    def get_device_interface(self) -> Any:
        """Events and devices as PyTorch's accelerators have them."""
        return timing.DeviceInterface

    def get_benchmarker(self) -> Any:
        """The function by which Triton's autotuner times."""
        return timing.benchmark

    def get_empty_cache_for_benchmark(self) -> Any:
        """Memory as large as the caches, to be overwritten before a measurement."""
        import torch

        return torch.empty(timing.CACHE_BYTES // 4, dtype=torch.int32)

    def clear_cache(self, cache: Any) -> None:
        """Overwrite that memory, so that measured data is not in the caches."""
        cache.zero_()

    def assemble_tensormap_to_arg(self, tensormaps_info: Any, args: Any) -> Any:
        """Arguments as they are: a CPU has no tensor maps."""
        return args

    def allocate_default_profile_scratch(self, size: int, alignment: int, stream: int | None) -> Any:
        """Zeroed bytes for a profiled kernel."""
        import torch

        return torch.zeros(size, dtype=torch.int8)
