"""The rooms of fused operators: one table, which proofs, pages, the command line and tests read. Flows in:
records that the modules of a room register. Flows out: each room's list, and all of them by name. A new room
is a row here, and a package of that name beside `ops/` with a module `page` (`RoomPage`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import RegistryError
from .fused import Fused
from .modules import import_all
from .transforms import served


@dataclass(frozen=True, slots=True)
class RoomPage:
    """What a room's page says beside its table, as `anychip.<room>.page.PAGE`. `introduction` is Markdown
    with the title; `sections` gives what follows the tables."""

    introduction: str
    sections: Callable[[], list[str]] = list


@dataclass(frozen=True)
class Room:
    """A package `anychip.<name>` of fused operators. `title` says what they are for."""

    name: str
    title: str
    _records: dict[str, Fused] = field(default_factory=dict, repr=False, compare=False)

    @property
    def package(self) -> str:
        """The package's whole name."""
        return f"anychip.{self.name}"

    def register(self, operator: Fused) -> Fused:
        """Add a record, with a function that knows the transforms of `torch.func`; returns that. Raises
        RegistryError for a name that is taken."""
        if operator.name in self._records:
            raise RegistryError(
                f"fused operator {operator.name!r} of {self.package} is registered twice; rename one of the "
                f"records"
            )
        known = replace(operator, function=served(operator), room=self.name)
        self._records[operator.name] = known
        return known

    def operators(self) -> dict[str, Fused]:
        """Every fused operator of the room by name, after importing all its modules."""
        import_all(self.package)
        return self._records

    def attribute(self, name: str) -> Any:
        """An operator's function as an attribute of the package. Raises AttributeError."""
        record = self.operators().get(name)
        if record is None:
            raise AttributeError(f"module {self.package!r} has no attribute {name!r}")
        return record.function

    def page(self) -> RoomPage:
        """What the room's page says beside its table."""
        return importlib.import_module(f"{self.package}.page").PAGE


ROOMS: dict[str, Room] = {
    room.name: room
    for room in (
        Room("llm", "language models"),
        Room("robot", "robots"),
        Room("science", "scientific computing"),
    )
}
"""Every room of fused operators by name, in the order of pages and tests."""


def everywhere() -> dict[str, Fused]:
    """Every fused operator of every room, by the room's and its own name: "llm.rms_norm"."""
    return {
        f"{name}.{one}": record for name, room in ROOMS.items() for one, record in room.operators().items()
    }
