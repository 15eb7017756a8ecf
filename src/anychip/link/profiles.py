"""Measured profiles that plans are made from: how long stages take on a chip, and how long the way to a
server and back takes. Flows in: a policy, or a server's address. Flows out: profiles as JSON files."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import PlanError
from .policy import Policy


@dataclass(frozen=True, slots=True)
class ChipProfile:
    """Of one chip: seconds of each stage, by name and by size of batch, as measured one after the other.
    `sizes`: bytes that travel to each stage, and the actions' at the end."""

    policy: str
    chunk: int
    stages: dict[str, dict[str, list[float]]]
    sizes: dict[str, int]

    def times(self, stage: str, batch: int = 1) -> list[float]:
        """Measured seconds. Raises PlanError where that was not measured."""
        try:
            return self.stages[stage][str(batch)]
        except KeyError:
            raise PlanError(
                f"the profile has no times of stage {stage!r} in batches of {batch}",
                "Measure again: anychip link measure.",
            ) from None


@dataclass(frozen=True, slots=True)
class NetworkProfile:
    """Of a way: seconds there and back of frames of two sizes (bytes), of which half counts for each
    direction."""

    small_bytes: int
    small: list[float]
    large_bytes: int
    large: list[float]

    def seconds(self, size: int) -> np.ndarray[Any, Any]:
        """One direction's times for a frame of `size` bytes: those of a small one, and what each byte
        adds."""
        small, large = np.sort(self.small), np.sort(self.large)
        each = max(float(np.median(large) - np.median(small)), 0.0) / (self.large_bytes - self.small_bytes)
        return (small + max(size - self.small_bytes, 0) * each) / 2


def profile(policy: Policy, *, batches: tuple[int, ...] = (1, 8), rounds: int = 50) -> ChipProfile:
    """Measure the stages of a policy on this chip."""
    stages: dict[str, dict[str, list[float]]] = {}
    sizes: dict[str, int] = {}
    for batch in batches:
        tensors: Mapping[str, Any] = policy.example(batch)
        for number, stage in enumerate(policy.stages):
            if batch == batches[0]:
                sizes[stage.name] = sum(array.nbytes for array in tensors.values()) // batch
            made = policy.run(tensors, number, number + 1)
            times = []
            for _ in range(rounds):
                started = time.perf_counter()
                made = policy.run(tensors, number, number + 1)
                times.append(time.perf_counter() - started)
            stages.setdefault(stage.name, {})[str(batch)] = times
            tensors = made
    sizes["actions"] = policy.chunk * policy.values * 4
    return ChipProfile(policy.digest, policy.chunk, stages, sizes)


async def measured_network(
    url: str, *, tls: Any = None, sizes: tuple[int, int] = (64, 3000), rounds: int = 100
) -> NetworkProfile:
    """Measure the way to a server of `anychip link serve`, by pings of WebSocket with contents: they come
    back before anybody has proved anything. Contents are bounded at 125 bytes by the protocol, so larger
    frames are measured by several in a row."""
    from websockets.asyncio.client import connect

    times: list[list[float]] = []
    async with connect(url, ssl=tls, ping_interval=None, compression=None, proxy=None) as connection:
        for size in sizes:
            count = max(size // 125, 1)
            found = []
            for number in range(rounds):
                started = time.perf_counter()
                waits = [
                    await connection.ping(f"{number} {part}".ljust(min(size, 125)).encode())
                    for part in range(count)
                ]
                await asyncio.gather(*waits)
                found.append(time.perf_counter() - started)
            times.append(found)
    return NetworkProfile(sizes[0], times[0], sizes[1], times[1])


def write(profile: ChipProfile | NetworkProfile, path: Path) -> None:
    """Write a profile as JSON."""
    path.write_text(json.dumps(asdict(profile), indent=1) + "\n", encoding="utf-8")


def read_chip(path: Path) -> ChipProfile:
    """A chip's profile. Raises PlanError for a file that holds none."""
    return _read(path, ChipProfile)


def read_network(path: Path) -> NetworkProfile:
    """A network's profile. Raises PlanError for a file that holds none."""
    return _read(path, NetworkProfile)


def _read(path: Path, kind: Any) -> Any:
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise PlanError(
            f"{path} is no {kind.__name__}: {error}",
            "Measure it: anychip link measure POLICY -o FILE, or anychip link measure --server URL -o FILE.",
        ) from None
