"""What a call of an operator takes and gives: which of its tensors are results, and how it is done again with
other inputs. Flows in: an overload of PyTorch's or a custom operator's, or a launch of a kernel. Flows out:
tensors."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ...compiler.analysis.arguments import ArgumentEffects
from ...conformance.recording import kernel_effects
from ...evidence.inputs import copied, detached, moved_in_float64
from ...evidence.nearby import DRAWS
from ...runtime import launch as launching
from ...runtime import launches
from ..written import ALLOCATING

_TELLING = frozenset(
    f"aten::{name}"
    for name in ("set_", "resize_", "lift_fresh", "detach", "alias", "_unsafe_view", "_reshape_alias")
)
"""Operators that compute nothing, which no schema says."""


@functools.cache
def computes(func: Any) -> bool:
    """Whether an overload gives memory a content: views, allocations and questions do not."""
    schema = func._schema
    if schema.name in ALLOCATING or schema.name in _TELLING:
        return False
    if any(_written(argument) for argument in schema.arguments):
        return True
    return any(returned.alias_info is None for returned in schema.returns)


def tensors_in(values: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors among arguments or results, and in lists of them: all that a schema can have, in a fifth of
    the time of a general walk."""
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += tensors_in(value)
    return found


def _written(parameter: Any) -> bool:
    return parameter.alias_info is not None and parameter.alias_info.is_write


@functools.cache
def writes(func: Any) -> bool:
    """Whether an overload writes to any of its arguments."""
    return any(_written(argument) for argument in func._schema.arguments)


def readable(values: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors with memory among results."""
    return [x for x in tensors_in(values) if x.layout is torch.strided and not x.is_meta]


def results(
    func: Any, arguments: Sequence[Any], keywords: Mapping[str, Any], returned: Any
) -> list[torch.Tensor]:
    """The tensors that a call wrote: what it returned, then arguments that it wrote and did not return."""
    found = tensors_in((returned,))
    seen = {id(x) for x in found}
    for value, parameter in _given(func, arguments, keywords) if writes(func) else ():
        if _written(parameter):
            for x in tensors_in((value,)):
                if id(x) not in seen:
                    found.append(x)
                    seen.add(id(x))
    return readable(found)


def _given(func: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    parameters = func._schema.arguments
    yield from zip(arguments, parameters)
    for parameter in parameters:
        if parameter.name in keywords:
            yield keywords[parameter.name], parameter


def kept(value: Any) -> Any:
    """A tensor in memory of its own, copied byte by byte: no operator runs, which may be the one that is
    wrong."""
    if not isinstance(value, torch.Tensor):
        return value
    x = value.detach()
    if x.layout != torch.strided or x.device.type != "cpu" or not x.numel():
        return x.clone()
    source = x.untyped_storage()
    storage = torch.UntypedStorage(source.nbytes())
    ctypes.memmove(storage.data_ptr(), source.data_ptr(), source.nbytes())
    made = torch.empty(0, dtype=x.dtype).set_(storage, x.storage_offset(), x.shape, x.stride())  # type: ignore[call-overload]
    if x.is_conj():
        made = made.conj()
    return torch.ops.aten._neg_view.default(made) if x.is_neg() else made


@dataclass(frozen=True, slots=True)
class OperatorCall:
    """A call of an operator, with copies of its arguments as they were before."""

    func: Any
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    @property
    def referenced(self) -> bool:
        """Whether PyTorch computes it in double precision, too: what a custom operator does nobody knows."""
        return self.func.namespace == "aten"

    def moved(self) -> list[list[torch.Tensor]]:
        """The results for floating numbers moved by a rounding, in several draws."""
        return [self.run(_in_own_type(moved_in_float64(number))) for number in range(DRAWS)]

    @property
    def inputs(self) -> Any:
        """The arguments, nested."""
        return self.arguments, dict(self.keywords)

    def run(self, convert: Callable[[Any], Any] = copied) -> list[torch.Tensor]:
        """The results for inputs that were passed through `convert`."""
        arguments, keywords = tree_map(convert, self.inputs)
        with torch.no_grad():
            returned = self.func(*arguments, **keywords)
        return [detached(x) for x in results(self.func, arguments, keywords, returned)]

    def with_inputs(self, inputs: Any) -> OperatorCall:
        """The same call of other inputs."""
        return OperatorCall(self.func, tuple(inputs[0]), dict(inputs[1]))


@dataclass(frozen=True, slots=True)
class Kernel:
    """A launch of a Triton kernel outside of any operator, with copies of its tensors as they were before."""

    launch: launches.Launch
    tensors: tuple[torch.Tensor, ...]
    """For each of the launch's pointers."""
    written: tuple[int, ...]
    """Places in `tensors` of those that the kernel writes."""

    referenced = False

    @property
    def inputs(self) -> Any:
        """The tensors."""
        return self.tensors

    def run(self, convert: Callable[[Any], Any] = copied) -> list[torch.Tensor]:
        """What the kernel writes for tensors that were passed through `convert`, which keeps types."""
        own = [convert(x) for x in self.tensors]
        slots = list(self.launch.slots)
        for (slot, _), before, now in zip(self.launch.pointers, self.tensors, own, strict=True):
            slots[slot] = slots[slot] - _base(self.launch, slot) + now.data_ptr()
            assert now.stride() == before.stride()
        launching.run(self.launch.function, slots, self.launch.grid)
        return [own[k] for k in self.written]

    def moved(self) -> list[list[torch.Tensor]]:
        """What the kernel writes for floating numbers moved by a rounding, in several draws."""
        return [self.run(_in_own_type(moved_in_float64(number))) for number in range(DRAWS)]

    @property
    def file(self) -> str:
        """The file of the kernel's source; empty where it has none."""
        function = getattr(getattr(self.launch.origin.source, "fn", None), "fn", None)
        return function.__code__.co_filename if function is not None else ""


def _in_own_type(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A conversion whose results have the type and strides of what was converted."""

    def same(value: Any) -> Any:
        own = kept(value)
        return own.copy_(convert(value).to(value.dtype)) if isinstance(value, torch.Tensor) else own

    return same


def _base(launch: launches.Launch, slot: int) -> int:
    """The address of the tensor that a slot's address came from."""
    return {s: tensor_of(x).data_ptr() for s, x in launch.pointers}[slot]


def tensor_of(pointer: Any) -> Any:
    """The tensor behind a pointer argument, which may be a descriptor of one."""
    while not isinstance(pointer, torch.Tensor) and hasattr(pointer, "base"):
        pointer = pointer.base
    return pointer


_effects: dict[int, ArgumentEffects] = {}
"""By the address of the loaded function."""


def kernel_tensors(launch: launches.Launch) -> tuple[list[torch.Tensor], list[int]] | None:
    """The tensors of a launch's pointers, and the places of those that it writes; None where the kernel makes
    addresses of its own, or was given a bare one."""
    if launch.origin is None:
        return None
    effects = _effects.get(launch.function)
    if effects is None:
        effects = _effects[launch.function] = kernel_effects(launch.origin.ttir())
    tensors = [tensor_of(x) for _, x in launch.pointers]
    if effects.hidden or not all(isinstance(x, torch.Tensor) for x in tensors):
        return None
    return tensors, [k for k, (slot, _) in enumerate(launch.pointers) if slot in effects.written]
