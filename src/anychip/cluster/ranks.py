"""The file of ranks that `anychip cluster plan` reads. Flows in: TOML. Flows out: each rank's chip,
threads, share and memory, and the network between them.

[[rank]] chip = "this"              # this machine, or an identifier that `anychip chips` lists threads = 1
# of this machine; other chips count whole share = 0.5                # of its time that the rank gets
memory_gib = 4             # that the rank may use; left out: what the chip has

[network]                  # left out: measured here, between two processes gigabytes_per_second = 1.2
latency_us = 40
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import chips
from ..suggestions import did_you_mean
from .errors import ClusterError

THIS = "this"


@dataclass(frozen=True, slots=True)
class Rank:
    """A rank of a plan. `chip` is None for this machine; `memory` in bytes, 0 where nothing is known."""

    chip: chips.Chip | None
    threads: int
    share: float
    memory: int

    @property
    def name(self) -> str:
        """What tables call it."""
        chip = self.chip.identifier if self.chip else THIS
        return f"{chip} x {self.share:g}" if self.share != 1 else chip


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between two ranks: bytes a second one way, and seconds of a message without content."""

    bytes_per_second: float
    latency: float
    is_measured: bool

    def seconds(self, size: float) -> float:
        """Seconds of a message of `size` bytes."""
        return self.latency + size / self.bytes_per_second


def read(file: Path) -> tuple[list[Rank], Network | None]:
    """The ranks of a file, and its network if it says one. Raises ClusterError for what is missing or
    unknown."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ClusterError(f"{file}: {error}", "Write [[rank]] tables with a chip each.") from error
    rows = data.get("rank", [])
    if not isinstance(rows, list) or not rows:
        raise ClusterError(f"{file} has no ranks.", 'Write [[rank]] tables, such as chip = "this".')
    network = data.get("network")
    return [_rank(file, index, row) for index, row in enumerate(rows)], (
        None
        if network is None
        else Network(
            _number(file, "network", network, "gigabytes_per_second") * 1e9,
            _number(file, "network", network, "latency_us", 0.0) * 1e-6,
            is_measured=False,
        )
    )


def _rank(file: Path, index: int, row: Any) -> Rank:
    where = f"rank {index}"
    if unknown := set(row) - {"chip", "threads", "share", "memory_gib"}:
        name = sorted(unknown)[0]
        raise ClusterError(
            f"{file}: {where} has {name!r}.", did_you_mean(name, ("threads", "share", "memory_gib"))
        )
    name = row.get("chip", THIS)
    known = {chip.identifier: chip for chip in chips.all()}
    if name != THIS and name not in known:
        raise ClusterError(f"{file}: {where} has the chip {name!r}.", did_you_mean(name, [THIS, *known]))
    chip = known.get(name)
    has = chip.memory_gib * 2**30 if chip else chips.detect_host().memory_bytes
    memory = int(_number(file, where, row, "memory_gib", has / 2**30) * 2**30)
    share = _number(file, where, row, "share", 1.0)
    threads = int(_number(file, where, row, "threads", 1))
    if not 0 < share <= 1 or threads < 1:
        raise ClusterError(
            f"{file}: {where} has share {share:g} and {threads} threads.", "A share is above 0 and at most 1."
        )
    return Rank(chip, threads, share, memory)


def _number(file: Path, where: str, row: Any, name: str, default: float | None = None) -> float:
    value = row.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ClusterError(f"{file}: {name} of {where} is {value!r}.", "Give a number that is not negative.")
    return float(value)
