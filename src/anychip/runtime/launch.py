"""From a launch as Triton makes it to a run of the grid.

`launcher` gives the callable that Triton calls with grid, stream, function, metadata, hooks and
all arguments of the kernel. `Launcher` is that callable in Python: it takes every kind of
argument, calls hooks, tells recorders and explains what is wrong. The native one (`native.call`)
does the plain case several times faster and hands the rest to this one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NoReturn

from ..compiler.codegen.check_table import CheckTable
from . import checks, function, launches, native
from .errors import ArgumentError, DeviceAssertion, IndexAssertion, TooManyPrograms
from .native.cooperative import MOST_PROGRAMS
from .native.structures import Code
from .slots import Node, count, descriptors, opcodes, pack, pointers

GRID_LIMIT = (1 << 31) - 1
"""Largest extent of one grid dimension: program ids are 32 bits wide."""


class Launcher:
    """Launches one kernel. `tree` says how each argument is packed (see `slots`), `arg_types`
    are the TTIR types of the compiled function's arguments, one for each slot. Listeners get `origin`
    with each launch. A kernel with checks has one more argument, the table that `checked` describes."""

    def __init__(
        self,
        tree: Sequence[Node],
        arg_types: Sequence[str],
        name: str,
        origin: Any = None,
        checked: CheckTable | None = None,
    ):
        self.tree = tuple(tree)
        self.checked = checks.KernelChecks(name, checked) if checked is not None else None
        arg_types = arg_types if checked is None else arg_types[:-1]
        self.name = name
        self.origin = origin
        self._kept: list[checks.LaunchChecks] = []
        self.slot_count = len(arg_types)
        number = descriptors(tree)
        self.rounding_flag = number > 0 and self.slot_count == count(tree) + number
        if self.slot_count != count(tree) + number * self.rounding_flag:
            raise ArgumentError(
                f"{name}: the compiled function takes {self.slot_count} values ({', '.join(arg_types)}), "
                f"its signature gives {count(tree)}"
            )

    def __call__(
        self,
        grid_x: int,
        grid_y: int,
        grid_z: int,
        stream: Any,
        function_address: int,
        packed_metadata: Any,
        launch_metadata: Any,
        enter_hook: Any,
        exit_hook: Any,
        *arguments: Any,
    ) -> None:
        """Run the kernel over the grid and return when it is done.

        Raises `ArgumentError` for arguments that the signature does not take and
        `DeviceAssertion` when a program's assertion failed.
        """
        grid = (self._extent("x", grid_x), self._extent("y", grid_y), self._extent("z", grid_z))
        if not isinstance(function_address, int):
            raise ArgumentError(
                f"{self.name}: launched with the function {function_address!r}, not a loaded one"
            )
        slots = pack(self.tree, arguments, self.rounding_flag, [])
        table = self._table(slots, grid, arguments)
        if table is not None:
            slots.append(table.address)
        if _is_set(enter_hook):
            enter_hook(launch_metadata)
        if launches.is_recording():
            places = pointers(self.tree, arguments, self.rounding_flag)
            launches.notify(
                launches.Launch(
                    self.name, grid, arguments, function_address, tuple(slots), tuple(places), self.origin
                )
            )
        run(function_address, slots, grid)
        if table is not None:
            table.tell()
        if _is_set(exit_hook):
            exit_hook(launch_metadata)

    def _table(
        self, slots: Sequence[int], grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> checks.LaunchChecks | None:
        """What a kernel with checks is told of this launch. A recorded launch may be done again on other
        memory, so its table is kept."""
        if self.checked is None:
            return None
        owners = dict(pointers(self.tree, arguments, self.rounding_flag))
        recording = launches.is_recording()
        table = self.checked.launch(owners, slots, grid[0] * grid[1] * grid[2], recording)
        if recording:
            self._kept.append(table)
        return table

    def _extent(self, axis: str, extent: Any) -> int:
        try:
            value = extent.__index__()
        except AttributeError:
            raise ArgumentError(f"{self.name}: grid {axis} is {extent!r}, not an integer") from None
        if not 0 <= value <= GRID_LIMIT:
            raise ArgumentError(f"{self.name}: grid {axis} is {value}; it must lie in 0..{GRID_LIMIT}")
        return value


def launcher(
    tree: Sequence[Node],
    arg_types: Sequence[str],
    name: str,
    origin: Any = None,
    checked: CheckTable | None = None,
) -> Any:
    """The fastest callable that launches a kernel of this signature: the native one where every
    parameter is of a kind that it packs, else `Launcher`. `origin` is whatever the kernel came from."""
    runtime = native.state()
    runtime.attach_threads()
    general = Launcher(tree, arg_types, name, origin, checked)
    codes = None if checked is not None else opcodes(tree)
    if codes is None:
        return general
    return runtime.launcher(codes, general, fail) or general


def run(address: int, slots: Sequence[int], grid: Sequence[int]) -> None:
    """Run the loaded function whose record is at `address` with packed arguments over a grid."""
    runtime = native.state()
    packed = (ctypes.c_uint64 * max(1, len(slots)))(*slots)
    program = (ctypes.c_int32 * 3)()
    code = runtime.run(runtime.address, address, packed, *grid, program)
    if code:
        fail(address, code, *program)


def fail(address: int, code: int, x: int, y: int, z: int) -> NoReturn:
    """Raise what a launch's result code stands for; x, y and z are the program's, or the grid's."""
    if code == Code.INTERRUPTED:
        native.state().raise_interruption()
    failed = function.at(address)
    if code == Code.OUT_OF_MEMORY:
        owner = "program" if failed.record.waiting else "thread"
        raise MemoryError(f"{failed.name}: no scratch memory ({failed.record.arena_bytes} bytes a {owner})")
    if code == Code.TOO_MANY_PROGRAMS:
        raise TooManyPrograms(failed.name, x * y * z, MOST_PROGRAMS, failed.waits_at)
    if code == Code.GRID_TOO_LARGE:
        raise ArgumentError(f"{failed.name}: the grid has 2^63 program instances or more")
    message = failed.messages[code - 1] if code <= len(failed.messages) else f"assertion {code}"
    kind = IndexAssertion if message.startswith("index ") else DeviceAssertion
    raise kind(failed.name, message, (x, y, z))


def _is_set(hook: Any) -> bool:
    """Whether a hook of Triton's would call anything; chains of hooks are truthy when empty."""
    return hook is not None and bool(getattr(hook, "calls", True))
