"""Which operators are portable now, and what a fall-through does. `enable` and `using` set the policy
for the process: PyTorch's dispatch table is one for all threads."""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from triton import knobs

from ..measurements import chip, defaults
from ..measurements.database import Database
from ..measurements.entry import TILES
from ..ops import tuned
from ..suggestions import did_you_mean
from .errors import PolicyError

logger = logging.getLogger(__name__)

POLICIES = ("portable", "strict", "auto")
STREAMS = ("portable", "native")
"""Where random numbers come from: a stream of ours, equal on every chip, or PyTorch's own."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`name` is one of POLICIES; `only` and `exclude` hold operators, domains or overloads; `random` is one
    of STREAMS."""

    name: str
    only: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    random: str = "portable"


_current: Policy | None = None
_registrations: Any = None
_made: Any = None
"""What the registrations were made of."""


def policy() -> Policy | None:
    """The policy in force, or None while PyTorch runs on its own."""
    return _current


def registrations() -> Any:
    """What is under PyTorch's overloads now, or None."""
    return _registrations


def enable(
    policy: str = "portable",
    *,
    only: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    random: str = "portable",
) -> None:
    """Let portable kernels serve PyTorch's operators, in place of any earlier policy.

    "portable": ours wherever there is one, the rest falls through to PyTorch and is counted with the
    reason. "strict": a fall-through raises FallThroughError. "auto": ours where it is faster than
    PyTorch's own on this chip for that dtype and class of sizes; what the tuning database does not know
    is measured on the program's own first calls, for the number of threads that is set now. `only` and
    `exclude` name operators, domains or ATen overloads; one name may come by itself. Random numbers have a
    stream of ours, equal on every chip; with random="native" they are PyTorch's, under every policy, so that
    a run can be compared with one of PyTorch's seed by seed. Raises PolicyError for a name that is not known,
    and where Triton interprets kernels instead of compiling them.
    """
    if knobs.runtime.interpret:
        raise PolicyError(
            "TRITON_INTERPRET is set, so that Triton interprets the kernels of this process; those of the "
            "operators are only ever compiled; unset it, or run the kernel at hand without enable()"
        )
    if policy not in POLICIES:
        raise PolicyError(
            f"there is no policy {policy!r}; choose one of {', '.join(POLICIES)}.\n"
            f"  {did_you_mean(str(policy), POLICIES)}"
        )
    if random not in STREAMS:
        raise PolicyError(
            f"random={random!r} is no stream of random numbers; choose one of {', '.join(STREAMS)}.\n"
            f"  {did_you_mean(str(random), STREAMS)}"
        )
    wanted = Policy(policy, None if only is None else _names(only), _names(exclude), random)
    _apply(wanted)


def _names(given: Iterable[str]) -> frozenset[str]:
    """Names as a set; one name may come by itself."""
    return frozenset((given,) if isinstance(given, str) else given)


def disable() -> None:
    """Give every operator back to PyTorch."""
    _apply(None)


@contextmanager
def using(
    policy: str = "portable",
    *,
    only: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    random: str = "portable",
) -> Iterator[None]:
    """`enable` for the block, then the policy that was in force before."""
    before = _current
    enable(policy, only=only, exclude=exclude, random=random)
    try:
        yield
    finally:
        _apply(before)


@contextmanager
def disabled() -> Iterator[None]:
    """PyTorch's own operators for the block, then the policy that was in force before."""
    before = _current
    _apply(None)
    try:
        yield
    finally:
        _apply(before)


@functools.cache
def _tune_tiles(threads: int) -> None:
    """Put in force the tile sizes that were tuned for this machine and number of threads, or that ship for
    its level of instruction sets."""
    entries = Database(chip.identify(threads).key).entries(TILES)
    shipped = defaults.load(chip.level()).tiles
    if entries or shipped:
        logger.info("tuned sizes for %d sets of tiles", tuned.apply(entries, shipped))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python collects no garbage in the block: what is made there stays, and each pass looks at all of it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _apply(wanted: Policy | None) -> None:
    if wanted != _current:
        with _no_collection():
            _change(wanted)


def _change(wanted: Policy | None) -> None:
    global _current, _registrations, _made
    from . import pairs, ring_attention
    from .automatic.registration import AutomaticRegistrations
    from .dispatch import RANDOM, Registrations, random_overloads, require_known, selection, set_strict

    if wanted is None:
        if _registrations is not None:
            _registrations.remove()
        _registrations = None
    else:
        require_known([*(wanted.only or ()), *wanted.exclude])
        pairs.settle()
        ring_attention.settle()
        native = wanted.random == "native"
        selected = selection(wanted.only, wanted.exclude | {RANDOM} if native else wanted.exclude)
        passed = random_overloads() if native else frozenset[str]()
        made = wanted.name == "auto", selected, passed
        if _registrations is None or _made != made:
            if _registrations is not None:
                _registrations.remove()
            _registrations = (
                AutomaticRegistrations(selected) if wanted.name == "auto" else Registrations(selected, passed)
            )
            _made = made
        set_strict(wanted.name == "strict")
        _tune_tiles(torch.get_num_threads())
    _current = wanted
    logger.info("policy: %s", wanted.name if wanted else "PyTorch's own operators")
