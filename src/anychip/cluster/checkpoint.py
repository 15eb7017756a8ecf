"""Checkpoints that a job goes on from with the loss that it would have had. Flows in: model, optimizer, the
place in the data, random states. Flows out: folders by PyTorch's distributed checkpoint (DCP), each whole
or not there.

A checkpoint is written beside its place and renamed when every rank has written: a rank that is killed, or
a disk that is full, leaves the one before. What DCP would change silently on loading (a type cast, weights
that were shared and are not) is refused."""

from __future__ import annotations

import os
import random
import re
import shutil
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save

from .errors import CheckpointError
from .group import ChipGroup

PARTIAL = ".partial"
_NAME = re.compile(r"step-(\d{8})")


class Stateful(Protocol):
    """What keeps its place: `Shards`, torchdata's loaders."""

    def state_dict(self) -> dict[str, Any]:
        """The place."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a place."""
        ...


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A checkpoint that is being written; `ended` holds the reasons by rank where it could not be."""

    step: int
    partial: Path
    ended: Future[dict[int, str]]


class Checkpoints:
    """The checkpoints of a job in a folder that all ranks see, every `every` steps, the newest `keep` of
    them kept.

    `after(step)` follows each step; `restore()` goes back to the newest whole one and returns the step to
    go on with. All methods are collectives. The model may be wrapped by DDP or FSDP2, and restored in
    another cut. With `is_async` weights are copied and written while steps go on: one that could not be
    written is told of when the next one begins, or by `finish()`, which a job calls at its end."""

    def __init__(
        self,
        folder: Path | str,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        data: Stateful | None = None,
        every: int = 100,
        keep: int = 2,
        group: dist.ProcessGroup | None = None,
        is_async: bool = False,
    ):
        self._folder = Path(folder)
        self._model, self._optimizer, self._data = model, optimizer, data
        self._every, self._keep = every, keep
        self._group = group if group is not None else dist.group.WORLD
        self._rank = dist.get_rank(group)
        self._under_way: _UnderWay | None = None
        # A group of their own: what the writers tell each other must not meet the steps' collectives.
        self._writers: Any = (
            dist.new_group(
                dist.get_process_group_ranks(self._group),
                timeout=self._group.timeout if isinstance(self._group, ChipGroup) else None,
                use_local_synchronization=True,
            )
            if is_async
            else None
        )

    def after(self, step: int) -> None:
        """Save where `step` (from 0) ends an interval. Raises CheckpointError where a rank could not
        write."""
        if (step + 1) % self._every == 0:
            self.save(step)

    def save(self, step: int) -> None:
        """Write a checkpoint of the state after `step`, or begin to. Raises CheckpointError on every rank
        where one could not write; what was there stays."""
        self.finish()
        partial = self._folder / f"step-{step + 1:08}{PARTIAL}"
        errors = self._gathered(self._write_own(partial))
        if errors:
            self._refuse(step, partial, errors)
        if self._writers is not None:
            self._under_way = _UnderWay(step, partial, self._begun(partial, self._writers))
            return
        errors = self._write_shared(partial) or self._gathered(self._kept(partial))
        if errors:
            self._refuse(step, partial, errors)

    def finish(self) -> None:
        """Wait for a checkpoint that is being written. Raises CheckpointError where it could not be."""
        if self._under_way is not None:
            begun, self._under_way = self._under_way, None
            told = begun.ended.result()
            errors = self._gathered(told.get(self._rank, ""))
            if errors:
                self._refuse(begun.step, begun.partial, errors)

    def _refuse(self, step: int, partial: Path, errors: dict[int, str]) -> NoReturn:
        """Raise for what ranks could not write, and leave nothing of it."""
        if self._rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
        told = "; ".join(f"{self._who(rank)}: {text}" for rank, text in sorted(errors.items()))
        kept = [number for number, _ in self._whole()]
        begin = f"step {kept[-1]}" if kept else "its beginning"
        raise CheckpointError(
            f"the checkpoint after step {step} was not written. {told}",
            f"The job can go on from {begin}: make room, and start it again.",
        )

    def _kept(self, partial: Path) -> str:
        """Rank 0 puts a checkpoint that all have written in its place, and removes old ones. The reason
        where it cannot."""
        if self._rank:
            return ""
        told = _renamed(partial, partial.with_name(partial.name.removesuffix(PARTIAL)))
        for _, old in self._whole()[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        return told

    def _begun(self, partial: Path, writers: dist.ProcessGroup) -> Future[dict[int, str]]:
        """Copy the state, and have a thread write it; rank 0's puts it in its place."""
        ended: Future[dict[int, str]] = Future()

        def end(written: Future[Any]) -> None:
            try:
                errors = _failures(written.exception())
                if not errors and (told := self._kept(partial)):
                    errors = {self._rank: told}
                ended.set_result(errors)
            except OSError as error:
                ended.set_result({self._rank: _first_line(error)})

        begun: Any = async_save(self._state(), checkpoint_id=partial, process_group=writers)
        begun.add_done_callback(end)
        return ended

    def restore(self) -> int:
        """Load the newest whole checkpoint; 0 where there is none. Raises CheckpointError for one of
        another model."""
        if self._rank == 0:
            for half in self._folder.glob(f"*{PARTIAL}"):
                shutil.rmtree(half, ignore_errors=True)
        found: list[Any] = [self._whole()[-1:] if self._rank == 0 else None]
        dist.broadcast_object_list(found, group=self._group, group_src=0)
        if not found[0]:
            return 0
        step, folder = found[0][0]
        own = self._own_of(folder)
        model, optimizer = get_state_dict(self._model, self._optimizer)
        self._require_same(folder, {"model": model}, own)
        state = {"model": model, "optimizer": optimizer}
        load(state, checkpoint_id=folder, process_group=self._group)
        set_state_dict(
            self._model,
            self._optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )
        if self._data is not None and own["data"] is not None:
            self._data.load_state_dict(own["data"])
        _set_random_states(own["random"])
        return step

    # ------------------------------------------------------------------------------------------------

    def _write_own(self, partial: Path) -> str:
        """This rank's file: random states, the place in the data. The reason where it cannot be written."""
        own = {
            "random": _random_states(),
            "data": self._data.state_dict() if self._data is not None else None,
            "shared": shared_weights(self._model),
        }
        try:
            partial.mkdir(parents=True, exist_ok=True)
            with open(partial / f"rank-{self._rank}.pt", "wb") as file:
                torch.save(own, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            return _first_line(error)
        return ""

    def _write_shared(self, partial: Path) -> dict[int, str]:
        try:
            save(self._state(), checkpoint_id=partial, process_group=self._group)
        except CheckpointException as error:
            return _failures(error)
        return {}

    def _state(self) -> dict[str, Any]:
        model, optimizer = get_state_dict(self._model, self._optimizer)
        return {"model": model, "optimizer": optimizer}

    def _gathered(self, text: str) -> dict[int, str]:
        """The texts of those ranks that have one."""
        texts: list[Any] = [""] * dist.get_world_size(self._group)
        dist.all_gather_object(texts, text, group=self._group)
        return {rank: each for rank, each in enumerate(texts) if each}

    def _whole(self) -> list[tuple[int, Path]]:
        """The checkpoints that are there, oldest first."""
        names = self._folder.iterdir() if self._folder.is_dir() else ()
        matches = ((_NAME.fullmatch(path.name), path) for path in names)
        return sorted((int(match[1]), path) for match, path in matches if match)

    def _own_of(self, folder: Path) -> dict[str, Any]:
        """What this rank wrote; a rank that was not there takes the place of rank 0."""
        mine = folder / f"rank-{self._rank}.pt"
        return torch.load(mine if mine.is_file() else folder / "rank-0.pt", weights_only=False)

    def _require_same(self, folder: Path, state: dict[str, Any], own: dict[str, Any]) -> None:
        metadata = FileSystemReader(folder).read_metadata().state_dict_metadata
        for name, tensor in state["model"].items():
            saved = metadata.get(f"model.{name}")
            if not isinstance(saved, TensorStorageMetadata) or not isinstance(tensor, torch.Tensor):
                continue
            if saved.properties.dtype != tensor.dtype:
                raise CheckpointError(
                    f"{name} was saved as {saved.properties.dtype} and is {tensor.dtype} now.",
                    "DCP would cast it silently, and wrap integers. Convert the model before or after.",
                )
            if saved.size != tensor.shape:
                raise CheckpointError(
                    f"{name} was saved as {tuple(saved.size)} and is {tuple(tensor.shape)} now.",
                    "It is the checkpoint of another model.",
                )
        if own["shared"] != (now := shared_weights(self._model)):
            raise CheckpointError(
                f"weights shared when saved: {own['shared']}; now: {now}.",
                "Tie them as they were: training would go on with other gradients.",
            )

    def _who(self, rank: int) -> str:
        return str(self._group.members()[rank]) if isinstance(self._group, ChipGroup) else f"rank {rank}"


def shared_weights(model: torch.nn.Module) -> list[list[str]]:
    """The names of parameters that are one and the same, group by group."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name.replace("module.", ""))
    return sorted(sorted(group) for group in names.values() if len(group) > 1)


def _random_states() -> dict[str, Any]:
    devices = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    module = torch.get_device_module(devices) if devices is not None else None
    states = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if module is not None and hasattr(module, "get_rng_state"):
        states["device"] = module.get_rng_state()
    return states


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    if "device" in states and torch.accelerator.is_available():
        device = torch.accelerator.current_accelerator()
        assert device is not None
        torch.get_device_module(device).set_rng_state(states["device"])


def _failures(error: BaseException | None) -> dict[int, str]:
    """Why ranks could not write, by rank; of other errors each rank knows its own alone."""
    if isinstance(error, CheckpointException):
        return {rank: _first_line(failure[0]) for rank, failure in error.failures.items()}
    return {} if error is None else {dist.get_rank(): _first_line(error)}


def _renamed(partial: Path, final: Path) -> str:
    try:
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
    except OSError as error:
        return _first_line(error)
    return ""


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
