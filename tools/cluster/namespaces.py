"""Two hosts on this machine: two network namespaces with a cable between them. Flows in: nothing. Flows
out: their addresses, a way to enter one, and a cable that can be cut, slowed down or given a rate.

Needs the right to make namespaces and network devices, which containers seldom have: `why_not` says so."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Hosts:
    """Two hosts, by number."""

    names: tuple[str, str]
    addresses: tuple[str, str]
    interfaces: tuple[str, str]

    def enter(self, host: int) -> None:
        """Let this process, which must have one thread, be on a host."""
        with open(f"/run/netns/{self.names[host]}") as namespace:
            library = ctypes.CDLL(None, use_errno=True)
            if library.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"this process cannot enter {self.names[host]}")

    def cut(self) -> None:
        """Take the cable out, at the second host."""
        _ip("-n", self.names[1], "link", "set", self.interfaces[1], "down")

    def limit(self, rate: str) -> None:
        """Let no more than `rate` ("100mbit") through, either way."""
        for name, interface in zip(self.names, self.interfaces):
            options = ["rate", rate, "burst", "64kb", "latency", "200ms"]
            _run("tc", "-n", name, "qdisc", "add", "dev", interface, "root", "tbf", *options)


@contextlib.contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Two namespaces and a pair of `veth` devices, taken down at the end."""
    number = os.getpid()
    hosts = Hosts(
        (f"anychip-a{number}", f"anychip-b{number}"),
        ("10.77.0.1", "10.77.0.2"),
        (f"va{number}", f"vb{number}"),
    )
    try:
        for name in hosts.names:
            _ip("netns", "add", name)
        _ip("link", "add", hosts.interfaces[0], "type", "veth", "peer", "name", hosts.interfaces[1])
        for name, address, interface in zip(hosts.names, hosts.addresses, hosts.interfaces):
            _ip("link", "set", interface, "netns", name)
            _ip("-n", name, "address", "add", f"{address}/24", "dev", interface)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", interface, "up")
        yield hosts
    finally:
        for name in hosts.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def why_not() -> str:
    """Why this machine cannot have two hosts; "" where it can."""
    try:
        with two_hosts():
            return ""
    except FileNotFoundError:
        return "there is no `ip` (Debian's package iproute2)"
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not permitted: {error.stderr.strip()}"


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
