"""What is recorded of a chip: its units, and the facts that its manufacturer publishes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manufacturer:
    """Who makes or designs chips."""

    name: str
    website: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A cluster of equal CPU cores, a GPU, or a virtual machine.

    `cores` counts CPU cores, NVIDIA streaming multiprocessors or AMD compute units (0: it depends on
    the machine below); `target` is the name that compilers know the unit by.
    """

    kind: str
    name: str
    target: str
    cores: int
    clock_mhz: int = 0


@dataclass(frozen=True, slots=True)
class Chip:
    """A product one can buy. `units` come in the order in which work is offered to them.

    `host_names` are shell patterns of the names under which an operating system reports the chip: the
    processor's model name, the board's name, or a device tree's `compatible` entry.
    """

    identifier: str
    name: str
    manufacturer: Manufacturer
    year: int
    units: tuple[Unit, ...]
    memory_gib: int = 0
    found_in: tuple[str, ...] = ()
    host_names: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The target of the first unit."""
        return self.units[0].target
