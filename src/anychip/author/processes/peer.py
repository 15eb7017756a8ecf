"""The process that runs a task's reference, which a candidate is timed against, in the same confinement and
with a dispatcher's hook that costs what the candidate's costs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..arena import Arena
from ..messages import Channel
from .values import decoded


class _Passing(TorchDispatchMode):
    """Lets every operator through."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


class Peer:
    """The reference."""

    def __init__(self, arena: Arena):
        self.arena = arena
        self.function: Callable[..., Any] = lambda: None

    def load(self, message: dict[str, Any]) -> dict[str, Any]:
        """Find the task's reference."""
        from ..tasks import find

        self.function = find(message["task"]).reference
        return {"loaded": True}

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Run it on arguments in the arena; what it gives is nobody's."""
        arguments, keywords = decoded(message["arguments"], self.arena.tensor, self.arena.size)
        with torch.no_grad(), _Passing():
            self.function(*arguments, **keywords)
        return {"done": True}

    def nothing(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do nothing: what an answer costs by itself."""
        return {"done": True}


def serve(channel: Channel, arena: Arena) -> None:
    """Answer messages until the judge is gone."""
    peer = Peer(arena)
    actions = {"load": peer.load, "call": peer.call, "nothing": peer.nothing}
    gc.disable()
    while True:
        message = channel.receive()
        try:
            answer = actions[message["do"]](message)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        channel.send(answer)
