"""What is known of overloads before a program runs: the tuning database of the chip, and the defaults of
its level of instruction sets. Flows in: an overload and a class of arguments. Flows out: a choice with its
reason, or none."""

from __future__ import annotations

import datetime
import functools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ...measurements import chip, defaults
from ...measurements.database import FOLDER, Database
from ...measurements.defaults import HOPELESS, Defaults
from ...measurements.entry import CHOICE, Entry
from ...measurements.size_class import exponent
from ...ops import sources
from ...ops.registry import Operator
from ...runtime.cache import cache_root
from .trial import NATIVE, OURS

SMALL = 2048
"""Elements below which a launch costs more than PyTorch's kernel takes: nothing is tried, unless the
database has an entry of that size."""


@dataclass(slots=True)
class Judge:
    """The measurements of one device."""

    database: Database
    defaults: Defaults
    tries_random: bool = False
    """Whether overloads that draw random numbers are measured, too: not on a program's own calls."""
    _smallest: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        smallest: dict[str, int] = defaultdict(lambda: 1 << 62)
        for entry in self.database.entries(CHOICE):
            elements = entry.values.get("elements")
            if entry.values.get("choice") == OURS and type(elements) is int:
                smallest[entry.subject] = min(smallest[entry.subject], elements)
        self._smallest = dict(smallest)

    def known(self, overload: str, operator: Operator, signature: str) -> Entry | None:
        """What the database holds of a class of calls; None where that is no choice."""
        source = sources.digest(operator.domain)
        entry = self.database.find(CHOICE, overload, signature, source)
        return entry if entry and entry.values.get("choice") in (NATIVE, OURS) else None

    def presumed(self, overload: str, dtype: str, elements: int) -> str:
        """Why ours is not worth a try, by the shipped defaults; "" if it is."""
        ratio = self.defaults.ratio(overload, dtype, exponent(elements))
        if ratio is None or ratio >= HOPELESS:
            return ""
        return f"defaults of {self.defaults.level}: ours takes {1 / ratio:.1f} times as long"

    def hopeless(self, overload: str) -> str:
        """Why an overload is left to PyTorch altogether, by the shipped defaults; "" if it is not."""
        if overload in self._smallest or not self.defaults.hopeless(overload):
            return ""
        return f"defaults of {self.defaults.level}: ours was slower at every size"

    def has_ours(self, overload: str) -> bool:
        """Whether ours was ever found faster on this chip."""
        return overload in self._smallest

    def limit(self, overload: str) -> int:
        """Elements below which PyTorch's own is taken without a look."""
        measured = self.defaults.ratios.get(overload, {})
        worth = [e for sizes in measured.values() for e, ratio in sizes.items() if ratio >= HOPELESS]
        limit = max(SMALL, 1 << max(0, min(worth) - 2)) if worth else SMALL
        return min(limit, self._smallest.get(overload, limit))

    def keep(
        self,
        overload: str,
        operator: Operator,
        signature: str,
        choice: str,
        elements: int,
        seconds: dict[str, float],
    ) -> None:
        """Write a choice that was measured into the database."""
        if choice == OURS:
            self._smallest[overload] = min(elements, self._smallest.get(overload, elements))
        self.database.put(self.entry(overload, operator, signature, choice, elements, seconds))

    def entry(
        self,
        overload: str,
        operator: Operator,
        signature: str,
        choice: str,
        elements: int,
        seconds: dict[str, float],
    ) -> Entry:
        """A choice as an entry of the database."""
        return Entry(
            kind=CHOICE,
            subject=overload,
            signature=signature,
            source=sources.digest(operator.domain),
            chip=self.database.chip,
            values={"choice": choice, "elements": elements},
            seconds={name: float(f"{value:.4g}") for name, value in seconds.items()},
            made=datetime.datetime.now(datetime.UTC).date().isoformat(),
        )


def times(seconds: Mapping[str, float]) -> str:
    """Two times as text, in microseconds."""
    if NATIVE not in seconds or OURS not in seconds:
        return "measured"
    return f"{seconds[OURS] * 1e6:.1f} us ours, {seconds[NATIVE] * 1e6:.1f} us PyTorch's"


def judge(device_type: str = "cpu") -> Judge:
    """What is known of this machine's processor, or of its accelerator; the same object each time, so that
    a policy that is enabled again goes on where it was."""
    if device_type == "cpu":
        return _kept(chip.identify(torch.get_num_threads()).key, cache_root() / FOLDER, chip.level())
    module = torch.get_device_module(device_type)
    named = getattr(module, "get_device_name", lambda index: device_type)(0)
    return _kept(chip.ChipIdentity(str(named), device_type, 1).key, cache_root() / FOLDER, "")


@functools.cache
def _kept(key: str, folder: Path, level: str) -> Judge:
    return Judge(Database(key, folder), defaults.load(level))
