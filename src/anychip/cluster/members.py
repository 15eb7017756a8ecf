"""Who is in a job: each rank's chip, host and threads, told to all when the group begins. Flows in: the
machine at hand, and what the environment says of this rank. Flows out: `Member`."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass

import torch
from torch._C._distributed_c10d import Store

from .. import chips
from ..compiler.targets.host import host

CHIP = "ANYCHIP_CHIP"
"""Environment variable: what this rank calls its chip, where the machine's own name does not tell ranks
apart."""


@dataclass(frozen=True, slots=True)
class Member:
    """A rank of the job. `chip` is the registry's identifier where the system reveals one, else the
    processor's name; `level` the instruction set or core that code is compiled for; `device` PyTorch's
    device type."""

    rank: int
    chip: str
    level: str
    device: str
    hostname: str
    process: int
    threads: int

    def __str__(self) -> str:
        return f"rank {self.rank} ({self.chip}, process {self.process} on {self.hostname})"


def this_member(rank: int) -> Member:
    """This process as rank `rank`."""
    machine = chips.detect_host()
    named = os.environ.get(CHIP, "") or (machine.chip.identifier if machine.chip else machine.model)
    target = host()
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return Member(
        rank,
        named or machine.architecture,
        target.cpu if target.name == "host" else target.name,
        accelerator.type if accelerator is not None else "cpu",
        socket.gethostname(),
        os.getpid(),
        torch.get_num_threads(),
    )


def announce(store: Store, member: Member) -> None:
    """Tell all ranks who this one is."""
    store.set(f"member/{member.rank}", json.dumps(asdict(member)))


def read(store: Store, rank: int) -> Member:
    """Who rank `rank` said that it is; waits for it as long as the store does."""
    return Member(**json.loads(store.get(f"member/{rank}")))
