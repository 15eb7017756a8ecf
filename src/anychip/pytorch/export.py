"""A Program described for the export: its tensors by name, shape and offset, and an example call.

Flows in: a Program, with the example that it was captured from. Flows out: an `ExportedFunction` of the
`edge` room, whose expected outputs are PyTorch's own.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_flatten

from ..edge.errors import ExportError
from ..edge.exported import Argument, ExportedFunction, TensorPlace, identifier, unique
from .interface import Constant, InputTensor, InputView, OutputView
from .layouts import span
from .policy import disabled
from .program import Program

if TYPE_CHECKING:
    from collections.abc import Sequence


def exported_function(program: Program, name: str | None = None) -> ExportedFunction:
    """What is exported of a Program; `name` (its function's) becomes the prefix of the C names.

    Raises ExportError for results that a library cannot give: memory of an input, constants, tensors
    with gaps.
    """
    inputs = [expected for expected in program.interface.inputs if isinstance(expected, InputTensor)]
    results = program.interface.outputs
    for k, result in enumerate(results):
        if isinstance(result, InputView):
            raise ExportError(f"result {k} is memory of an input\n  Return a clone of it.")
        if isinstance(result, Constant) and isinstance(result.value, torch.Tensor):
            raise ExportError(
                f"result {k} does not depend on the inputs\n  Leave it out of the function's results."
            )
    names = unique(
        [_input_name(x.name) for x in inputs]
        + [f"output{k}" if len(results) > 1 else "output" for k in range(len(results))]
    )
    places = tuple(_place(name, x.dtype, x.shape, x.strides, 0) for name, x in zip(names, inputs))
    expected = _expected(program)
    outputs, contents = [], []
    for number, storage in enumerate(program.interface.storages):
        own = [
            k
            for k, result in enumerate(results)
            if isinstance(result, OutputView) and result.storage == number
        ]
        tensors = tuple(_output(names[len(inputs) + k], results[k]) for k in own)
        outputs.append(Argument(tensors[0].name, storage.size, tensors))
        contents.append(_image(storage.size, tensors, [expected[k] for k in own]))
    return ExportedFunction(
        name=identifier(name or program.name),
        launches=program.launches,
        inputs=tuple(
            Argument(place.name, program.launches.buffers[number].size, (place,))
            for place, number in zip(places, program.launches.inputs)
        ),
        outputs=tuple(outputs),
        example_inputs=tuple(_memory(x) for x in program.example_tensors()),
        example_outputs=tuple(contents),
    )


def _input_name(name: str) -> str:
    """`argument 0` becomes `input0`; a keyword stays as it is."""
    text = name.removeprefix("argument ")
    return f"input{text}" if text[:1].isdigit() else text


def _place(
    name: str, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int], offset: int
) -> TensorPlace:
    count = 1
    for size in shape:
        count *= size
    if span(shape, strides, dtype.itemsize) != count * dtype.itemsize:
        raise ExportError(
            f"{name} of shape {list(shape)} has strides {list(strides)}: its elements do not fill their "
            "memory\n  Use .contiguous() on it, or capture with an example that is contiguous."
        )
    return TensorPlace(name, str(dtype).removeprefix("torch."), tuple(shape), tuple(strides), offset)


def _output(name: str, result: Any) -> TensorPlace:
    shape, strides, dtype = result.layout
    return _place(name, dtype, shape, strides, result.byte_offset)


def _expected(program: Program) -> list[Any]:
    """The results of PyTorch's own operators for the example call."""
    arguments, keywords = program.example()
    with disabled(), torch.no_grad():
        result = program.function(*arguments, **keywords)
    return tree_flatten(result)[0]


def _memory(tensor: torch.Tensor) -> bytes:
    size = span(tensor.shape, tensor.stride(), tensor.element_size())
    return ctypes.string_at(tensor.data_ptr(), size) if size else b""


def _image(size: int, tensors: Sequence[TensorPlace], values: Sequence[torch.Tensor]) -> bytes:
    """An output's memory: each tensor's elements in its place, zeros between."""
    image = bytearray(size)
    for tensor, value in zip(tensors, values):
        laid_out = torch.empty_strided(tensor.shape, tensor.strides, dtype=value.dtype).copy_(value)
        image[tensor.byte_offset : tensor.byte_offset + tensor.bytes] = _memory(laid_out)
    return bytes(image)
