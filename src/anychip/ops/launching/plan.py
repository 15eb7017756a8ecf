"""Launches that are planned once for each signature. Flows in: what an operator settles for a signature.
Flows out: launches with other tensors and numbers, past Triton's binder and the operator's own questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import triton
from triton.runtime.driver import driver as triton_driver

from ...runtime import native
from .compiling import launch_by_triton
from .counting import count_launch
from .devices import active_on


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
        count_launch(self.name)
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
                *self.grid,
                0,
                function,
                metadata,
                None,
                runtime.launch_enter_hook,
                runtime.launch_exit_hook,
                *tensors,
                *self.sizes,
                *numbers,
                *constants,
            )
            return
        with active_on(device):
            run(
                *self.grid,
                triton_driver.active.get_current_stream(device.index),
                function,
                metadata,
                None,
                runtime.launch_enter_hook,
                runtime.launch_exit_hook,
                *tensors,
                *self.sizes,
                *numbers,
                *constants,
            )

    def _first(self, unaligned: int, tensors: tuple[Any, ...], numbers: tuple[int, ...]) -> None:
        """Launch by way of Triton, which compiles, and keep what it compiled."""
        arguments = (*tensors, *self.sizes, *numbers)
        compiled = launch_by_triton(self.name, self.kernel, self.grid, arguments, dict(self.constants))
        if not hasattr(compiled, "packed_metadata"):
            return
        constants = tuple(self.constants[name] for name in self.kernel.arg_names[len(arguments) :])
        self.ready[unaligned] = (
            compiled.run,
            compiled.function,
            compiled.packed_metadata,
            compiled,
            constants,
        )


@contextmanager
def planned_launches() -> Iterator[list[tuple[Plan, Sequence[Any], tuple[int, ...]]]]:
    """Collects the launches of plans in the block, by any thread: the plan, its tensors and its numbers."""
    seen: list[tuple[Plan, Sequence[Any], tuple[int, ...]]] = []
    original = Plan.launch

    def noted(self: Plan, *tensors: torch.Tensor | None, numbers: tuple[int, ...] = ()) -> None:
        seen.append((self, tensors, numbers))
        original(self, *tensors, numbers=numbers)

    Plan.launch = noted
    native.state().divert(+1)
    try:
        yield seen
    finally:
        native.state().divert(-1)
        Plan.launch = original
