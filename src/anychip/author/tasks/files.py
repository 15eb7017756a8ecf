"""Tasks out of files. A reference file has `reference(*arguments)` and `arguments(draw)`, which gives a tuple
and draws its sizes and values from a `Draw`. A file in the form of KernelBench has a class `Model`,
`get_inputs()` and `get_init_inputs()`; a candidate is a class then, whose objects are called with the model's
parameters."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ..errors import TaskError
from .task import Arguments, Draw, Task

REFERENCE, KERNELBENCH = ("reference", "arguments"), ("Model", "get_inputs")


def task(path: Path) -> Task:
    """The task of a file. Raises TaskError for a file that cannot be run or has neither form."""
    module = _module(path)
    text = path.read_text(encoding="utf-8")
    if all(hasattr(module, name) for name in REFERENCE):
        return _reference(path, module, text)
    if all(hasattr(module, name) for name in KERNELBENCH):
        return _kernelbench(path, module, text)
    raise TaskError(
        f"{path} is no task: it has neither `reference` and `arguments` nor `Model` and `get_inputs`.\n"
        "  Write `def reference(x): ...` with PyTorch's functions and `def arguments(draw): return "
        "(draw.normal(draw.size(3, 4096), draw.size(17, 1024)),)`."
    )


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("anychip_task", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise TaskError(f"there is no task file {path}.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TaskError(f"the task file {path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _reference(path: Path, module: Any, text: str) -> Task:
    def draw(given: Draw) -> Arguments:
        found = module.arguments(given)
        return Arguments(tuple(found) if isinstance(found, (tuple, list)) else (found,))

    return Task(
        str(path),
        module.reference,
        draw,
        text,
        tuple(getattr(module, "dtypes", (torch.float32,))),
        strided=bool(getattr(module, "strided", False)),
        differentiable=bool(getattr(module, "differentiable", False)),
        operations=getattr(module, "operations", None),
        composed=True,
    )


def _kernelbench(path: Path, module: Any, text: str) -> Task:
    init = tuple(module.get_init_inputs()) if hasattr(module, "get_init_inputs") else ()
    torch.manual_seed(0)
    model = module.Model(*init).eval()
    names = {**dict(model.named_parameters()), **dict(model.named_buffers())}

    def reference(parameters: dict[str, torch.Tensor], *arguments: Any) -> Any:
        return torch.func.functional_call(model, parameters, arguments)

    def draw(given: Draw) -> Arguments:
        given.seed()
        inputs = tree_map(lambda x: _changed(x, given), tuple(module.get_inputs()))
        parameters = {name: _fresh(tensor.detach(), given) for name, tensor in names.items()}
        return Arguments((parameters, *_fewer(inputs, given)))

    return Task(str(path), reference, draw, text, strided=False, init=init, composed=True)


def _changed(value: Any, draw: Draw) -> Any:
    """A floating tensor with some other mean and deviation than the file's."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    return value * draw.number(0.5, 1.5) + draw.number(-0.5, 0.5)


def _fresh(value: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Parameters of about the size that the model began with."""
    if not value.is_floating_point():
        return value.clone()
    noise = torch.rand(value.shape, generator=draw.generator) + 0.5
    return value * noise.to(value.dtype)


def _fewer(inputs: tuple[Any, ...], draw: Draw) -> tuple[Any, ...]:
    """A smaller batch, where all tensors have the same first extent."""
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)]
    firsts = {x.shape[0] if x.ndim else 0 for x in tensors}
    if len(firsts) != 1 or not tensors or tensors[0].ndim < 2:
        return inputs
    batch = firsts.pop()
    kept = max(1, min(batch, draw.size(1, max(1, batch))))
    return tuple(x[:kept].contiguous() if isinstance(x, torch.Tensor) else x for x in inputs)
