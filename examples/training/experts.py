"""Two ways to cut experts, in the form of PyTorch's parallel styles: whole experts on each rank, to which
tokens travel, or a part of every expert's hidden units on each rank."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_to_all_single, all_to_all_single_autograd
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ParallelStyle


def _cut(module: nn.Module, mesh: DeviceMesh, dimensions: dict[str, int]) -> None:
    """Put a module's parameters on the mesh, each cut along its dimension."""
    for name, dimension in dimensions.items():
        whole = module.get_parameter(name)
        setattr(module, name, nn.Parameter(distribute_tensor(whole.detach(), mesh, [Shard(dimension)])))


class HiddenParallel(ParallelStyle):
    """Each rank has some hidden units of every expert; the results are summed."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        _cut(module, device_mesh, {"gate": 1, "up": 1, "down": 2})
        module.register_forward_pre_hook(partial(self._enter, device_mesh))
        module.register_forward_hook(partial(self._leave, device_mesh))
        return module

    @staticmethod
    def _enter(mesh: DeviceMesh, module: nn.Module, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        rows, counts = given
        spread = DTensor.from_local(rows, mesh, [Replicate()], run_check=False)
        return spread.to_local(grad_placements=[Partial()]), counts

    @staticmethod
    def _leave(mesh: DeviceMesh, module: nn.Module, given: Any, served: Tensor) -> Tensor:
        parts = DTensor.from_local(served, mesh, [Partial()], run_check=False)
        return parts.redistribute(placements=[Replicate()]).to_local()


class TokensToExperts(ParallelStyle):
    """Each rank has some experts. Rows travel to the rank of their expert, and their results back; a
    gradient is the mean over ranks of those of their mean losses, as DistributedDataParallel makes it."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        _cut(module, device_mesh, {"gate": 0, "up": 0, "down": 0})
        world = device_mesh.size()
        for parameter in module.parameters():
            parameter.register_hook(lambda gradient: gradient / world)
        serve = module.forward
        module.forward = lambda rows, counts: self._serve(device_mesh, serve, rows, counts)
        return module

    @staticmethod
    def _serve(mesh: DeviceMesh, serve: Any, rows: Tensor, counts: Tensor) -> Tensor:
        group, world = mesh.get_group(), mesh.size()
        arriving = all_to_all_single(counts, None, None, group).view(world, -1)
        sent = counts.view(world, -1).sum(dim=1).tolist()
        received = arriving.sum(dim=1).tolist()
        here = all_to_all_single_autograd(rows, received, sent, group)
        # Here rows are ordered by rank, then expert; experts want theirs together.
        pieces = arriving.flatten().tolist()
        starts = torch.arange(len(pieces)).view(world, -1).t().flatten().tolist()
        parts = here.split(pieces)
        served = serve(torch.cat([parts[piece] for piece in starts]), arriving.sum(dim=0))
        back = served.split([pieces[piece] for piece in starts])
        ordered = torch.cat([back[starts.index(piece)] for piece in range(len(pieces))])
        return all_to_all_single_autograd(ordered, sent, received, group)
