"""A policy, cut into stages that may run in different places.

Flows in: stages (functions or modules of PyTorch over dictionaries of batched tensors), what an observation
looks like, and normalisation statistics. Flows out: the terms that robot and server compare, the arrays that
travel at each cut, and actions."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .errors import LinkError
from .frames import DTYPES, Array
from .handshake import Terms, statistics_hash
from .scheduler import Signature, signature

Tensors = Mapping[str, Any]
"""Tensors of PyTorch by name, each with the batch as its first axis."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a policy: `run(tensors)` gives the tensors that the next stage takes."""

    name: str
    run: Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class Policy:
    """`stages` in order; `observation`: (element type, shape without batch) by name; the last stage gives
    `actions` [batch, chunk, values]. `statistics`: what observations and actions are normalised by, which
    robot and server must share."""

    stages: tuple[Stage, ...]
    observation: Mapping[str, tuple[str, tuple[int, ...]]]
    chunk: int
    values: int
    statistics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.stages or len({stage.name for stage in self.stages}) != len(self.stages):
            raise LinkError("a policy needs stages, each of another name")
        if self.chunk < 1 or self.values < 1:
            raise LinkError(
                f"a policy gives {self.chunk} actions of {self.values} values: give positive numbers"
            )
        for name, (kind, _) in self.observation.items():
            if kind not in DTYPES:
                raise LinkError(
                    f"the observation {name!r} has elements of {kind}", f"Use one of {', '.join(DTYPES)}."
                )

    def terms(self, hz: float, stages_on_robot: int = 0) -> Terms:
        """What robot and server must share at a control rate, with the first stages on the robot."""
        self._require_cut(stages_on_robot)
        return Terms(self.digest, statistics_hash(self.statistics), float(hz), stages_on_robot)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of stages (names, sources, parameters), observation and actions."""
        digest = hashlib.sha256()
        said = [sorted((name, kind, tuple(shape)) for name, (kind, shape) in self.observation.items())]
        digest.update(repr((said, self.chunk, self.values)).encode())
        for stage in self.stages:
            digest.update(f"{stage.name}\n{_source(stage.run)}\n".encode())
            for name, tensor in sorted(_parameters(stage.run).items()):
                own = tensor.detach().cpu().contiguous()
                digest.update(f"{name} {own.dtype} {tuple(own.shape)}".encode())
                digest.update(_bytes(own))
        return digest.hexdigest()

    def example(self, batch: int = 1) -> dict[str, Array]:
        """An observation of zeros, `batch` times."""
        return {
            name: np.zeros((batch, *shape), DTYPES[kind]) for name, (kind, shape) in self.observation.items()
        }

    def expects(self, first: int) -> Signature:
        """Names, element types and shapes of what travels to stage `first`, without the batch."""
        self._require_cut(first)
        there = self.run(self.example(), 0, first)
        return signature({name: array[0] for name, array in there.items()})

    def run(self, tensors: Mapping[str, Array], first: int, last: int) -> dict[str, Array]:
        """Stages from `first` to before `last` over arrays with a batch axis."""
        import torch

        if first == last:
            return dict(tensors)
        with torch.inference_mode():
            made: Tensors = {name: torch.from_numpy(_writable(array)) for name, array in tensors.items()}
            for stage in self.stages[first:last]:
                made = stage.run(made)
            return {name: tensor.cpu().numpy() for name, tensor in made.items()}

    def on_robot(self, observation: Mapping[str, Array], stages: int) -> dict[str, Array]:
        """What travels: one observation after the stages that the robot runs itself."""
        if not stages:
            return dict(observation)
        made = self.run({name: array[None] for name, array in observation.items()}, 0, stages)
        return {name: array[0] for name, array in made.items()}

    def answer(self, tensors: Mapping[str, Array], first: int) -> Array:
        """Actions [batch, chunk, values] in float32, from stage `first` on. Raises LinkError where the policy
        gives something else."""
        made = self.run(tensors, first, len(self.stages))
        actions = made.get("actions")
        batch = len(next(iter(tensors.values())))
        if actions is None or actions.shape != (batch, self.chunk, self.values):
            raise LinkError(
                f"the last stage gave {'no actions' if actions is None else f'actions of {actions.shape}'}",
                f"It must give 'actions' of shape {(batch, self.chunk, self.values)}.",
            )
        return actions.astype(np.float32, copy=False)

    def _require_cut(self, stages: int) -> None:
        if not 0 <= stages < len(self.stages):
            raise LinkError(
                f"{stages} stages on the robot leave none of {len(self.stages)} for the server",
                f"Choose from 0 to {len(self.stages) - 1}.",
            )


def _writable(array: Array) -> Array:
    """The array in memory that PyTorch may share: native, whole and writable."""
    return np.array(array, array.dtype.newbyteorder("="), copy=True)


def _bytes(tensor: Any) -> bytes:
    import torch

    return tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def _parameters(run: Any) -> Mapping[str, Any]:
    return run.state_dict() if hasattr(run, "state_dict") else {}


def _source(run: Any) -> str:
    """The text of a function, or of a module's class with what it is made of; their names where there is
    none."""
    subject = run if inspect.isroutine(run) else type(run)
    try:
        text = inspect.getsource(subject)
    except (OSError, TypeError):
        text = f"{subject.__module__}.{subject.__qualname__}"
    return text if inspect.isroutine(run) else f"{text}\n{run!r}"
