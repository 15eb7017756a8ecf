"""What the link needs of a robot: to be looked through, and to be told what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .frames import Array
from .ladder import Command, LocalPolicy
from .stop import StopMotion


@dataclass(frozen=True, slots=True)
class Robot:
    """`observe()`: arrays by name, as the policy's observation says; `position()`: where the robot is, in the
    numbers that it is commanded by; `apply(command)`: carry a command out. `stop`: how it comes to rest;
    `local`: a policy of its own, from what `observe` gave to one command."""

    name: str
    observe: Callable[[], Mapping[str, Array]]
    position: Callable[[], Array]
    apply: Callable[[Command], Any]
    stop: StopMotion
    local: LocalPolicy | None = None
