"""The one place where operators launch kernels: chooses tiles by the class of the chip that holds the
tensors, and keeps the count of launches per kernel that tests and reports read."""

from __future__ import annotations

import struct
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
import triton
import triton.language as tl
from triton.runtime.driver import driver as triton_driver

from .. import triton_backend
from ..triton_backend import drivers
from ..tuning.size_class import NEAR, exponent
from .errors import NotServed

launches: Counter[str] = Counter()
"""Launches since the start, by kernel name; `flat_kernel[tanh]` where a machinery runs a function."""


class Attribution(threading.local):
    """Whom this thread's launches are counted for: `counter` gets them, too. `seconds` is the time spent
    in operators so far, from which their own time is told apart from that of operators inside."""

    counter: Counter[str] | None = None
    seconds: float = 0.0


attribution = Attribution()


class TritonDtypes(dict[torch.dtype, tl.dtype]):
    """Triton's type of each of PyTorch's that kernels take; NotServed for another."""

    def __missing__(self, dtype: torch.dtype) -> tl.dtype:
        raise NotServed("a kernel", f"dtype {dtype} is not served")


TRITON_DTYPES = TritonDtypes(
    {
        torch.bool: tl.int1,
        torch.int8: tl.int8,
        torch.int16: tl.int16,
        torch.int32: tl.int32,
        torch.int64: tl.int64,
        torch.uint8: tl.uint8,
        torch.uint16: tl.uint16,
        torch.uint32: tl.uint32,
        torch.uint64: tl.uint64,
        torch.float16: tl.float16,
        torch.bfloat16: tl.bfloat16,
        torch.float32: tl.float32,
        torch.float64: tl.float64,
    }
)

EIGHT_BIT_FLOATS: dict[torch.dtype, tl.dtype] = {
    torch.float8_e4m3fn: tl.float8e4nv,
    torch.float8_e5m2: tl.float8e5,
    torch.float8_e4m3fnuz: tl.float8e4b8,
    torch.float8_e5m2fnuz: tl.float8e5b16,
}
"""Triton's types of PyTorch's 8-bit floats, which few kernels take and not every chip has."""

COMPUTE_DTYPES: dict[torch.dtype, torch.dtype] = {
    torch.bool: torch.int8,
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
}
"""Types whose arithmetic is done in another type; what is not listed computes in itself."""


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of `dtype` are computed (PyTorch's `opmath`)."""
    return COMPUTE_DTYPES.get(dtype, dtype)


tile_class = ""
"""The class of tiles for every launch, "simt" or "simd"; "": that of the device. Set where kernels are made
for a chip that is not here."""


def has_vectors(device: torch.device) -> bool:
    """Whether kernels for a device are made for the class of CPUs and vector cores, not for that of GPUs."""
    return tile_class == "simd" or (not tile_class and device.type == "cpu")


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Tile sizes for the two classes of chip: `simt` (GPUs) and `simd` (CPUs, vector cores). Sizes that
    were tuned for the CPU at hand, or ship for its kind, take the place of the latter (see `tuned`)."""

    simt: Mapping[str, int] = field(default_factory=dict)
    simd: Mapping[str, int] = field(default_factory=dict)
    home: str = field(default="", init=False)
    """The module that made it, which its name is told by."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", sys._getframe(2).f_globals["__name__"])

    def on(self, where: torch.Tensor | torch.device) -> Mapping[str, int]:
        """The sizes for the class of chip that a device is, or that holds a tensor; with a tensor, those of
        its dtype and class of sizes."""
        if not has_vectors(where if isinstance(where, torch.device) else where.device):
            return self.simt
        if readers is not None:
            readers.append((self, class_of(where)))
        classes = tuned_sizes.get(self)
        return self.simd if classes is None else _nearest(classes, class_of(where)) or self.simd


SizeClass = tuple[str, int]
"""A dtype and the exponent of a number of elements (see `tuning.size_class`)."""
ANY: SizeClass = ("", -1)

tuned_sizes: dict[Tiles, Mapping[SizeClass, Mapping[str, int]]] = {}
"""Sizes that were found to be faster on this CPU; written by `tuned`."""

readers: list[tuple[Tiles, SizeClass]] | None = None
"""Gets the tiles whose sizes are asked for, while somebody wants to know."""


def class_of(where: torch.Tensor | torch.device) -> SizeClass:
    """The class of a tensor; ANY for a device."""
    if isinstance(where, torch.device):
        return ANY
    return str(where.dtype).removeprefix("torch."), exponent(where.numel())


def _nearest(classes: Mapping[SizeClass, Mapping[str, int]], wanted: SizeClass) -> Mapping[str, int] | None:
    """What was found for the class, or for one at most a power of four away, or for any."""
    dtype, size = wanted
    near = [c for c in classes if c[0] == dtype and abs(c[1] - size) <= NEAR]
    return classes[min(near, key=lambda c: abs(c[1] - size))] if near else classes.get(ANY)


def scalar_bits(value: float | int | bool, floating: bool) -> int:
    """A Python number as 64 bits: the pattern of a double if `floating`, else the integer itself.
    Kernels take scalars so, because Triton passes a Python float in single precision."""
    if not floating:
        return int(value)
    return struct.unpack("<q", struct.pack("<d", float(value)))[0]


@contextmanager
def active_on(device: torch.device) -> Iterator[None]:
    """Triton's driver and PyTorch's current device are those of `device` inside the block: a machine
    with a GPU has tensors of both kinds."""
    if device.type != "cpu":
        wanted = drivers.driver_of(device.type)
        before = triton_driver._active
        triton_driver.set_active(wanted)
        try:
            with torch.get_device_module(device).device(device):
                yield
        finally:
            triton_driver.set_active(before)  # pyright: ignore[reportArgumentType] (None: not chosen yet)
    elif triton_backend.is_active():
        yield
    else:
        before = triton_driver._active
        triton_backend.activate()
        try:
            yield
        finally:
            triton_driver.set_active(before)  # pyright: ignore[reportArgumentType] (None: not chosen yet)


def _refuse_complex(kernel: str, arguments: tuple[Any, ...]) -> None:
    """Raise NotServed for a complex tensor: kernels take its real view."""
    for x in arguments:
        if isinstance(x, torch.Tensor) and x.is_complex():
            raise NotServed(kernel, f"dtype {x.dtype} is not served")


PLANS_KEPT = 4096
"""Plans that one operator remembers; beyond, it forgets them all and begins anew."""


def signature(*operands: Any) -> tuple[Any, ...]:
    """What a plan depends on: dtype, shape, strides and device of tensors, the other operands as they are."""
    return tuple(
        (x.dtype, x.shape, x.stride(), x.device) if isinstance(x, torch.Tensor) else x for x in operands
    )


class Plan:
    """A launch with everything settled but its tensors and numbers.

    Kernels take, in this order: tensors (or None), `sizes`, numbers, constants. `result` is what the
    operator wants to remember with the plan, such as the shape of its output. The compiled kernel is
    kept for each combination of unaligned tensors, and called without going through Triton's binder.
    """

    __slots__ = ("constants", "grid", "kernel", "name", "ready", "result", "sizes")

    def __init__(
        self,
        kernel: Any,
        programs: int | tuple[int, ...],
        sizes: tuple[Any, ...],
        constants: Mapping[str, Any],
        *,
        label: str = "",
        result: Any = None,
    ):
        grid = (programs,) if isinstance(programs, int) else programs
        self.kernel = kernel
        self.grid = (*grid, 1, 1)[:3]
        self.sizes = sizes
        self.constants = constants
        self.name = f"{kernel.__name__}[{label}]" if label else kernel.__name__
        self.result = result
        self.ready: dict[int, tuple[Any, Any, Any, Any, tuple[Any, ...]]] = {}

    def launch(self, *tensors: torch.Tensor | None, numbers: tuple[int, ...] = ()) -> None:
        """Launch over the plan's grid (nothing happens for an empty one)."""
        if 0 in self.grid:
            return
        launches[self.name] += 1
        counter = attribution.counter
        if counter is not None:
            counter[self.name] += 1
        unaligned = 0
        device = None
        for x in tensors:
            unaligned <<= 1
            if x is not None:
                if x.data_ptr() & 15:
                    unaligned |= 1
                device = x.device
        ready = self.ready.get(unaligned)
        runtime = triton.knobs.runtime
        if ready is None or runtime.launch_enter_hook.calls or runtime.launch_exit_hook.calls:
            self._first(unaligned, tensors, numbers)
            return
        run, function, metadata, _, constants = ready
        if device is None or device.type == "cpu":
            run(
                *self.grid, 0, function, metadata, None,
                runtime.launch_enter_hook, runtime.launch_exit_hook,
                *tensors, *self.sizes, *numbers, *constants,
            )  # fmt: skip
            return
        with active_on(device):
            run(
                *self.grid, triton_driver.active.get_current_stream(device.index), function, metadata, None,
                runtime.launch_enter_hook, runtime.launch_exit_hook,
                *tensors, *self.sizes, *numbers, *constants,
            )  # fmt: skip

    def _first(self, unaligned: int, tensors: tuple[Any, ...], numbers: tuple[int, ...]) -> None:
        """Launch by way of Triton, which compiles, and keep what it compiled."""
        _refuse_complex(self.name, tensors)
        with active_on(next(x.device for x in tensors if x is not None)):
            compiled = _compiled(
                self.kernel, self.grid, (*tensors, *self.sizes, *numbers), dict(self.constants)
            )
        if not hasattr(compiled, "packed_metadata"):
            return
        given = len(tensors) + len(self.sizes) + len(numbers)
        constants = tuple(self.constants[name] for name in self.kernel.arg_names[given:])
        self.ready[unaligned] = (
            compiled.run,
            compiled.function,
            compiled.packed_metadata,
            compiled,
            constants,
        )


First = Callable[[Any, tuple[int, ...], tuple[Any, ...], dict[str, Any]], Any]

first: First | None = None
"""Does the first launch of a plan in Triton's place, while a search tries schedules: gets the kernel, the
grid, arguments and constants, and returns what was compiled."""


def _compiled(
    kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], constants: dict[str, Any]
) -> Any:
    """Launch by way of Triton, which compiles what is not compiled yet; returns the compiled kernel."""
    if first is not None:
        return first(kernel, grid, arguments, constants)
    return kernel[grid](*arguments, **constants)


Kept = TypeVar("Kept")

_all_plans: list[weakref.ref[Plans[Any]]] = []


def forget_plans() -> None:
    """Let every operator plan anew: sizes of tiles have changed."""
    for reference in _all_plans:
        plans = reference()
        if plans is not None:
            plans.clear()


class Plans(dict[Any, Kept]):
    """The plans of one operator by signature."""

    def __init__(self) -> None:
        super().__init__()
        _all_plans.append(weakref.ref(self))

    def remember(self, key: Any, plan: Kept) -> Kept:
        """Keep a plan; returns it."""
        if len(self) >= PLANS_KEPT:
            self.clear()
        self[key] = plan
        return plan


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
    plan. `label` becomes part of the name under which the launch is counted. On a CPU what was compiled
    for arguments of this kind is called without going through Triton's binder."""
    grid = (programs,) if isinstance(programs, int) else programs
    if 0 in grid:
        return
    name = f"{kernel.__name__}[{label}]" if label else kernel.__name__
    launches[name] += 1
    counter = attribution.counter
    if counter is not None:
        counter[name] += 1
    device = next(x.device for x in arguments if isinstance(x, torch.Tensor))
    hooks = triton.knobs.runtime
    direct = device.type == "cpu" and not hooks.launch_enter_hook.calls and not hooks.launch_exit_hook.calls
    key = _key(kernel, arguments, constants) if direct else ()
    ready = _ready.get(key) if direct else None
    if ready is not None:
        compiled = ready.compiled
        compiled.run(
            *(*grid, 1, 1)[:3], 0, compiled.function, compiled.packed_metadata, None,
            hooks.launch_enter_hook, hooks.launch_exit_hook, *arguments, *ready.constants,
        )  # fmt: skip
        return
    _refuse_complex(name, arguments)
    with active_on(device):
        compiled = _compiled(kernel, grid, arguments, constants)
    if direct:
        _remember(key, kernel, compiled, len(arguments), constants)


def cdiv(count: int, block: int) -> int:
    """How many blocks cover `count` elements (Triton's own goes through what unwraps constants)."""
    return -(-count // block)
