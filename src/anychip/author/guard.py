"""What stands between a candidate and PyTorch: operators that compute are refused, memory comes out of the
arena, and everything that gives memory a content is noted in order. Flows in: a call's memory. Flows out: its
steps (allocations, fills, copies, launches), from which another process makes the same result.

The dispatcher is asked, so the spelling of a call does not matter. What gets past it (other libraries, raw
addresses, another thread) is found where the steps are replayed without the candidate.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..compiler.analysis.arguments import argument_effects
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse
from ..runtime import launches
from .arena import DTYPES, Arena, View, aligned
from .messages import number_out

UNFILLED = frozenset({"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided"})
FILLED: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], Any]] = {
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros"), lambda a, k: 0),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), lambda a, k: 1),
    "full": lambda a, k: k["fill_value"] if "fill_value" in k else a[1],
    "full_like": lambda a, k: k["fill_value"] if "fill_value" in k else a[1],
    "new_full": lambda a, k: k["fill_value"] if "fill_value" in k else a[2],
    "scalar_tensor": lambda a, k: a[0],
}
"""Operators that make a tensor of one value -> that value."""
FILLS: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], Any]] = {
    "zero_": lambda a, k: 0,
    "fill_": lambda a, k: k["value"] if "value" in k else a[1],
}
COPIES = frozenset({"clone", "_to_copy"})
FACTS = frozenset({"promote_types", "result_type", "can_cast", "is_same_size"})
"""Operators that answer from types and shapes alone."""


class Refused(RuntimeError):
    """An operator that computes was called by a candidate."""


class ForeignMemory(Exception):
    """A step uses memory that the judge did not give."""


class Guard(TorchDispatchMode):
    """In force while a candidate's function runs. `inputs` are the views that it is given; memory is taken
    from `free` on, up to the arena's end."""

    def __init__(self, arena: Arena, inputs: Sequence[View], free: int):
        super().__init__()
        self.arena = arena
        self.buffers: list[tuple[int, int]] = [(view.start, view.size) for view in inputs]
        self.free = aligned(free)
        self.refused: list[str] = []
        self.steps: list[tuple[Any, ...]] = []
        self._raw: list[tuple[Any, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if not launches.is_recording():  # an autotuner's trials, of which nothing remains
            return func(*args, **kwargs)
        if name in UNFILLED:
            return self._allocate(_meta(func, args, kwargs))
        if name in FILLED:
            made = self._allocate(_meta(func, args, kwargs))
            self._fill(made, FILLED[name](args, kwargs))
            return made
        if name in FILLS and not (name == "fill_" and isinstance(args[1], torch.Tensor)):
            self._fill(args[0], FILLS[name](args, kwargs))
            return args[0]
        if name in COPIES:
            made = self._allocate(_meta(func, args, kwargs))
            self._copy(made, args[0])
            return made
        if name == "copy_":
            self._copy(args[0], args[1])
            return args[0]
        if _is_view(func) or _only_tells(func):
            return func(*args, **kwargs)
        self.refused.append(str(func))
        raise Refused(
            f"{func} computes, or reads values: a candidate allocates, fills, copies, views and launches"
        )

    def launched(self, launch: launches.Launch) -> None:
        """Note a launch; a listener of `runtime.launches`."""
        if 0 not in launch.grid:
            self._raw.append(("launch", launch))

    @property
    def launch_count(self) -> int:
        """Launches so far."""
        return sum(step[0] == "launch" for step in self._raw)

    def _allocate(self, alike: torch.Tensor) -> torch.Tensor:
        view = self.place(alike)
        self._raw.append(("allocate", view.size))
        return self.arena.tensor(view)

    def place(self, alike: torch.Tensor) -> View:
        """Memory for a tensor of the shape, strides and type of another one. Raises Refused where the arena
        has no more."""
        if str(alike.dtype).removeprefix("torch.") not in DTYPES:
            raise Refused(f"tensors of type {alike.dtype} are not given out")
        shape, stride = tuple(alike.shape), tuple(alike.stride())
        size = View(0, alike.dtype, shape, stride, 0, 0).extent
        if self.free + size > self.arena.size:
            raise Refused(f"a call may take {self.arena.size} bytes of memory; {size} more were asked for")
        view = View(self.free, alike.dtype, shape, stride, self.free, size)
        self.buffers.append((view.start, view.size))
        # One place between two is left free: what is written behind an end is seen as such.
        self.free = aligned(self.free + size + 1)
        return view

    def _fill(self, target: torch.Tensor, value: Any) -> None:
        target.fill_(value)
        if target.numel():
            self._raw.append(("fill", target, value))

    def _copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        target.copy_(source)
        if target.numel():
            self._raw.append(("copy", target, source.expand(target.shape)))

    # ---- what happened, for others ----------------------------------------------------------------

    def report(self) -> tuple[list[list[Any]], dict[str, str]]:
        """The steps in order as plain data, with each kernel's TTIR by its digest. Buffers are numbered:
        inputs in order, then allocations. Raises ForeignMemory."""
        starts = sorted((start, size, number) for number, (start, size) in enumerate(self.buffers) if size)
        texts: dict[str, str] = {}
        steps: list[list[Any]] = []
        for kind, *rest in self._raw:
            if kind == "allocate":
                steps.append(["allocate", rest[0]])
            elif kind == "fill":
                value = number_out(rest[1]) if isinstance(rest[1], float) else rest[1]
                steps.append(["fill", self._told(rest[0], starts), value])
            elif kind == "copy":
                steps.append(["copy", self._told(rest[0], starts), self._told(rest[1], starts)])
            else:
                steps.append(self._launch(rest[0], starts, texts))
        return steps, texts

    def view_of(self, tensor: torch.Tensor) -> View | None:
        """Where a tensor lies in the arena; None if it does not. One without elements, to which PyTorch gives
        no address, lies anywhere."""
        if tensor.numel() == 0 and self.buffers:
            start, size = self.buffers[0]
            return View(start, tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), start, size)
        offset = tensor.data_ptr() - self.arena.address
        extent = View(0, tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), 0, 0).extent
        for start, size in self.buffers:
            if start <= offset and offset + extent <= start + size:
                return View(offset, tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), start, size)
        return None

    def _told(self, tensor: torch.Tensor, starts: list[tuple[int, int, int]]) -> list[Any]:
        number, offset = self._buffer(tensor.data_ptr(), starts, "a copy or a fill")
        dtype = str(tensor.dtype).removeprefix("torch.")
        return [number, offset, dtype, list(tensor.shape), list(tensor.stride())]

    def _buffer(self, address: int, starts: list[tuple[int, int, int]], what: str) -> tuple[int, int]:
        place = address - self.arena.address
        found = bisect.bisect_right(starts, (place, 1 << 62, 0)) - 1
        if found < 0 or place > starts[found][0] + starts[found][1]:
            raise ForeignMemory(f"{what} uses memory that is neither an input nor was allocated in the call")
        return starts[found][2], place - starts[found][0]

    def _launch(
        self, launch: launches.Launch, starts: list[tuple[int, int, int]], texts: dict[str, str]
    ) -> list[Any]:
        if launch.origin is None:
            raise ForeignMemory(f"kernel {launch.kernel} has no source")
        text = launch.origin.ttir()
        if _makes_addresses(text):
            raise ForeignMemory(f"kernel {launch.kernel} makes addresses out of numbers")
        digest = hashlib.sha256(text.encode()).hexdigest()
        texts[digest] = text
        slots: list[list[int]] = [[-1, value] for value in launch.slots]
        for slot, _ in launch.pointers:
            if launch.slots[slot]:
                slots[slot] = list(self._buffer(launch.slots[slot], starts, f"kernel {launch.kernel}"))
        return ["launch", launch.kernel, digest, list(launch.grid), slots]


_checked: dict[str, bool] = {}


def _makes_addresses(text: str) -> bool:
    """Whether a kernel makes addresses of its own, which no other process could follow."""
    if text not in _checked:
        module = parse(text)
        inline_calls(module)
        _checked[text] = argument_effects(module.kernel).hidden
    return _checked[text]


def _meta(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """Shape, strides and type of an operator's result, without its content."""

    def moved(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        return value

    names = {argument.name for argument in func._schema.arguments}
    given = {name: moved(value) for name, value in kwargs.items() if name != "pin_memory"}
    if "device" in names:
        given["device"] = torch.device("meta")
    return func(*(moved(value) for value in args), **given)


def _only_tells(func: Any) -> bool:
    """Whether an operator answers from types and shapes alone, or gives nothing and writes nothing: it can
    only raise then, as checks of a factorization do."""
    schema = func._schema
    written = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
    return func.overloadpacket.__name__ in FACTS or (not schema.returns and not written)


def _is_view(func: Any) -> bool:
    """Whether an operator's results are its arguments' memory, which it does not write."""
    schema = func._schema
    aliases = [result.alias_info for result in schema.returns]
    written = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
    known = func.overloadpacket.__name__ in (
        "_unsafe_view",
        "lift_fresh",
        "detach",
        "alias",
        "_reshape_alias",
    )
    return known or (bool(aliases) and all(alias is not None for alias in aliases) and not written)
