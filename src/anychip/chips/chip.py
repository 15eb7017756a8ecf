"""What is recorded of a chip: its units, and the facts that its manufacturer publishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Manufacturer:
    """Who makes or designs chips."""

    name: str
    website: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A cluster of equal CPU cores, a GPU, an accelerator, or a virtual machine.

    `cores` counts CPU cores, NVIDIA streaming multiprocessors or AMD compute units (0: not published, or
    it depends on the machine below); `target` is the name that compilers know the unit by. The caches
    are those of one core, but for the last level, which is all of it; 0: not recorded.
    """

    kind: str
    name: str
    target: str
    cores: int
    clock_mhz: int = 0
    l1d_kib: int = 0
    l2_kib: int = 0
    l3_kib: int = 0


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a chip needs whose maker brings the compiler: a back end of Triton's and a device of PyTorch's.

    `device` is PyTorch's name of the device; `backend` the module below `triton.backends`; `package` what
    is installed to get both; `without` lists the dtypes, by PyTorch's names, that it does not have.
    """

    device: str
    backend: str
    package: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chip:
    """A product one can buy. `units` come in the order in which work is offered to them.

    `memory_gbs` (GB/s) and `tflops` (by element type, dense, 10^12 operations a second) are the roofs
    that `source` publishes; 0 and missing: not recorded.
    `host_names` are shell patterns of the names under which an operating system reports the chip: the
    processor's model name, the board's name, or a device tree's `compatible` entry.
    """

    identifier: str
    name: str
    manufacturer: Manufacturer
    category: str
    year: int
    units: tuple[Unit, ...]
    source: str
    memory_gib: int = 0
    memory_gbs: int = 0
    tflops: Mapping[str, float] = field(default_factory=dict)
    found_in: tuple[str, ...] = ()
    host_names: tuple[str, ...] = ()
    plugin: Plugin | None = None

    @property
    def target(self) -> str:
        """The target of the first unit."""
        return self.units[0].target
