#!/usr/bin/env bash
# The bits of a sum that gloo's all-reduce gives to an element depend on where in the tensor the element stands.
# Versions: torch 2.13.0.
# With three ranks and more a ring passes parts of the tensor on, and each part begins its sum at another rank: the same
# three numbers give 1 in one third of the places and 1 + 2^-23 in another. So a job whose buckets of gradients are laid
# out anew (as DDP does after its first step) or that is resumed from a checkpoint differs in the last bits, though each
# rank computes the same. With two ranks there is one order only.
# Seen: 1 + 2^-23 in elements 0 to 9 of 30, and 1 in the others.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/sums.py" <<'END'
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing

COUNT = 30
NUMBERS = (1.0, 2.0**-24, 2.0**-24)


def rank(number: int, store: str) -> None:
    dist.init_process_group("gloo", store=dist.FileStore(store, 3), rank=number, world_size=3)
    x = torch.full((COUNT,), NUMBERS[number])
    dist.all_reduce(x)
    if number == 0:
        larger = [place for place in range(COUNT) if x[place] != 1]
        print("sums:", sorted(set(x.tolist())), "- the larger one at", larger)
        assert set(x.tolist()) == {1.0, 1.0 + 2.0**-23}
        assert larger == list(range(10))
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(rank, (sys.argv[1],), 3)
END
"$work/venv/bin/python" "$work/sums.py" "$work/store"
