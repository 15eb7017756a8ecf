"""Whose measurements these are: processor, its features, and how many threads ran. Flows in: the host as
the system and LLVM describe it. Flows out: an identity that another machine does not share."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass

from .. import chips
from ..compiler import targets
from ..compiler.targets.host import host

LEVELS = ("x86-64-v4", "x86-64-v3", "aarch64")
"""Targets that defaults ship for, those with the longest vectors of an instruction set first."""


@dataclass(frozen=True, slots=True)
class ChipIdentity:
    """`model` is the processor's name, `digest` one of its instructions and caches, `threads` how many
    threads kernels run on."""

    model: str
    digest: str
    threads: int

    @property
    def key(self) -> str:
        """The identity as one word, fit for a file's name."""
        name = re.sub(r"[^a-z0-9]+", "-", self.model.lower()).strip("-") or "unknown"
        return f"{name[:40]}-{self.digest}-t{self.threads}"


def identify(threads: int) -> ChipIdentity:
    """The identity of this machine when kernels run on `threads` threads."""
    target = host()
    model, caches = _described()
    facts = f"{target.triple};{target.cpu};{target.features};{caches}"
    return ChipIdentity(model or target.cpu, hashlib.sha256(facts.encode()).hexdigest()[:12], threads)


def level() -> str:
    """The first of `LEVELS` whose vectors this machine has; empty where there is none."""
    target = host()
    for name in LEVELS:
        level = targets.get(name)
        if target.isa == level.isa and target.vector_bits >= level.vector_bits:
            return name
    return ""


@functools.cache
def _described() -> tuple[str, tuple[int, ...]]:
    described = chips.detect_host()
    return described.model, tuple(cache.size_bytes for cache in described.caches)
