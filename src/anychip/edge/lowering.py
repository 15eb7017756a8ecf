"""The kernels of a launch list as LLVM IR for another chip.

Each different TTIR text is lowered once, under a symbol of its own that only its library sees. What a
chip cannot run, or a library must not do, is refused here, before anything is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..compiler import pipeline
from ..compiler.errors import CompileError
from ..compiler.targets import Target
from ..runtime.program import LaunchList
from .errors import ExportError
from .exported import identifier

_F64_TENSOR = re.compile(r"ptr<f64|xf64>")
"""Memory or tiles of double precision; a scalar argument of it is cheap in software."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel: `name` as its author calls it, `symbol` in the library, scratch memory of one program
    (status block included), TTIR types of its slots, texts of its assertions."""

    name: str
    symbol: str
    llvm_ir: str
    arena_bytes: int
    arg_types: tuple[str, ...]
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lowered:
    """The kernels of a list, and which of them each launch runs."""

    kernels: tuple[Kernel, ...]
    of_launch: tuple[int, ...]


def lower(launches: LaunchList, target: Target, library: str) -> Lowered:
    """Raises ExportError for a kernel that cannot run on `target`."""
    numbers: dict[str, int] = {}
    kernels: list[Kernel] = []
    of_launch: list[int] = []
    for recorded in launches.launches:
        if recorded.origin is None:
            raise ExportError(
                f"kernel {recorded.function.name} was not launched through Triton, so its source is unknown\n"
                "  Launch it as a @triton.jit function."
            )
        text = recorded.origin.ttir()
        if text not in numbers:
            numbers[text] = len(kernels)
            symbol = f"{library}_kernel{len(kernels)}_{identifier(recorded.function.name)}"
            kernels.append(_kernel(recorded.function.name, symbol, text, target))
        of_launch.append(numbers[text])
    return Lowered(tuple(kernels), tuple(of_launch))


def _kernel(name: str, symbol: str, text: str, target: Target) -> Kernel:
    if not target.f64 and _F64_TENSOR.search(text):
        raise ExportError(
            f"kernel {name} computes in double precision, which {target.name} does not have in hardware\n"
            "  Convert the model and its inputs to float32, or choose another chip."
        )
    try:
        lowered = pipeline.lower(text, target)
    except CompileError as error:
        raise ExportError(f"kernel {name} cannot be compiled for {target.name}: {error}") from error
    if lowered.waiting:
        raise ExportError(
            f"kernel {name} has programs that wait for each other ({lowered.waits_at}), and a library runs "
            "them one after the other\n  Split the kernel in two where it waits: launches follow each other."
        )
    if "@printf" in lowered.llvm_ir:
        raise ExportError(
            f"kernel {name} prints, and a library has nowhere to print to\n  Remove tl.device_print from it."
        )
    own = f'@"{lowered.symbol}"'
    llvm_ir = lowered.llvm_ir.replace(f"define void {own}", f'define void @"{symbol}"')
    return Kernel(name, symbol, llvm_ir, lowered.arena_bytes, lowered.arg_types, lowered.messages)
