"""How the work is cut over processes, each by PyTorch's own engine. Flows in: the whole model, equal on every
rank, and the global batch of a step. Flows out: the global mean loss, and gradients of that loss in the
parameters that this rank holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from experts import HiddenParallel, TokensToExperts
from llama import Experts, FeedForward, Llama
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import PipelineStage, schedules
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.experimental import context_parallel
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

DEVICE = "cpu"


@dataclass(frozen=True)
class Settings:
    """What every cut honours: autocast's dtype or None, microbatches and schedule of a pipeline, and whether
    each process's model is compiled, by which back end."""

    dtype: torch.dtype | None = None
    microbatches: int = 4
    schedule: str = "1f1b"
    compiled: str = ""

    def precision(self) -> Any:
        """The context of forward passes."""
        return nullcontext() if self.dtype is None else torch.autocast(DEVICE, self.dtype)


@dataclass
class Engine:
    """`step` runs forward and backward over a global batch and gives the global mean loss, `logits` are
    those of a global batch, on rank 0 at least; `parts` are the modules whose parameters this rank trains;
    ranks of `pipeline` have other parts of the model."""

    parts: list[nn.Module]
    step: Callable[[Tensor, Tensor], float]
    logits: Callable[[Tensor], Tensor]
    pipeline: dist.ProcessGroup | None = None

    def parameters(self) -> list[nn.Parameter]:
        """The parameters of this rank."""
        return [parameter for part in self.parts for parameter in part.parameters()]


def mean_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of each token, its mean, in f32."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def _whole_batch(model: nn.Module, settings: Settings) -> Engine:
    """Every rank sees the whole batch: one process, or tensor parallelism."""
    return _data_parallel(model, settings, None)


def _data_parallel(model: nn.Module, settings: Settings, group: Any) -> Engine:
    """Each rank of the group takes its rows of the batch; the model sums gradients by itself."""
    called = torch.compile(model, backend=settings.compiled) if settings.compiled else model

    def step(tokens: Tensor, targets: Tensor) -> float:
        with settings.precision():
            loss = mean_loss(called(_rows(tokens, group)), _rows(targets, group))
        loss.backward()
        return _mean(loss, group)

    def logits(tokens: Tensor) -> Tensor:
        with torch.no_grad(), settings.precision():
            return _gathered(model(_rows(tokens, group)), group)

    return Engine([model], step, logits)


def _rows(batch: Tensor, group: Any) -> Tensor:
    """This rank's rows of a batch."""
    if group is None:
        return batch
    world = dist.get_world_size(group)
    if len(batch) % world:
        raise SystemExit(f"a batch of {len(batch)} windows is not divided by {world} ranks: choose --batch")
    return batch.chunk(world)[dist.get_rank(group)]


def _mean(loss: Tensor, group: Any) -> float:
    """The mean of equal shares of the global batch."""
    total = loss.detach().double()
    if group is not None:
        dist.all_reduce(total, group=group)
        total /= dist.get_world_size(group)
    return total.item()


def _gathered(rows: Tensor, group: Any) -> Tensor:
    """All ranks' rows in order."""
    if group is None:
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, rows.contiguous(), group=group)
    return torch.cat(parts)


def single(model: Llama, settings: Settings) -> Engine:
    """One process."""
    return _whole_batch(model, settings)


def ddp(model: Llama, settings: Settings) -> Engine:
    """Copies of the model, whose gradients are summed in buckets while backward goes on."""
    return _data_parallel(DistributedDataParallel(model), settings, dist.group.WORLD)


def fsdp2(model: Llama, settings: Settings) -> Engine:
    """Parameters, gradients and the optimiser's state in shards, a layer at a time."""
    mesh = init_device_mesh(DEVICE, (dist.get_world_size(),))
    return _data_parallel(_sharded(model, mesh), settings, mesh.get_group())


def _sharded(model: Llama, mesh: DeviceMesh) -> Llama:
    for layer in model.layers.values():
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def tp2(model: Llama, settings: Settings) -> Engine:
    """Heads, hidden units, experts' hidden units and the vocabulary in parts."""
    return _whole_batch(_by_tensors(model, init_device_mesh(DEVICE, (dist.get_world_size(),))), settings)


def _by_tensors(model: Llama, mesh: DeviceMesh) -> Llama:
    plan: dict[str, ParallelStyle] = {
        "embedding": RowwiseParallel(input_layouts=Replicate()),
        "output": ColwiseParallel(output_layouts=Replicate()),
    }
    for name, layer in model.layers.items():
        for part in ("query", "key", "value"):
            plan[f"layers.{name}.attention.{part}"] = ColwiseParallel()
        plan[f"layers.{name}.attention.output"] = RowwiseParallel()
        if isinstance(layer.feed_forward, FeedForward):
            plan[f"layers.{name}.feed_forward.gate"] = ColwiseParallel()
            plan[f"layers.{name}.feed_forward.up"] = ColwiseParallel()
            plan[f"layers.{name}.feed_forward.down"] = RowwiseParallel()
        else:
            plan[f"layers.{name}.feed_forward.experts"] = HiddenParallel()
    parallelize_module(model, mesh, plan)
    return model


def dp2tp2(model: Llama, settings: Settings) -> Engine:
    """Two shards of data, each of two ranks with tensors in parts."""
    if dist.get_world_size() % 2:
        raise SystemExit(f"dp2tp2 wants an even number of processes, got {dist.get_world_size()}")
    mesh = init_device_mesh(DEVICE, (dist.get_world_size() // 2, 2), mesh_dim_names=("data", "tensor"))
    return _data_parallel(
        _sharded(_by_tensors(model, mesh["tensor"]), mesh["data"]), settings, mesh.get_group("data")
    )


def ep2(model: Llama, settings: Settings) -> Engine:
    """Each rank has some of the experts, and tokens travel to them; the rest is as under `ddp`."""
    mesh = init_device_mesh(DEVICE, (dist.get_world_size(),))
    found = {name: module for name, module in model.named_modules() if isinstance(module, Experts)}
    if not found:
        raise SystemExit("this model has no experts to cut: take --model llama-tiny")
    for name in found:
        parallelize_module(model, mesh, {name: TokensToExperts()})
    apart = [
        f"{name}.{parameter}" for name, module in found.items() for parameter, _ in module.named_parameters()
    ]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, apart)
    return _data_parallel(DistributedDataParallel(model), settings, mesh.get_group())


def cp2(model: Llama, settings: Settings) -> Engine:
    """Each window's positions in parts; keys and values travel around the ring."""
    mesh = init_device_mesh(DEVICE, (dist.get_world_size(),))
    # Each rank has the angles of its own positions, which are not to be copied from rank 0.
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, ["cosines", "sines"])
    wrapped = DistributedDataParallel(model)

    def step(tokens: Tensor, targets: Tensor) -> float:
        tokens, targets = tokens.clone(), targets.clone()
        with context_parallel(
            mesh,
            buffers=[tokens, targets, model.cosines, model.sines],
            buffer_seq_dims=[1, 1, 0, 0],
            no_restore_buffers={tokens, targets},
        ):
            with settings.precision():
                loss = mean_loss(wrapped(tokens), targets)
            loss.backward()
        return _mean(loss, mesh.get_group())

    def logits(tokens: Tensor) -> Tensor:
        with torch.no_grad(), settings.precision():
            return model(tokens)

    return Engine([wrapped], step, logits)


# ---- pipelines ------------------------------------------------------------------------------------

SCHEDULES: dict[str, tuple[Any, Callable[[int, int], list[int]]]] = {
    "1f1b": (schedules.Schedule1F1B, lambda rank, world: [rank]),
    "gpipe": (schedules.ScheduleGPipe, lambda rank, world: [rank]),
    "interleaved": (schedules.ScheduleInterleaved1F1B, lambda rank, world: [rank, rank + world]),
    "zbv": (schedules.ScheduleZBVZeroBubble, lambda rank, world: [rank, 2 * world - 1 - rank]),
}
"""Name -> PyTorch's schedule, and the stages of a rank."""


def pp2(model: Llama, settings: Settings) -> Engine:
    """Layers in stages, microbatches through them."""
    kind, places = SCHEDULES[settings.schedule]
    rank, world = dist.get_rank(), dist.get_world_size()
    mine = places(rank, world)
    count = len(mine) * world
    if len(model.layers) < count:
        raise SystemExit(f"{len(model.layers)} layers do not fill {count} stages: take another --model")
    parts = [_stage(model, index, count) for index in mine]
    stages = [PipelineStage(part, index, count, torch.device(DEVICE)) for part, index in zip(parts, mine)]
    single_stage = issubclass(kind, schedules.PipelineScheduleSingle)
    schedule = kind(stages[0] if single_stage else stages, settings.microbatches, loss_fn=mean_loss)

    def step(tokens: Tensor, targets: Tensor) -> float:
        losses: list[Tensor] = []
        given = (tokens,) if 0 in mine else ()
        with settings.precision():
            if count - 1 in mine:
                schedule.step(*given, target=targets, losses=losses)
            else:
                schedule.step(*given)
        total = (
            torch.stack(losses).detach().double().mean() if losses else torch.zeros((), dtype=torch.float64)
        )
        dist.all_reduce(total)
        return total.item()

    owners = {place: owner for owner in range(world) for place in places(owner, world)}
    width, vocabulary = model.output.weight.shape[1], model.output.weight.shape[0]

    def logits(tokens: Tensor) -> Tensor:
        """Stage after stage, without the schedule: those that split backward have no way to leave it out."""
        x = tokens
        for index in range(count):
            if owners[index] == rank:
                with torch.no_grad(), settings.precision():
                    x = parts[mine.index(index)](x).float()
            else:
                x = torch.empty(*tokens.shape, width if index < count - 1 else vocabulary)
            dist.broadcast(x, src=owners[index])
        return x

    return Engine(parts, step, logits, pipeline=dist.group.WORLD)


def _stage(model: Llama, index: int, count: int) -> Llama:
    """A copy of the model without what other stages have."""
    stage = deepcopy(model)
    names = list(stage.layers)
    share = len(names) / count
    for position, name in enumerate(names):
        if int(position / share) != index:
            del stage.layers[name]
    if index:
        stage.embedding = None
    if index < count - 1:
        stage.norm = stage.output = None
    return stage


CUTS: dict[str, tuple[int, Callable[[Llama, Settings], Engine]]] = {
    "single": (1, single),
    "ddp": (2, ddp),
    "fsdp2": (2, fsdp2),
    "tp2": (2, tp2),
    "pp2": (2, pp2),
    "cp2": (2, cp2),
    "ep2": (2, ep2),
    "dp2tp2": (4, dp2tp2),
}
"""Name -> how many processes are started where none are said, and what cuts the model."""


# ---- the norm of all gradients --------------------------------------------------------------------


def clip_gradients(engine: Engine, most: float) -> float:
    """Scale all gradients so that the norm over the whole model is at most `most`; gives the norm before.

    A parameter counts once: its shards are summed over the ranks that have them, its copies are not."""
    sums: dict[tuple[dist.ProcessGroup, ...], Tensor] = {}
    gradients = [parameter.grad for parameter in engine.parameters() if parameter.grad is not None]
    for gradient in gradients:
        groups = tuple(_shard_groups(gradient))
        local = gradient.to_local() if isinstance(gradient, DTensor) else gradient
        square = local.float().square().sum()
        sums[groups] = sums[groups] + square if groups in sums else square
    total = torch.zeros(())
    for groups, square in sums.items():
        for group in groups:
            dist.all_reduce(square, group=group)
        total = total + square
    if engine.pipeline is not None:
        dist.all_reduce(total, group=engine.pipeline)
    norm = total.sqrt()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        (gradient.to_local() if isinstance(gradient, DTensor) else gradient).mul_(factor)
    return norm.item()


def _shard_groups(gradient: Tensor) -> Iterator[dist.ProcessGroup]:
    """The groups over which a gradient is in shards."""
    if isinstance(gradient, DTensor):
        for dimension, placement in enumerate(gradient.placements):
            if not placement.is_replicate():
                yield gradient.device_mesh.get_group(dimension)
