"""What the operating system says of the machine: model, cores, caches, memory, features.

Linux is read from `/proc` and `/sys`, macOS through `sysctl`. Nothing is guessed: what the system
does not tell is empty or zero.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .chip import Chip
from .registry import all


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache of the first core: `kind` is "data", "instruction" or "unified"; `shared_by` how many
    logical cores use it."""

    level: int
    kind: str
    size_bytes: int
    shared_by: int


@dataclass(frozen=True, slots=True)
class HostDescription:
    """The machine at hand. `chip` is its entry in the registry, where the system's names reveal it."""

    model: str
    architecture: str
    system: str
    logical_cores: int
    physical_cores: int
    caches: tuple[Cache, ...]
    memory_bytes: int
    features: tuple[str, ...]
    chip: Chip | None


def detect_host(root: Path = Path("/")) -> HostDescription:
    """Describe this machine. `root` stands for the root of the file system, for tests."""
    describe = _describe_macos if platform.system() == "Darwin" and root == Path("/") else _describe_linux
    return describe(root)


# --- Linux -------------------------------------------------------------------------------------
_MODEL_KEYS = ("model name", "Model Name", "uarch", "cpu model", "cpu", "Processor")
_FEATURE_KEYS = ("flags", "Features", "features", "isa")


def _describe_linux(root: Path) -> HostDescription:
    processors = _cpuinfo(root)
    board = _text(root / "proc/device-tree/model").rstrip("\0")
    compatible = _text(root / "proc/device-tree/compatible").split("\0")
    model = _first(processors, _MODEL_KEYS) or board
    features = _first(processors, _FEATURE_KEYS)
    online = _count(_text(root / "sys/devices/system/cpu/online").strip())
    logical = online or sum("processor" in entry for entry in processors)
    cores = {(e.get("physical id", ""), e["core id"]) for e in processors if "core id" in e}
    memory = re.search(r"MemTotal:\s*(\d+) kB", _text(root / "proc/meminfo"))
    return HostDescription(
        model=model,
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        logical_cores=logical,
        physical_cores=len(cores) or logical,
        caches=_linux_caches(root / "sys/devices/system/cpu/cpu0/cache"),
        memory_bytes=int(memory[1]) * 1024 if memory else 0,
        features=tuple(features.split()),
        chip=_match([model, board, *compatible]),
    )


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """The blocks of /proc/cpuinfo, each as a mapping."""
    blocks = []
    for block in re.split(r"\n\s*\n", _text(root / "proc/cpuinfo").strip()):
        pairs = (line.partition(":") for line in block.splitlines() if ":" in line)
        if entry := {key.strip(): value.strip() for key, _, value in pairs}:
            blocks.append(entry)
    return blocks


def _first(blocks: list[dict[str, str]], keys: Iterable[str]) -> str:
    """The value of the first of `keys` that any block has: some systems begin with a block on the whole."""
    return next((block[key] for key in keys for block in blocks if block.get(key)), "")


_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _linux_caches(folder: Path) -> tuple[Cache, ...]:
    caches = []
    for index in sorted(folder.glob("index*")):
        size = re.fullmatch(r"(\d+)([KMG]?)", _text(index / "size").strip())
        level = _text(index / "level").strip()
        if size and level.isdigit():
            caches.append(
                Cache(
                    level=int(level),
                    kind=_text(index / "type").strip().lower(),
                    size_bytes=int(size[1]) * _SIZE_UNITS[size[2]],
                    shared_by=_count(_text(index / "shared_cpu_list").strip()),
                )
            )
    return tuple(caches)


def _count(cpu_list: str) -> int:
    """The number of logical cores in a list such as "0-3,8"."""
    ranges = (part.partition("-") for part in cpu_list.split(",") if part)
    return sum(int(last or first) - int(first) + 1 for first, _, last in ranges)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


# --- macOS -------------------------------------------------------------------------------------
_MACOS_CACHES = (
    (1, "data", "hw.perflevel0.l1dcachesize", "hw.l1dcachesize"),
    (1, "instruction", "hw.perflevel0.l1icachesize", "hw.l1icachesize"),
    (2, "unified", "hw.perflevel0.l2cachesize", "hw.l2cachesize"),
    (3, "unified", "hw.perflevel0.l3cachesize", "hw.l3cachesize"),
)


def _describe_macos(root: Path) -> HostDescription:
    facts = _sysctl()
    model = facts.get("machdep.cpu.brand_string", "")

    def number(*keys: str) -> int:
        return next((int(facts[key]) for key in keys if facts.get(key, "").isdigit()), 0)

    caches = (Cache(level, kind, number(*keys), 0) for level, kind, *keys in _MACOS_CACHES)
    arm = (key.rpartition("FEAT_")[2] for key, on in facts.items() if "arm.FEAT_" in key and on == "1")
    return HostDescription(
        model=model,
        architecture=platform.machine(),
        system=f"macOS {platform.mac_ver()[0]}",
        logical_cores=number("hw.logicalcpu") or os.cpu_count() or 0,
        physical_cores=number("hw.physicalcpu"),
        caches=tuple(cache for cache in caches if cache.size_bytes),
        memory_bytes=number("hw.memsize"),
        features=tuple(facts.get("machdep.cpu.features", "").lower().split()) or tuple(arm),
        chip=_match([model]),
    )


def _sysctl() -> dict[str, str]:
    try:
        answer = subprocess.run(["sysctl", "hw", "machdep.cpu"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition(": ") for line in answer.stdout.splitlines())
    return {key: value.strip() for key, separator, value in pairs if separator}


def _match(names: Iterable[str]) -> Chip | None:
    """The first chip one of whose `host_names` patterns describes the whole of a name, in any case."""
    folded = [name.lower() for name in names if name]
    for chip in all():
        if any(fnmatchcase(name, pattern.lower()) for pattern in chip.host_names for name in folded):
            return chip
    return None
