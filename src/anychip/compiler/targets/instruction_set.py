"""What is known of a whole instruction set: its cores, and what a machine that has it says of itself.

Flows in: the files under `isas/`. Flows out: targets by name, and the rules by which the host is described.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .target import Target


class Describe(Protocol):
    """Makes the target that has these LLVM features; `feature_text` is passed to LLVM as it is."""

    def __call__(
        self, name: str, cpu: str, features: Iterable[str], *, triple: str, feature_text: str
    ) -> Target: ...


class Without(Protocol):
    """Features less some of them, and less what LLVM switches off with these."""

    def __call__(self, features: Iterable[str], removed: Iterable[str]) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Detection:
    """How a machine is described by the features that LLVM detects on it. `cores`: LLVM's name of a core ->
    the features that code made for it may use."""

    cores: Mapping[str, frozenset[str]]
    describe: Describe
    without: Without


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """One instruction set.

    `host` says what is made of a machine that has it: a target by its features, or the least core where LLVM
    detects no more; None where this process cannot run. `other_names`: what triples may call it besides
    `name`. `program_counter`: byte of Linux's `ucontext_t` where a signal handler finds the address of the
    instruction that was interrupted (0: not known). `llvm_options`: settings without which LLVM makes wrong
    code for it.
    """

    name: str
    targets: tuple[Target, ...]
    host: Detection | Target | None = None
    other_names: tuple[str, ...] = ()
    program_counter: int = 0
    llvm_options: tuple[str, ...] = ()
