"""The one number that a random stream of ours takes from PyTorch's generator. PyTorch's own kernel is taken
when this module is imported, before ours is put in its place. In: a generator. Out: a key."""

from __future__ import annotations

import torch

HOST_DRAW = torch.library.get_kernel("aten::random_.from", "CPU")
HOST_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)


def drawn_seed(generator: torch.Generator | None) -> int:
    """A 62-bit key drawn from PyTorch's generator, or from its own for None."""
    holder = torch.empty((), dtype=torch.int64)
    HOST_DRAW.call_boxed(HOST_KEYS, holder, 0, 1 << 62, generator=generator)
    return int(holder)
