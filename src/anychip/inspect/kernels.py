"""The kernels that a user names: one in a file, or those that an operator of the library launches.

Flows in: a file and a kernel's name, or an operator's name. Flows out: `InspectedKernel`s, each with TTIR
text that the compiler and stock Triton's GPU back ends take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..suggestions import did_you_mean
from .errors import InspectionError


@dataclass(frozen=True)
class InspectedKernel:
    """One kernel: its TTIR, the types and constants it was made for, and which of them were guessed."""

    name: str
    ttir: str
    signature: dict[str, str]
    assumed: tuple[str, ...] = ()
    options: dict[str, int] = field(default_factory=dict)


def in_file(path: Path, name: str, sig: Sequence[str], const: Sequence[str]) -> InspectedKernel:
    """The kernel `name` of a Python file, for the types and constants that the user gave."""
    from .kernel_file import load_kernel
    from .signature import pairs, settle
    from .ttir import ttir_text

    types, constants = pairs(sig, "--sig"), pairs(const, "--const")
    kernel = load_kernel(path, name)
    signature = settle(kernel, types, constants)
    return InspectedKernel(
        name, ttir_text(kernel, signature), signature.describe(), signature.assumed, signature.options
    )


def of_operator(name: str) -> list[InspectedKernel]:
    """The kernels that an operator's first benchmark, or else its first sample, launches."""
    import torch

    from ..ops import registry
    from ..triton_backend import activate
    from .compilations import compilations

    known = registry.operators()
    if name not in known:
        raise InspectionError(
            f"there is no operator {name!r}; for a kernel in a file write FILE.py:KERNEL.",
            did_you_mean(name, known),
        )
    operator = known[name]
    overloads = {overload.name: overload for overload in operator.overloads}
    if operator.benchmarks:
        benchmark = operator.benchmarks[0]
        overload, sample = overloads[benchmark.overload], benchmark.sample(torch.float32)
    else:
        overload, sample = next(
            (overload, sample)
            for overload in operator.overloads
            for sample in overload.samples(torch.float32)
        )
    activate()
    with compilations() as made, torch.no_grad():
        overload.implementation(*sample.arguments, **sample.keywords)
    if not made:
        raise InspectionError(f"operator {name} launched no kernel for its sample.")
    return [
        InspectedKernel(
            compilation.kernel,
            compilation.ttir,
            compilation.signature,
            options={"num_warps": compilation.num_warps, "num_stages": compilation.num_stages},
        )
        for compilation in made
    ]
