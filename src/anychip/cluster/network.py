"""What a message between two processes of this machine costs, by the group `anychip`. Flows in: nothing.
Flows out: a `Network` that was measured. Run as a program, it is one of the two."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist

from .errors import ClusterError
from .ranks import Network

SMALL, LARGE = 1 << 10, 8 << 20
ROUNDS = 7
SECONDS = 120


def measured() -> Network:
    """Two processes exchange small and large messages; the least of each counts."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    surroundings = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", __name__]
    both = [
        subprocess.Popen(command, env={**surroundings, "RANK": str(rank)}, stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    try:
        texts = [each.communicate(timeout=SECONDS)[0] for each in both]
    except subprocess.TimeoutExpired:
        raise ClusterError(
            f"two processes of this machine exchanged nothing in {SECONDS} s.", "Say [network] in the file."
        ) from None
    finally:
        for each in both:
            each.kill()
    if any(each.returncode for each in both):
        raise ClusterError("the network could not be measured.", "Say [network] in the file of ranks.")
    small, large = json.loads(texts[0])
    return Network((LARGE - SMALL) / max(large - small, 1e-9), small, is_measured=True)


def _main() -> None:
    import anychip.cluster  # noqa: F401

    torch.set_num_threads(1)
    dist.init_process_group("anychip", timeout=timedelta(seconds=SECONDS / 2))
    rank = dist.get_rank()
    best = []
    for size in (SMALL, LARGE):
        message = torch.zeros(size, dtype=torch.uint8)
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for sender in (0, 1):
                if rank == sender:
                    dist.send(message, 1 - rank)
                else:
                    dist.recv(message, 1 - rank)
            times.append((time.perf_counter() - began) / 2)
        best.append(min(times))
    dist.destroy_process_group()
    if rank == 0:
        sys.stdout.write(json.dumps(best))


if __name__ == "__main__":
    _main()
