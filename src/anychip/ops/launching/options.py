"""What decides a launch besides its arguments, as one immutable value: the process has one, and a context may
have another (`launching`). Flows in: what `context` puts in force. Flows out: `launch_options()`, which is
asked where a launch is planned and not where a plan is launched again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentValueError

if TYPE_CHECKING:
    from ..eight_bits import EightBits
    from .tiles import Tiles

SizeClass = tuple[str, int]
"""A dtype and the exponent of a number of elements (see `tuning.size_class`)."""

First = Callable[[Any, tuple[int, ...], tuple[Any, ...], dict[str, Any]], Any]
"""Gets the kernel, the grid, arguments and constants of a launch, does it, and returns what was compiled."""

TILE_CLASSES = ("", "simt", "simd")


@dataclass(frozen=True, slots=True, eq=False)
class LaunchOptions:
    """What decides a launch besides its arguments. Raises ArgumentValueError for another class of tiles.

    tile_class: "simt" (GPUs) or "simd" (CPUs, vector cores) for every launch; "": that of the device.
    tuned: sizes of tiles that were found to be faster on this CPU than those written in the source.
    eight_bits: the 8-bit numbers that every device takes; None: those that it does take.
    first: does the first launch of a plan in Triton's place.
    asked: told of tiles whose sizes are asked for, and of the class of tensors.
    """

    tile_class: str = ""
    tuned: Mapping[Tiles, Mapping[SizeClass, Mapping[str, int]]] = field(default_factory=dict)
    eight_bits: EightBits | None = None
    first: First | None = None
    asked: Callable[[Tiles, SizeClass], None] | None = None
    plans: dict[Any, dict[Any, Any]] = field(default_factory=dict, init=False, repr=False)
    """What operators planned by these options of a context (see `Plans`), which goes when they go."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tuned", MappingProxyType(dict(self.tuned)))
        if self.tile_class not in TILE_CLASSES:
            raise ArgumentValueError(
                f"there is no tile class {self.tile_class!r}; choose 'simt', 'simd', or '' for the device's"
            )


in_context: ContextVar[LaunchOptions | None] = ContextVar("anychip.ops.launching", default=None)
"""The options of the caller's context; None: the process's."""

_of_process = LaunchOptions()


def launch_options() -> LaunchOptions:
    """The options in force for the caller: those of its context, else those of the process."""
    return in_context.get() or _of_process


def set_of_process(**changes: Any) -> bool:
    """Give the process its options with `changes`; returns whether they are others now."""
    global _of_process
    before = _of_process
    _of_process = replace(before, **changes)
    return any(getattr(before, name) != value for name, value in changes.items())
