"""The process that runs the code that is judged. Flows in: a file and a name, then calls. Flows out: where
the results of each call lie, and on demand the steps that made them. Everything that this process says may be
a lie: its judge believes nothing of it that it has not measured, compared or replayed."""

from __future__ import annotations

import gc
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from ...runtime import launches
from ..arena import Arena, View
from ..guard import ForeignMemory, Guard, Refused
from ..messages import Channel
from .values import decoded

LONGEST_TEXT = 2000
"""Characters of an error message that are passed on."""
KEPT = 64
"""Calls whose steps are kept."""


class Candidate:
    """The loaded code and its latest calls."""

    def __init__(self, arena: Arena):
        self.arena = arena
        self.function: Callable[..., Any] | None = None
        self.guards: dict[int, Guard] = {}

    def load(self, message: dict[str, Any]) -> dict[str, Any]:
        """Execute the file and take the name out of it; a class is made an object with the arguments
        `init`."""
        path, name = Path(message["path"]), message["function"]
        spec = importlib.util.spec_from_file_location("candidate", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["candidate"] = module
        spec.loader.exec_module(module)
        found: Any = getattr(module, name, None)
        if found is None:
            return {"error": f"{path.name} has nothing named {name!r}", "missing": True}
        if inspect.isclass(found):
            torch.manual_seed(0)
            made: Any = found(*decoded(message.get("init", {"list": []}), self.arena.tensor, 0))
            found = self._as_function(made)
        self.function = found
        return {"loaded": True}

    def _as_function(self, module: torch.nn.Module) -> Callable[..., Any]:
        """A module as a function of its parameters, by name, and its arguments."""

        def call(parameters: dict[str, torch.Tensor], *arguments: Any) -> Any:
            return torch.func.functional_call(module, parameters, arguments)

        return call

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Run the function on arguments in the arena."""
        assert self.function is not None
        views: list[View] = []

        def placed(view: View) -> torch.Tensor:
            views.append(view)
            return self.arena.tensor(view)

        arguments, keywords = decoded(message["arguments"], placed, self.arena.size)
        wanting = []
        if message.get("weights") is not None:
            tensors = [x for x in tree_flatten((arguments, keywords))[0] if isinstance(x, torch.Tensor)]
            wanting = [x.requires_grad_() for x in tensors if x.is_floating_point()]
        weights = [decoded(tree, placed, self.arena.size) for tree in message.get("weights") or ()]
        guard = Guard(self.arena, views, message["free"])
        self.guards = {**dict(list(self.guards.items())[1 - KEPT :]), message["number"]: guard}
        with launches.listen(guard.launched), guard:
            result = self.function(*arguments, **keywords)
            if weights:
                result = _gradients(result, wanting, weights)
        return self._answer(guard, result)

    def _answer(self, guard: Guard, result: Any) -> dict[str, Any]:
        outputs = []
        for one in tree_flatten(result)[0]:
            if type(one) is not torch.Tensor:
                return {
                    "error": f"the result is a {type(one).__name__}, not a tensor",
                    "refused": guard.refused,
                }
            view = guard.view_of(one.detach())
            if view is None:
                text = "the result lies in memory that is neither an input nor was allocated in the call"
                return {"error": text, "refused": guard.refused}
            outputs.append(view.to_json())
        return {"outputs": outputs, "launches": guard.launch_count, "refused": guard.refused}

    def steps(self, message: dict[str, Any]) -> dict[str, Any]:
        """The steps of a call."""
        guard = self.guards.get(message["number"])
        if guard is None:
            return {"error": "the steps of this call are not kept"}
        try:
            steps, texts = guard.report()
        except ForeignMemory as reason:
            return {"error": str(reason)}
        return {"steps": steps, "kernels": texts}


def _gradients(result: Any, wanting: list[torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
    outputs = [x for x in (result if isinstance(result, (tuple, list)) else (result,)) if x.requires_grad]
    if not outputs:
        raise RuntimeError("the result has no gradient")
    found = torch.autograd.grad(outputs, wanting, weights[: len(outputs)], allow_unused=True)
    return [x for x in found if x is not None]


def serve(channel: Channel, arena: Arena) -> None:
    """Answer messages until the judge is gone."""
    candidate = Candidate(arena)
    actions = {"load": candidate.load, "call": candidate.call, "steps": candidate.steps}
    gc.disable()
    while True:
        message = channel.receive()
        try:
            answer = actions[message["do"]](message)
        except BaseException as error:  # what the candidate raises is its answer, SystemExit included
            answer = {"error": _described(error), "refused": _refused(candidate, message)}
            if isinstance(error, Refused):
                answer["compute"] = True
            del error
        channel.send(answer)


def _refused(candidate: Candidate, message: dict[str, Any]) -> list[str]:
    guard = candidate.guards.get(message.get("number", -1))
    return guard.refused if guard is not None else []


def _described(error: BaseException) -> str:
    """An error with the last line of the candidate's file that it went through."""
    lines = [
        f"line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "candidate" in frame.filename
    ]
    place = f" (in the candidate, {lines[-1]})" if lines else ""
    return f"{type(error).__name__}{place}: {error}"[:LONGEST_TEXT]
