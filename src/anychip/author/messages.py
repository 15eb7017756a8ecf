"""Messages between the judge and a confined process: JSON, each with its length before it. Nothing else than
JSON is ever read from the other side, and not more than a limit."""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from .errors import ProcessEnded

LONGEST = 32 << 20
"""Bytes of a message, at most: the TTIR of a call's kernels is the largest that is sent."""
_LENGTH = struct.Struct("<I")


class Channel:
    """One end of a pair of sockets."""

    def __init__(self, connection: socket.socket):
        self.connection = connection

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises ProcessEnded when nobody is there to take it."""
        data = json.dumps(message, separators=(",", ":"), default=_plain).encode()
        try:
            self.connection.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ProcessEnded(f"the process takes no message: {error.strerror}") from None

    def receive(self, seconds: float | None = None) -> dict[str, Any]:
        """The next message. Raises ProcessEnded when there is none within `seconds`, when the other side is
        gone, and for anything that is no message."""
        end = None if seconds is None else time.monotonic() + seconds
        (length,) = _LENGTH.unpack(self._bytes(_LENGTH.size, end))
        if length > LONGEST:
            raise ProcessEnded(f"the process sent a message of {length} bytes; {LONGEST} are the most")
        try:
            found = json.loads(self._bytes(length, end))
        except (ValueError, RecursionError):
            raise ProcessEnded("the process sent what is no JSON") from None
        if not isinstance(found, dict):
            raise ProcessEnded("the process sent JSON that is no message")
        return found

    def _bytes(self, count: int, end: float | None) -> bytes:
        parts: list[bytes] = []
        while count:
            if (
                end is not None
                and not select.select([self.connection], [], [], max(0, end - time.monotonic()))[0]
            ):
                raise ProcessEnded("the process took too long")
            try:
                part = self.connection.recv(min(count, 1 << 20))
            except OSError as error:
                raise ProcessEnded(f"the process is gone: {error.strerror}") from None
            if not part:
                raise ProcessEnded("the process ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _plain(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} cannot be sent")


def number_out(value: float) -> Any:
    """A float as JSON has it, infinities and NaN as text."""
    return value if math.isfinite(value) else {"float": repr(value)}
