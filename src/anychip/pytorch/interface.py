"""What a Program takes and gives: descriptions of its inputs, of the memory that it returns, and of the
tensors in it. They are made by `capture` and read by whoever calls or exports a Program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import TreeSpec

from .errors import ProgramInputError
from .layouts import Layout


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A tensor argument: its place in the call, and the layout it must have."""

    name: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    def check(self, value: Any) -> None:
        """Raise ProgramInputError unless `value` is a CPU tensor of this layout."""
        if not (
            isinstance(value, torch.Tensor)
            and value.shape == self.shape
            and value.dtype == self.dtype
            and value.stride() == self.strides
            and value.is_cpu
            and value.layout == torch.strided
        ):
            self._explain(value)

    def _explain(self, value: Any) -> None:
        """Raise for the first difference that matters; strides of single elements do not."""
        if not isinstance(value, torch.Tensor):
            raise ProgramInputError(
                f"{self.name}: expected {self}, got {type(value).__name__}; pass a tensor"
            )
        if value.device.type != "cpu" or value.layout != torch.strided:
            raise ProgramInputError(
                f"{self.name}: expected {self} on the CPU, got a {value.layout} tensor on {value.device}; "
                'move it first, e.g. with .to("cpu")'
            )
        if value.shape != self.shape:
            raise ProgramInputError(
                f"{self.name}: expected shape {list(self.shape)}, got {list(value.shape)}; a Program's "
                "shapes are those of its capture: pad the input, or capture another Program for this shape"
            )
        if value.dtype != self.dtype:
            raise ProgramInputError(
                f"{self.name}: expected {self.dtype}, got {value.dtype}; convert it, or capture a Program "
                "with an example of that dtype"
            )
        if value.stride() != self.strides and 0 not in self.shape:
            for size, stride, expected in zip(self.shape, value.stride(), self.strides):
                if size > 1 and stride != expected:
                    raise ProgramInputError(
                        f"{self.name}: expected strides {list(self.strides)}, got {list(value.stride())}; "
                        "pass a tensor laid out like the example (.contiguous() where that was contiguous), "
                        "or capture a Program with an example like this one"
                    )

    def __str__(self) -> str:
        return f"a tensor of shape {list(self.shape)}, {self.dtype}"


@dataclass(frozen=True, slots=True)
class InputValue:
    """An argument that is no tensor: its value is part of the Program."""

    name: str
    value: Any

    def check(self, value: Any) -> None:
        """Raise ProgramInputError unless `value` is the recorded one."""
        if value is not self.value and (type(value) is not type(self.value) or value != self.value):
            raise ProgramInputError(
                f"{self.name}: expected {self.value!r}, got {value!r}; values that are not tensors are "
                "fixed at capture: capture another Program, or pass the value in a tensor"
            )


@dataclass(frozen=True, slots=True)
class OutputStorage:
    """Memory that launches write and the caller gets, allocated as a tensor of `layout`. Where
    `is_one_tensor`, an output tensor is all of it, and may lie wherever the caller wants."""

    size: int
    layout: Layout
    is_one_tensor: bool


@dataclass(frozen=True, slots=True)
class OutputView:
    """An output tensor in an output storage."""

    storage: int
    byte_offset: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class InputView:
    """An output tensor that is memory of an input."""

    tensor: int
    byte_offset: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class Constant:
    """An output that no launch writes: a value, or a tensor that existed before."""

    value: Any


Output = OutputView | InputView | Constant


@dataclass(frozen=True, slots=True)
class Interface:
    """How arguments and results relate to the launch list's buffers. The tensors among `inputs` and the
    `storages` are its inputs and outputs, in order. `keywords` are the names given at capture; `is_flat`
    says that each argument is one of `inputs`, without structure."""

    inputs: tuple[InputTensor | InputValue, ...]
    input_tree: TreeSpec
    keywords: tuple[str, ...]
    is_flat: bool
    outputs: tuple[Output, ...]
    output_tree: TreeSpec
    storages: tuple[OutputStorage, ...]
