"""A training script, run to its first backward pass, for what it trains. Flows in: a script and its
arguments. Flows out: the model that it called, the loss of the batch that it called it with, and how many
samples that are. The script's own step is not taken."""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .errors import CutError

Job = tuple[torch.nn.Module, Callable[[torch.nn.Module], torch.Tensor], int]
"""A model, what computes the loss of its batch, samples of the batch."""


class _Seen(BaseException):
    """The script has come to its first backward pass: no error, which a script might catch."""


class _Watch:
    """The last call of a model with weights to train that was made by no other module."""

    def __init__(self) -> None:
        self.model: torch.nn.Module | None = None
        self.arguments: tuple[Any, ...] = ()
        self.keywords: dict[str, Any] = {}
        self._depth = 0

    def calls(self, call: Callable[..., Any], module: Any, arguments: Any, keywords: Any) -> Any:
        """Note a call, and do it."""
        if not self._depth and any(parameter.requires_grad for parameter in module.parameters()):
            self.model, self.arguments, self.keywords = module, arguments, keywords
        self._depth += 1
        try:
            return call(module, *arguments, **keywords)
        finally:
            self._depth -= 1


def job_of(script: Path, arguments: Sequence[str] = ()) -> Job:
    """The script's job. Its loss is the model's own `loss` where the output has one, else the mean square of
    the first floating tensor of it. Raises CutError for a script that trains nothing."""
    watch = _Watch()
    with _as_program(script, arguments), _watching(watch):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except _Seen:
            pass
        except SystemExit as ended:
            if ended.code:
                raise CutError(f"{script} ended before it trained: {ended.code}") from ended
    if watch.model is None:
        raise CutError(
            f"{script} called no model with weights to train.",
            "Give it the arguments with which it trains, or write a function cluster_job into it.",
        )
    given = [*watch.arguments, *watch.keywords.values()]
    first = next((x for x in given if isinstance(x, torch.Tensor) and x.ndim), None)
    held, keywords = watch.arguments, watch.keywords
    return watch.model, lambda model: _loss(model(*held, **keywords)), 1 if first is None else len(first)


def has_function(script: Path, name: str) -> bool:
    """Whether a script defines a function at its outermost level, which is read and not run."""
    body = ast.parse(script.read_text(encoding="utf-8"), str(script)).body
    return any(isinstance(each, ast.FunctionDef) and each.name == name for each in body)


def _loss(made: Any) -> torch.Tensor:
    """A number to take gradients of, from what a model gives."""
    own = getattr(made, "loss", None)
    if isinstance(own, torch.Tensor) and own.numel() == 1:
        return own
    if isinstance(made, torch.Tensor):
        return made.float().square().mean()
    values = made.values() if isinstance(made, dict) else made
    return next(x for x in values if isinstance(x, torch.Tensor) and x.is_floating_point()).square().mean()


@contextmanager
def _watching(watch: _Watch) -> Iterator[None]:
    """The calls of modules are seen, and the first backward pass ends the script."""

    def stop(*_: Any, **__: Any) -> None:
        raise _Seen

    call = torch.nn.Module.__call__

    def called(module: torch.nn.Module, *arguments: Any, **keywords: Any) -> Any:
        return watch.calls(call, module, arguments, keywords)

    before = torch.autograd.backward
    torch.nn.Module.__call__ = called
    torch.autograd.backward = stop
    try:
        yield
    finally:
        torch.autograd.backward = before
        torch.nn.Module.__call__ = call


@contextmanager
def _as_program(script: Path, arguments: Sequence[str]) -> Iterator[None]:
    """The command line and the path of modules are those of the script."""
    argv, path = sys.argv, sys.path
    sys.argv, sys.path = [str(script), *arguments], [str(script.resolve().parent), *path]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path
