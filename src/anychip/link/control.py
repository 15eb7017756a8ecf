"""The control loop: a robot told what to do at a fixed period. Flows in: a robot and a client. Flows out: how
well the period was kept, and what was executed."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .client import Client
from .ladder import Command
from .policy import Policy
from .robot import Robot

PRIORITY = 60
"""Of the control thread under SCHED_FIFO; the connection's thread has one less."""

KEPT = 200_000
"""Errors of the period that are kept, of the last ticks."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Ticks, whether they had real-time priority, and errors of the period in nanoseconds, sorted: how far
    ticks were from where they belong."""

    ticks: int
    real_time: bool
    errors: list[int]

    def error(self, share: float) -> int:
        """The quantile of the errors."""
        return self.errors[min(int(len(self.errors) * share), len(self.errors) - 1)] if self.errors else 0


def take_priority(less: int = 0) -> bool:
    """Have this thread scheduled by SCHED_FIFO; False where that is not allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY - less))
    except (OSError, AttributeError):
        return False
    return True


def run(
    robot: Robot,
    client: Client,
    policy: Policy,
    *,
    ticks: int | None = None,
    real_time: bool = False,
    each: Callable[[Command], Any] | None = None,
) -> Kept:
    """Control `robot` for `ticks` periods (None: until interrupted). `real_time`: ask for SCHED_FIFO. `each`
    is called with every command after it is applied."""
    got = take_priority() if real_time else False
    machine = client.machine
    stages, period = machine.terms.stages, machine.period
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    errors: deque[int] = deque(maxlen=KEPT)
    done = 0
    start, number = time.monotonic_ns(), 0
    gc.freeze()
    try:
        while ticks is None or number < ticks:
            due = start + number * period
            wait = due - time.monotonic_ns()
            if wait > 0:
                time.sleep(wait * 1e-9)
            errors.append(abs(time.monotonic_ns() - due))
            seen = robot.observe()
            tensors = None
            if number % machine.settings.every == 0:
                tensors = policy.on_robot(seen, stages)
            position = robot.position()
            command = client.confirm(client.step(tensors, position, seen, tick=number), position, seen)
            robot.apply(command)
            done += 1
            if each is not None:
                each(command)
            number = max(number + 1, (time.monotonic_ns() - start) // period)
    except KeyboardInterrupt:
        pass
    finally:
        sys.setswitchinterval(interval)
        gc.unfreeze()
    return Kept(done, got, sorted(errors))
