"""What two ranks see of the group `anychip`. Run as a program on each rank; writes JSON: the matrix of
collectives, and facts that test_group.py reads one by one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from tests.cluster import stand_in
from torch.distributed import _functional_collectives as functional

from anychip.cluster import ChipGroup, CollectiveError
from anychip.cluster.shards import Shards, weighted
from anychip.cluster.stages import cut
from tools.cluster.matrix import measured

DEVICE = "acme"
FACTS: dict[str, Callable[[int, int], Any]] = {}


def fact(function: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
    FACTS[function.__name__] = function
    return function


def numbers(rank: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(rank))


@fact
def members(rank: int, size: int) -> Any:
    group: Any = dist.group.WORLD
    assert isinstance(group, ChipGroup)
    return [[member.rank, member.chip, member.level, member.process] for member in group.members()]


@fact
def bools_stay_true(rank: int, size: int) -> Any:
    """gloo adds the bytes: 1 + 1 = 2, and after eight calls 256, which is False."""
    flag = torch.tensor([True, rank == 0, False])
    for _ in range(9):
        dist.all_reduce(flag)
    return [flag.tolist(), flag.view(torch.uint8).tolist()]


@fact
def a_mean_of_integers_is_refused_untouched(rank: int, size: int) -> Any:
    tensor = torch.arange(4) + rank
    try:
        dist.all_reduce(tensor, dist.ReduceOp.AVG)
    except CollectiveError as error:
        return [str(error), torch.equal(tensor, torch.arange(4) + rank)]
    return ["", False]


@fact
def overlap_is_refused(rank: int, size: int) -> Any:
    told = []
    base = torch.zeros(8)
    tensors = {
        "expanded": torch.zeros(1).expand(4),
        "windows": torch.as_strided(base, (3, 3), (1, 1)),
        "lattice": torch.as_strided(base, (2, 2), (3, 2)),
    }
    for name, tensor in tensors.items():
        try:
            dist.all_reduce(tensor)
        except CollectiveError as error:
            told.append([name, str(error).splitlines()[0]])
        else:
            told.append([name, ""])
    try:
        dist.all_gather([base[:4], base[3:7]], torch.ones(4))
    except CollectiveError as error:
        told.append(["rows", str(error).splitlines()[0]])
    return told


@fact
def one_element_of_any_stride(rank: int, size: int) -> Any:
    tensor = torch.arange(6.0).view(1, 6)[:, 2 + rank :: 5]
    dist.all_reduce(tensor)
    return tensor.tolist()


@fact
def an_expanded_tensor_may_be_read(rank: int, size: int) -> Any:
    outputs = [torch.zeros(4) for _ in range(size)]
    dist.all_gather(outputs, torch.full((1,), float(rank)).expand(4))
    return [output.tolist() for output in outputs]


@fact
def a_nan_is_not_lost(rank: int, size: int) -> Any:
    tensor = torch.tensor([float("nan") if rank == 1 else 1.0, float("nan") if rank == 0 else 1.0])
    least, greatest = tensor.clone(), tensor.clone()
    dist.all_reduce(least, dist.ReduceOp.MIN)
    dist.all_reduce(greatest, dist.ReduceOp.MAX)
    return bool(least.isnan().all() and greatest.isnan().all())


@fact
def small_floats_are_rounded_once(rank: int, size: int) -> Any:
    """Against the sum in float64, rounded to the type."""
    wrong = {}
    for dtype in (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2):
        terms = [numbers(r, 20_011).to(dtype) for r in range(size)]
        tensor = terms[rank].clone()
        dist.all_reduce(tensor)
        exact = sum(term.double() for term in terms)
        assert isinstance(exact, torch.Tensor)
        wrong[str(dtype)] = int((tensor.float() != exact.float().to(dtype).float()).sum())
    return wrong


@fact
def many_pieces(rank: int, size: int) -> Any:
    """Several pieces and a remainder, on a strided tensor of one rank and a plain one of the other."""
    count = (5 << 20) // 4 + 3
    terms = [numbers(r, count) for r in range(size)]
    mine = terms[rank].clone()
    if rank == 0:
        wide = torch.zeros(count, 2)
        wide[:, 1] = mine
        mine = wide[:, 1]
    dist.all_reduce(mine)
    out = [bool(torch.equal(mine, terms[0] + terms[1]))]
    half = terms[rank].bfloat16()
    dist.all_reduce(half)
    expected = (terms[0].bfloat16().float() + terms[1].bfloat16().float()).bfloat16()
    out.append(bool(torch.equal(half, expected)))
    rows = numbers(rank, size, count)
    output = torch.empty(count)
    dist.reduce_scatter_tensor(output, rows)
    out.append(bool(torch.equal(output, numbers(0, size, count)[rank] + numbers(1, size, count)[rank])))
    return out


@fact
def a_device_and_the_host(rank: int, size: int) -> Any:
    """Rank 0's tensors are in a device's memory, rank 1's in the host's."""

    def mine(host: torch.Tensor) -> torch.Tensor:
        return stand_in.on_device(host, DEVICE) if rank == 0 else host.clone()

    def read(tensor: torch.Tensor) -> torch.Tensor:
        return stand_in.on_host(tensor)

    count = 1_200_003
    terms = [numbers(r, count) for r in range(size)]
    right = {}
    tensor = mine(terms[rank])
    dist.all_reduce(tensor)
    right["all_reduce"] = torch.equal(read(tensor), terms[0] + terms[1])
    tensor = mine(terms[rank].bfloat16())
    dist.all_reduce(tensor, dist.ReduceOp.AVG)
    mean = ((terms[0].bfloat16().float() + terms[1].bfloat16().float()) / 2).bfloat16()
    right["mean of bf16"] = torch.equal(read(tensor), mean)
    tensor = mine(terms[rank])
    dist.broadcast(tensor, 1)
    right["broadcast"] = torch.equal(read(tensor), terms[1])
    output = mine(torch.zeros(2 * 1000))
    dist.all_gather_into_tensor(output, mine(terms[rank][:1000]))
    right["all_gather"] = torch.equal(read(output), torch.cat([term[:1000] for term in terms]))
    output = mine(torch.zeros(1000))
    dist.reduce_scatter_tensor(output, mine(terms[rank][:2000]))
    part = slice(rank * 1000, rank * 1000 + 1000)
    right["reduce_scatter"] = torch.equal(read(output), terms[0][part] + terms[1][part])
    if rank == 0:
        dist.send(mine(terms[0][:77]), 1)
    else:
        received = torch.zeros(77)
        dist.recv(received, 0)
        right["send"] = torch.equal(received, terms[0][:77])
    return right


@fact
def messages_cross(rank: int, size: int) -> Any:
    """Both ranks post their receive before their send."""
    received = torch.zeros(3, 2).t()
    works = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.irecv, received, 1 - rank),
            dist.P2POp(dist.isend, numbers(rank, 2, 3), 1 - rank),
        ]
    )
    for work in works:
        work.wait()
    anyone = torch.zeros(1)
    if rank == 0:
        source = dist.recv(anyone)
    else:
        dist.send(torch.ones(1), 0)
        source = 1
    return [bool(torch.equal(received, numbers(1 - rank, 2, 3))), source]


@fact
def objects_and_groups(rank: int, size: int) -> Any:
    gathered: list[Any] = [None] * size
    dist.all_gather_object(gathered, {"rank": rank})
    alone = dist.new_group([1])
    pair: Any = dist.new_group([1, 0])
    tensor = torch.tensor([float(rank)])
    dist.all_reduce(tensor, group=pair)
    return [gathered, tensor.item(), alone is not None, dist.get_backend(pair)]


@fact
def functional_collectives(rank: int, size: int) -> Any:
    group: Any = dist.group.WORLD
    x = numbers(rank, 4, 3)
    total = numbers(0, 4, 3) + numbers(1, 4, 3)
    reduced = functional.wait_tensor(functional.all_reduce(x.t(), "sum", group))
    scattered = functional.wait_tensor(functional.reduce_scatter_tensor(x, "sum", 0, group))
    gathered = functional.wait_tensor(functional.all_gather_tensor(x, 0, group))
    return [
        bool(torch.equal(reduced, total.t())),
        bool(torch.equal(scattered, total[2 * rank : 2 * rank + 2])),
        bool(torch.equal(gathered, torch.cat([numbers(0, 4, 3), numbers(1, 4, 3)]))),
    ]


def _model() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))


def _trained(model: torch.nn.Module, batches: Any, weigh: Any) -> list[float]:
    """Losses of plain descent, written out: the first step of an optimizer of PyTorch's imports its
    compiler."""
    losses = []
    for x, y in batches:
        model.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        weigh(loss).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.05 * parameter.grad
        losses.append(loss.item())
    return losses


def _data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(48, 6, generator=generator), torch.randn(48, 2, generator=generator)


@fact
def shards_of_unequal_size(rank: int, size: int) -> Any:
    """Losses and weights of one process on the whole batch, and of shards of 9 and 3 under DDP."""
    from torch.nn.parallel import DistributedDataParallel

    x, y = _data()
    order = Shards(48, 12, [3.0, 1.0], 0, seed=1)
    whole = [(x[i], y[i]) for i in (torch.tensor(order.batch(step)) for step in range(order.batches))]
    alone = _model()
    expected = _trained(alone, whole, lambda loss: loss)
    shards = Shards(48, 12, [3.0, 1.0], rank, seed=1)
    mine = [(x[i], y[i]) for i in (torch.tensor(indices) for indices in shards)]
    model = DistributedDataParallel(_model())
    losses = _trained(model, mine, shards.weigh)
    together = []
    for loss in losses:
        total = torch.tensor(loss * shards.sizes[rank] / shards.global_batch)
        dist.all_reduce(total)
        together.append(total.item())
    difference = max(
        float((a - b).abs().max()) for a, b in zip(alone.parameters(), model.module.parameters())
    )
    by_count = weighted(torch.tensor(2.0 + rank), [9, 3][rank]).item()
    return {"sizes": shards.sizes, "expected": expected, "losses": together, "difference": difference,
            "by count": by_count}  # fmt: skip


@fact
def fully_sharded(rank: int, size: int) -> Any:
    """FSDP2 over the group: losses of three steps against one process's, in f32 and with bf16 gradients."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    x, y = _data()
    batches = [(x[k : k + 16], y[k : k + 16]) for k in (0, 16, 32)]
    halves = [(x[k + 8 * rank : k + 8 * rank + 8], y[k + 8 * rank : k + 8 * rank + 8]) for k in (0, 16, 32)]
    expected = _trained(_model(), batches, lambda loss: loss)
    told = {"expected": expected}
    policies = {"f32": MixedPrecisionPolicy(), "bf16": MixedPrecisionPolicy(reduce_dtype=torch.bfloat16)}
    for name, policy in policies.items():
        model: Any = _model()
        fully_shard(model, mp_policy=policy)
        told[name] = []
        for loss in _trained(model, halves, lambda loss: loss):
            mean = torch.tensor(loss)
            dist.all_reduce(mean, dist.ReduceOp.AVG)
            told[name].append(mean.item())
    return told


@fact
def stages_of_unequal_size(rank: int, size: int) -> Any:
    """PyTorch's own pipeline over stages of 4 and 2 layers: loss and gradients of one process."""
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B

    def layers() -> list[torch.nn.Module]:
        torch.manual_seed(7)
        return [torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Tanh()) for _ in range(6)]

    x, _ = _data()
    target = x.flip(0)
    alone = torch.nn.Sequential(*layers())
    expected = torch.nn.functional.mse_loss(alone(x), target)
    expected.backward()
    parts = cut([1.0] * 6, [2.0, 1.0])
    mine = torch.nn.Sequential(*[layers()[index] for index in parts[rank]])
    stage = PipelineStage(mine, rank, size, torch.device("cpu"))
    schedule = Schedule1F1B(stage, 4, loss_fn=torch.nn.functional.mse_loss)
    losses: list[torch.Tensor] = []
    if rank == 0:
        schedule.step(x)
    else:
        schedule.step(target=target, losses=losses)
    wanted = [p.grad for index in parts[rank] for p in alone[index].parameters()]
    found = [p.grad for p in mine.parameters()]
    off = max(float((a - b).abs().max()) for a, b in zip(wanted, found) if a is not None and b is not None)
    mean = float(torch.stack(losses).mean()) if losses else expected.item()
    return {"layers": [len(part) for part in parts], "loss": mean, "expected": expected.item(), "off": off}


SLOW = ("fully_sharded", "stages_of_unequal_size")
"""Facts whose packages take seconds to import."""


def main(shape: tuple[int, ...], slow: bool) -> None:
    torch.set_num_threads(1)
    kept = None if slow else stand_in.make(DEVICE)
    dist.init_process_group("anychip", timeout=timedelta(seconds=60))
    rank, size = dist.get_rank(), dist.get_world_size()
    told: dict[str, Any] = {} if slow else {"matrix": measured(shape)}
    wanted = SLOW if slow else [name for name in FACTS if name not in SLOW]
    for name in wanted:
        function = FACTS[name]
        try:
            told[name] = function(rank, size)
        except Exception as error:  # a fact that cannot be told must not keep the others from it
            told[name] = f"{type(error).__name__}: {error}"
    told["process"] = os.getpid()
    print(json.dumps(told))
    dist.destroy_process_group()
    if kept is not None:
        kept._destroy()


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1].split("x"))), "slow" in sys.argv)
