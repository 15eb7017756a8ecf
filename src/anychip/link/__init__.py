"""A robot's policy split between the robot and a server, with deadlines: no action after its time, none
twice, and a controlled stop when all else fails.

All that decides is written as state machines without sockets, threads or clocks (`edge`, `serving`): time is
a number that is passed in, and frames are bytes that come and go. `client` and `server`
wrap them for WebSockets, `torture` for a simulated network with faults.
"""

from __future__ import annotations

from ..packages import require

require("anychip.link", ("numpy", "msgpack"))

from .actions import Action  # noqa: E402
from .client import Client  # noqa: E402
from .edge import EdgeMachine, EdgeSettings  # noqa: E402
from .errors import FrameError, LinkError, LogError, PlanError  # noqa: E402
from .handshake import Terms  # noqa: E402
from .ladder import Command, Limits, Rung  # noqa: E402
from .policy import Policy, Stage  # noqa: E402
from .robot import Robot  # noqa: E402
from .server import Server  # noqa: E402
from .serving import ServerMachine, ServeSettings  # noqa: E402
from .stop import JerkLimitedStop, RobotStop, StopMotion  # noqa: E402

__all__ = [
    "Action",
    "Client",
    "Command",
    "EdgeMachine",
    "EdgeSettings",
    "FrameError",
    "JerkLimitedStop",
    "Limits",
    "LinkError",
    "LogError",
    "PlanError",
    "Policy",
    "Robot",
    "RobotStop",
    "Rung",
    "ServeSettings",
    "Server",
    "ServerMachine",
    "Stage",
    "StopMotion",
    "Terms",
]
