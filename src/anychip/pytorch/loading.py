"""The Program that a name stands for. Flows in: FILE.py:NAME, a function, module, kernel or Program of a
file, or a model that `torch.export` saved. Flows out: a Program, captured with the examples that it has."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

import torch

from ..suggestions import did_you_mean
from .capture import capture
from .errors import ProgramSourceError
from .kernel_capture import capture_kernel
from .program import Program

EXAMPLES = "example_inputs"
"""The function of a file that gives the arguments to capture with."""
LAUNCH = "example_launch"
"""The function of a file that gives a kernel's grid and its arguments by name."""


def load_program(subject: str) -> Program:
    """The Program that a subject names. Raises ProgramSourceError for what is not there."""
    path, separator, name = subject.rpartition(":")
    if separator and path.endswith(".py"):
        return _from_file(Path(path), name)
    if subject.endswith(".pt2"):
        return _from_saved(Path(subject))
    raise ProgramSourceError(
        f"{subject!r} names nothing to export.", "Write FILE.py:NAME, or give a model saved by torch.export."
    )


def _from_saved(path: Path) -> Program:
    try:
        saved = torch.export.load(str(path))
    except Exception as error:
        raise ProgramSourceError(
            f"cannot load {path}: {error}", "Save the model with torch.export.save."
        ) from error
    if saved.range_constraints:
        raise ProgramSourceError(
            f"{path} has dimensions of no fixed size ({', '.join(map(str, saved.range_constraints))}).",
            "Export it with torch.export.export and static shapes: a library's shapes are fixed.",
        )
    if saved.example_inputs is None:
        raise ProgramSourceError(
            f"{path} was saved without example inputs.", "Save it with torch.export.save."
        )
    arguments, keywords = saved.example_inputs
    return capture(saved.module(), *arguments, **keywords)


def _from_file(path: Path, name: str) -> Program:
    module = imported(path)
    found = getattr(module, name, None)
    if found is None:
        raise ProgramSourceError(f"{path} has no {name!r}.", did_you_mean(name, dir(module)))
    if isinstance(found, Program):
        return found
    if hasattr(found, "fn"):
        return _from_kernel(module, name)
    if not callable(found) or isinstance(found, type):
        raise ProgramSourceError(
            f"{name} in {path} is {_described(found)}, which cannot be captured.",
            "Name a function, a module (an object, not its class), a kernel or a Program.",
        )
    if hasattr(module, EXAMPLES) and _takes_arguments(found):
        inputs = getattr(module, EXAMPLES)()
        return capture(found, *(inputs if isinstance(inputs, list | tuple) else (inputs,)))
    if _needs_arguments(found):
        raise ProgramSourceError(
            f"{name} takes arguments, and {path} does not say which.",
            f"Define {EXAMPLES}() in it, which returns the tensors to call {name} with, as a tuple.",
        )
    made = found()
    if not isinstance(made, Program):
        raise ProgramSourceError(
            f"{name}() gave a {type(made).__name__}, not a Program.",
            f"Return anychip.capture(...), or define {EXAMPLES}() for the arguments of {name}.",
        )
    return made


def _from_kernel(module: Any, name: str) -> Program:
    if not hasattr(module, LAUNCH):
        raise ProgramSourceError(
            f"{name} is a kernel, which has no grid of its own.",
            f"Define {LAUNCH}(), which returns the grid and the arguments by name: "
            '(16,), {"x": torch.rand(1000), "n": 1000, ...}; or name a function that launches it.',
        )
    grid, arguments = getattr(module, LAUNCH)()
    return capture_kernel(getattr(module, name), grid, arguments)


def _described(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _needs_arguments(function: Any) -> bool:
    if isinstance(function, torch.nn.Module):
        function = function.forward
    plain = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return any(each.default is each.empty and each.kind not in plain for each in parameters)


def _takes_arguments(function: Any) -> bool:
    return bool(inspect.signature(function).parameters)


def imported(path: Path) -> Any:
    """The file as a module, as `import` would run it (not its main program)."""
    if not path.is_file():
        raise ProgramSourceError(f"{path} is no file.", "Give the path of a Python file.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ProgramSourceError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
