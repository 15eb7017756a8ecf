"""A rank of a job whose ranks run code of different levels of one instruction set, under the policy
`strict`: two steps of a small model under DDP. Writes its level and losses as JSON."""

from __future__ import annotations

import json
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import anychip
import anychip.cluster


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("anychip", timeout=timedelta(seconds=120))
    rank, size = dist.get_rank(), dist.get_world_size()
    levels = [member.level for member in dist.group.WORLD.members()]  # type: ignore[union-attr]
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(16, 8, generator=generator), torch.randn(16, 4, generator=generator)
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.GELU(), torch.nn.Linear(32, 4))
    told = {"levels": levels, "losses": [], "expected": []}
    for losses, trained, policy in (
        (told["expected"], model, None),
        (told["losses"], None, "strict"),
    ):
        torch.manual_seed(2)
        made = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.GELU(), torch.nn.Linear(32, 4))
        if policy:
            anychip.enable(policy)
            trained = DistributedDataParallel(made)
        assert trained is not None
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
        part = slice(rank * 16 // size, (rank + 1) * 16 // size) if policy else slice(0, 16)
        for _ in range(2):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(trained(x[part]), y[part])
            loss.backward()
            optimizer.step()
            mean = loss.detach().clone()
            if policy:
                dist.all_reduce(mean, dist.ReduceOp.AVG)
            losses.append(mean.item())
    print(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
