"""What each layer of a model costs on this machine. Flows in: a model and a batch. Flows out: for what
comes before the layers, and for each layer (the last one with what follows it, up to the loss), measured
seconds forward and backward, operations, and bytes.

Layers are those of the model's longest list of modules. Forward is timed between the layers' hooks,
backward between the gradients of their outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .errors import CutError


@dataclass(frozen=True, slots=True)
class Part:
    """A layer, or what is before all of them, for the batch that was profiled. Seconds are measured;
    `flops` are those of the forward pass; `saved` bytes are kept for backward, `output` bytes go to the
    next part, and `parameters` counts bytes of weights."""

    name: str
    forward: float
    backward: float
    flops: float
    parameters: int
    saved: int
    output: int

    @property
    def seconds(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward

    @property
    def moved(self) -> float:
        """Bytes that forward and backward read and write at least: weights three times, what is saved
        twice."""
        return 3.0 * self.parameters + 2.0 * (self.saved + self.output)


@dataclass(frozen=True, slots=True)
class Profile:
    """The parts of a model in order, for `batch` samples; `optimizer` seconds of an AdamW step over all
    weights."""

    parts: tuple[Part, ...]
    batch: int
    optimizer: float

    @property
    def seconds(self) -> float:
        """Forward and backward of the whole model for the batch."""
        return sum(part.seconds for part in self.parts)

    @property
    def parameters(self) -> int:
        """Bytes of all weights."""
        return sum(part.parameters for part in self.parts)


Clock = Callable[[], float]


class _Pass:
    """One forward and backward, with what was seen at the boundary of each part."""

    def __init__(self, layers: Sequence[torch.nn.Module], clock: Clock, look: Callable[[], float]):
        self.clock, self.look = clock, look
        self.begins: list[float] = []
        self.seen: list[float] = []
        self.outputs: list[int] = []
        self.gradients: dict[int, float] = {}
        self.handles = [layer.register_forward_pre_hook(self._enter) for layer in layers]

    def _enter(self, layer: torch.nn.Module, arguments: Any) -> None:
        index = len(self.begins)
        tensor = next((x for x in arguments if isinstance(x, torch.Tensor) and x.is_floating_point()), None)
        if tensor is not None:
            self.outputs.append(tensor.numel() * tensor.element_size())
            if tensor.requires_grad:
                tensor.register_hook(lambda _, index=index: self._arrived(index))
        else:
            self.outputs.append(0)
        self.seen.append(self.look())
        self.begins.append(self.clock())

    def _arrived(self, index: int) -> None:
        self.gradients.setdefault(index, self.clock())


def layers_of(model: torch.nn.Module) -> tuple[str, list[torch.nn.Module]]:
    """The name and modules of the model's longest list of modules. Raises CutError for a model without
    one."""
    lists = [
        (name, list(module.children()))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList | torch.nn.Sequential | torch.nn.ModuleDict)
    ]
    if not lists or len(max(lists, key=lambda each: len(each[1]))[1]) < 2:
        raise CutError(
            f"{type(model).__name__} has no list of layers.",
            "Keep its layers in a ModuleList, a ModuleDict or a Sequential.",
        )
    return max(lists, key=lambda each: len(each[1]))


def profile(
    model: torch.nn.Module,
    loss_of: Callable[[torch.nn.Module], torch.Tensor],
    batch: int,
    rounds: int = 5,
    clock: Clock = time.perf_counter,
) -> Profile:
    """Measure a model. `loss_of(model)` computes the loss of `batch` samples; the least of `rounds` counts,
    after one that is not timed. The model's gradients are cleared and its weights change (the optimizer is
    timed)."""
    name, layers = layers_of(model)
    once = _counted(model, layers, loss_of)
    forward, backward = [], []
    for _ in range(rounds + 1):
        model.zero_grad(set_to_none=True)
        seen = _Pass(layers, clock, float)
        try:
            began = clock()
            loss = loss_of(model)
            ended = clock()
            loss.backward()
            finished = clock()
        finally:
            for handle in seen.handles:
                handle.remove()
        edges = [began, *seen.begins, ended]
        forward.append([b - a for a, b in pairwise(edges)])
        arrived = [seen.gradients.get(index, finished) for index in range(len(layers))]
        back = [finished, *arrived, ended]
        backward.append([max(a - b, 0.0) for a, b in pairwise(back)])
    names = ["before", *(f"{name}.{index}" for index in range(len(layers)))]
    parts = [
        Part(part, min(f[i] for f in forward[1:]), min(b[i] for b in backward[1:]), *once[i])
        for i, part in enumerate(names)
    ]
    return Profile(tuple(parts), batch, _optimizer_seconds(model, rounds, clock))


def _counted(
    model: torch.nn.Module,
    layers: Sequence[torch.nn.Module],
    loss_of: Callable[[torch.nn.Module], torch.Tensor],
) -> list[tuple[float, int, int, int]]:
    """For each part: operations forward, bytes of weights, bytes saved, bytes of its output."""
    saved = [0]
    known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            known.add(storage.data_ptr())
            kept.append(tensor)
            saved[-1] += storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)

    def look() -> float:
        saved.append(0)
        return float(counter.get_total_flops())

    seen = _Pass(layers, time.perf_counter, look)
    try:
        with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss_of(model)
            total = float(counter.get_total_flops())
    finally:
        for handle in seen.handles:
            handle.remove()
    if len(seen.begins) != len(layers):
        raise CutError(
            f"{len(seen.begins)} calls of {len(layers)} layers in a forward pass.",
            "Each layer of the list must be called once, in order.",
        )
    edges = [0.0, *seen.seen, total]
    inside = {id(parameter) for layer in layers for parameter in layer.parameters()}
    rest = sum(p.numel() * p.element_size() for p in model.parameters() if id(p) not in inside)
    embeddings = {
        id(p): p.numel() * p.element_size()
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
        for p in module.parameters()
        if id(p) not in inside
    }
    before = sum(embeddings.values())
    weights = [
        before,
        *(sum(p.numel() * p.element_size() for p in layer.parameters()) for layer in layers),
    ]
    weights[-1] += rest - before
    outputs = [*seen.outputs, 0]
    return [(edges[i + 1] - edges[i], weights[i], saved[i], outputs[i]) for i in range(len(layers) + 1)]


def _optimizer_seconds(model: torch.nn.Module, rounds: int, clock: Clock) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    best = float("inf")
    for _ in range(rounds + 1):
        began = clock()
        optimizer.step()
        best = min(best, clock() - began)
    model.zero_grad(set_to_none=True)
    return best


def as_rows(found: Profile) -> list[dict[str, Any]]:
    """The parts as plain data."""
    return [{field.name: getattr(part, field.name) for field in fields(part)} for part in found.parts]
