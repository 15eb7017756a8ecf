"""Launches without a plan. Flows in: a kernel with all of its arguments. Flows out: a launch; on a CPU what
was compiled for arguments of the same kind is called without going through Triton's binder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import triton

from .compiling import launch_by_triton
from .counting import count_launch
from .plans import Plans


class _Ready(NamedTuple):
    """A compiled kernel, the values of its constants in their order, and what its key is made of."""

    compiled: Any
    constants: tuple[Any, ...]
    named: tuple[Any, ...]


_ready: Plans[_Ready] = Plans()


def _key(kernel: Any, arguments: tuple[Any, ...], constants: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a compiled kernel depends on: types and alignment of tensors, what Triton compiles integers
    for, and constants as they are. Objects are known by their identity; `_Ready` keeps them alive."""
    key: list[Any] = [id(kernel)]
    for x in arguments:
        if isinstance(x, torch.Tensor):
            key.append(x.dtype)
            key.append(x.data_ptr() & 15)
        elif type(x) is int:
            wide = 0 if -0x80000000 <= x < 0x80000000 else 4 if x < 1 << 63 else 8
            key.append(wide + (1 if x == 1 else 0 if x & 15 else 2))
        elif isinstance(x, tuple):
            key.append(_key(kernel, x, {}))
        else:
            key.append(x)
            key.append(type(x))
    for name, value in constants.items():
        key.append(name)
        key.append(value if type(value) in (int, float) else id(value))
    return tuple(key)


def _remember(
    key: tuple[Any, ...], kernel: Any, compiled: Any, given: int, constants: Mapping[str, Any]
) -> None:
    """Keep a compiled kernel, unless an argument that the key knows by its kind is a constant."""
    parameters = kernel.params
    names = kernel.arg_names[given:]
    if not hasattr(compiled, "packed_metadata") or any(p.is_constexpr for p in parameters[:given]):
        return
    if all(name in constants for name in names):
        values = tuple(constants[name] for name in names)
        _ready.remember(key, _Ready(compiled, values, (kernel, *constants.values())))


def launch(
    kernel: Any, programs: int | tuple[int, ...], *arguments: Any, label: str = "", **constants: Any
) -> None:
    """Launch `kernel` once, over `programs` program instances (nothing happens for zero), without a
    plan. `label` becomes part of the name under which the launch is counted. Raises NotServed for a complex
    tensor."""
    grid = (programs,) if isinstance(programs, int) else programs
    if 0 in grid:
        return
    name = f"{kernel.__name__}[{label}]" if label else kernel.__name__
    count_launch(name)
    device = next(x.device for x in arguments if isinstance(x, torch.Tensor))
    hooks = triton.knobs.runtime
    direct = device.type == "cpu" and not hooks.launch_enter_hook.calls and not hooks.launch_exit_hook.calls
    key = _key(kernel, arguments, constants) if direct else ()
    ready = _ready.get(key) if direct else None
    if ready is not None:
        compiled = ready.compiled
        compiled.run(
            *(*grid, 1, 1)[:3],
            0,
            compiled.function,
            compiled.packed_metadata,
            None,
            hooks.launch_enter_hook,
            hooks.launch_exit_hook,
            *arguments,
            *ready.constants,
        )
        return
    compiled = launch_by_triton(name, kernel, grid, arguments, constants)
    if direct:
        _remember(key, kernel, compiled, len(arguments), constants)
