"""PyTorch's digest of its own sources, part of the key of every graph that it keeps. Flows in: the digest as
PyTorch computes it, from every file it has. Flows out: the same one, remembered for an installation."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch._inductor import codecache

from ...triton_backend.fingerprint import remembered


@functools.cache
def settle() -> None:
    """Give PyTorch its digest of the sources as they are now. A PyTorch that takes none goes on as it did."""
    key = codecache.torch_key
    give = getattr(key, "set", None)
    if give is None:
        return
    digest = remembered("torch", (Path(torch.__file__).parent,), lambda: key().hex())
    try:
        give(bytes.fromhex(digest))
    except RuntimeError:  # this process has computed it already
        return
