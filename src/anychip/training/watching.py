"""What a rank of a watched job writes: a line of JSON for each step, in a file of its own. Flows in: the
environment that `anychip train` sets, and either the script's reports or the steps of its optimisers. Flows
out: lines with step, loss, tokens, seconds since the process began and peak memory."""

from __future__ import annotations

import atexit
import functools
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import IO, Any

from ..environment import TRAIN, TRAIN_CHIPS

TARGET = "ANYCHIP_TARGET"


class _Rank:
    """This process's file, and what is known of its steps."""

    def __init__(self, folder: Path):
        self.number = int(os.environ.get("RANK", "0"))
        self.file: IO[str] = (folder / f"{self.number}.jsonl").open("a", encoding="utf-8", buffering=1)
        self.begun = time.perf_counter()
        self.step = 0
        self.reports = False
        self.losses: list[Any] = []
        self.held: dict[str, Any] | None = None
        """The first step that an optimiser told of: whether the script reports its steps is known later."""

    def write(self, loss: float | None, tokens: int) -> None:
        """Write a line for a step, after what was held."""
        self.release()
        self.file.write(json.dumps(self.line(loss, tokens)) + "\n")

    def line(self, loss: float | None, tokens: int) -> dict[str, Any]:
        """What is written of the next step."""
        self.step += 1
        return {
            "step": self.step - 1,
            "loss": loss,
            "tokens": tokens,
            "seconds": time.perf_counter() - self.begun,
            "memory": peak_memory(),
        }

    def release(self) -> None:
        """Write the line that was held, if any."""
        if self.held is not None:
            self.file.write(json.dumps(self.held) + "\n")
            self.held = None


_rank: _Rank | None = None


def peak_memory() -> int:
    """The most memory that this process has had so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def report(*, loss: float | None = None, tokens: int = 0) -> None:
    """Say that a step is done: its loss, and the tokens of the global batch. Nothing happens outside of
    `anychip train`."""
    if _rank is not None:
        if not _rank.reports and _rank.held is not None:
            _rank.held, _rank.step = None, 0  # the step that is reported now
        _rank.reports = True
        _rank.write(loss, tokens)


def prepare() -> None:
    """Choose this rank's chip, before anything of Anychip asks for it."""
    names = os.environ.get(TRAIN_CHIPS, "").split(",")
    number = int(os.environ.get("RANK", "0"))
    if any(names) and names[number % len(names)]:
        os.environ[TARGET] = names[number % len(names)]


def start() -> None:
    """Watch this process, if it is a rank of a watched job: one that torchrun started, or the script
    itself."""
    global _rank
    if _rank is not None or "torch.distributed.run" in sys.orig_argv:
        return
    _rank = _Rank(Path(os.environ[TRAIN]))
    atexit.register(_rank.release)
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    register_optimizer_step_post_hook(_stepped)
    torch.autograd.backward = _noting(torch.autograd.backward)


def _noting(backward: Any) -> Any:
    """PyTorch's `backward`, whose scalar tensors are noted as losses."""
    import torch

    @functools.wraps(backward)
    def noted(tensors: Any, *arguments: Any, **keywords: Any) -> Any:
        rank = _rank
        if rank is not None and not rank.reports and not torch.compiler.is_compiling():
            one = tensors if isinstance(tensors, torch.Tensor) else None
            if one is not None and one.numel() == 1:
                rank.losses.append(one.detach())
        return backward(tensors, *arguments, **keywords)

    return noted


def _stepped(*_: Any) -> None:
    """An optimiser has made a step: the mean of the losses since the last one is its loss."""
    rank = _rank
    if rank is None or rank.reports or not rank.losses:
        return
    losses = [float(loss) for loss in rank.losses]
    rank.losses.clear()
    mean = sum(losses) / len(losses)
    if rank.step == 0:
        rank.held = rank.line(mean, 0)
    else:
        rank.write(mean, 0)
