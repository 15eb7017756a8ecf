"""A kernel in a file as the tuned of a search. Flows in: what the user wrote on the command line. Flows
out: the kernel with types, constants, values and a grid; or what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...inspect.kernel_file import jit_function, load_kernel
from ...inspect.signature import TILE_NAME, pairs, parse_constant, settle
from ..errors import CommandError

if TYPE_CHECKING:
    from ...tune.kernels import TunedKernel


def tuned_kernel(
    text: str, arg: Sequence[str], sig: Sequence[str], const: Sequence[str], grid: str, elements: int
) -> TunedKernel:
    """The tuned for `FILE.py:KERNEL`. Raises CommandError for what is unknown, or not said."""
    from ...tune.kernels import TunedKernel

    file, _, name = text.rpartition(":")
    if not file:
        raise CommandError(f"{text!r} names no kernel.", "Write FILE.py:KERNEL.")
    loaded = load_kernel(Path(file), name)
    fixed = pairs(const, "--const")
    signature = settle(loaded, pairs(sig, "--sig"), fixed)
    scalars = _scalars(name, signature.types, pairs(arg, "--arg"), elements)
    tunable = tuple(
        key
        for key, value in signature.constants.items()
        if TILE_NAME.search(key) and key not in fixed and _is_power_of_two(value)
    )
    configurations = tuple(
        config.kwargs for config in _configurations(loaded) if not set(config.kwargs) & set(fixed)
    )
    return TunedKernel(
        name=f"{Path(file).name}:{name}",
        kernel=jit_function(loaded),
        types={
            key: "fp32" if isinstance(scalars.get(key), float) else t for key, t in signature.types.items()
        },
        constants=signature.constants,
        scalars=scalars,
        elements=elements,
        grid=_grid(name, grid, scalars, tunable),
        tunable=() if configurations else tunable,
        configurations=configurations,
    )


def _configurations(kernel: Any) -> list[Any]:
    """The configurations of an autotuner around the kernel that differ on this chip; none without one."""
    from ...triton_backend.autotuning import distinct

    layer = kernel
    while layer is not None:
        found = getattr(layer, "configs", None)
        if found:
            return distinct(found, jit_function(kernel).arg_names)
        layer = getattr(layer, "fn", None)
    return []


def _scalars(
    name: str, types: Mapping[str, str], given: Mapping[str, str], elements: int
) -> dict[str, float]:
    """Values of all parameters that are numbers; the only integer is taken to be the number of elements."""
    numbers = [key for key, kind in types.items() if kind != "constexpr" and not kind.startswith("*")]
    for key in given:
        if key not in numbers:
            raise CommandError(f"--arg {key}: kernel {name} has no such number.", f"It has {numbers}.")
    found: dict[str, Any] = {key: parse_constant(value) for key, value in given.items()}
    missing = [key for key in numbers if key not in found]
    if len(missing) == 1 and types[missing[0]].startswith(("i", "u")):
        found[missing.pop()] = elements
    if missing:
        words = " ".join(f"--arg {key}=VALUE" for key in missing)
        raise CommandError(f"kernel {name}: values are needed of {', '.join(missing)}.", f"Give {words}.")
    return found


def _grid(name: str, grid: str, scalars: Mapping[str, float], tunable: Sequence[str]) -> tuple[str, ...]:
    """The expressions of the grid; for one size and one number, as many programs as cover the number."""
    if grid:
        return tuple(part.strip() for part in _split(grid))
    if len(scalars) == 1 and len(tunable) == 1:
        return (f"cdiv({next(iter(scalars))}, {tunable[0]})",)
    size = tunable[0] if tunable else "BLOCK"
    raise CommandError(f"kernel {name}: the grid is needed.", f"For example: --grid 'cdiv(N, {size})'")


def _split(text: str) -> list[str]:
    """Parts between commas that are in no parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _is_power_of_two(value: Any) -> bool:
    return type(value) is int and value > 0 and value & (value - 1) == 0
