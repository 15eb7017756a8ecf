"""The task that a text means."""

from __future__ import annotations

from pathlib import Path

from ...ops.registry import operators, overloads
from ...suggestions import did_you_mean
from ..errors import TaskError
from . import files, known, library
from .task import Task


def find(name: str) -> Task:
    """The task called `name`: a public name of PyTorch's in the table of known ones (`softmax`), an operator
    or overload of the library (`_softmax`, `add.Tensor`), or the path of a file. Raises TaskError."""
    if name.endswith(".py"):
        return files.task(Path(name).resolve())
    if name in known.TABLE:
        return known.task(name)
    if name in overloads():
        return _of_library(name)
    if name in operators():
        return _of_library(operators()[name].overloads[0].name)
    public = [*known.TABLE, *operators(), *overloads()]
    raise TaskError(
        f"there is no task {name!r}: it is no function of PyTorch's that is known, no operator of the "
        f"library, and no Python file.\n  {did_you_mean(name, public)}"
    )


def is_light(name: str) -> bool:
    """Whether a task does without the operator library, which takes seconds to import."""
    return name.endswith(".py") or name in known.TABLE


def _of_library(name: str) -> Task:
    operator, overload = overloads()[name]
    if not library.has_answer(name):
        raise TaskError(
            f"{name} gives random numbers or an approximation, or writes into an argument: it is no task."
        )
    return library.task(operator, overload)


def names() -> list[str]:
    """Every task that is no file: the known names, then the operators of the library."""
    found = [*known.TABLE, *(name for name in overloads() if library.has_answer(name))]
    return list(dict.fromkeys(found))
