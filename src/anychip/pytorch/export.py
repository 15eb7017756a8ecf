"""A Program described for the export: its tensors by name, shape and offset, and an example call.

Flows in: a Program, with the example that it was captured from. Flows out: an `ExportedFunction` of the
`edge` room, whose expected outputs are PyTorch's own.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..edge.errors import ExportError
from ..edge.exported import Argument, ExportedFunction, TensorPlace, identifier, unique
from .interface import Constant, InputTensor, InputView, OutputView
from .layouts import span
from .policy import disabled
from .program import Program

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ExampleCall:
    """Inputs of a call and its results, as leaves in order."""

    inputs: Sequence[torch.Tensor]
    results: Sequence[Any]


def exported_function(
    program: Program, name: str | None = None, example: ExampleCall | None = None, state: str = ""
) -> ExportedFunction:
    """What is exported of a Program; `name` (its function's) becomes the prefix of the C names. Results of a
    dictionary have its keys as names.

    `example` is the captured call with the results of PyTorch's own operators unless it is given; `state` the
    name of the memory that calls hand on, which is all zeros before the first one.

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
    names = unique([_input_name(x.name) for x in inputs] + _result_names(program))
    places = tuple(_place(name, x.dtype, x.shape, x.strides, 0) for name, x in zip(names, inputs))
    if example is None:
        example = ExampleCall(program.example_tensors(), _expected(program))
    expected = example.results
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
        example_inputs=tuple(_memory(x) for x in example.inputs),
        example_outputs=tuple(contents),
        state=identifier(state) if state else "",
        keeps=program,
    )


def _input_name(name: str) -> str:
    """`argument 0` becomes `input0`; a keyword stays as it is."""
    text = name.removeprefix("argument ")
    return f"input{text}" if text[:1].isdigit() else text


def _result_names(program: Program) -> list[str]:
    """The key of each result in a dictionary, else its number where there are several."""
    count = len(program.interface.outputs)
    tree = tree_unflatten(list(range(count)), program.interface.output_tree)
    if isinstance(tree, dict) and len(tree) == count:
        return [str(key) for key in tree]
    return [f"output{k}" if count > 1 else "output" for k in range(count)]


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
