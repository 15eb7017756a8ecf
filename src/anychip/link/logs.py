"""Logs of a robot as MCAP files of the profile `ros2`, which ROS tools and Foxglove read.

Flows in: commands and steps of the ladder. Flows out: `/link/command` (sensor_msgs/JointState: what the robot
was told), `/link/state` (rung, cause, age of the action) and `/rosout` (rcl_interfaces/Log: each step with
its cause).

A log that is not finished, since the program died, has no index: readers that want one, or that sort by time,
find nothing in it, and what was still gathered in memory is lost. So chunks are small and are written out
several times a second, and `recovered` reads in the order of the file up to where it breaks off."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..packages import require
from .errors import LogError
from .ladder import Command, Step

if TYPE_CHECKING:
    from .client import Client

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 16 << 10
FLUSH_EVERY = 0.2
"""Seconds after which a chunk is written out, full or not."""

_CONTAINED = f"{'=' * 80}\nMSG: "
_TIME = f"{_CONTAINED}builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
_HEADER = f"{_CONTAINED}std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n{_TIME}"

SCHEMAS: dict[str, str] = {
    "sensor_msgs/msg/JointState": "std_msgs/Header header\nstring[] name\nfloat64[] position\n"
    f"float64[] velocity\nfloat64[] effort\n{_HEADER}",
    "anychip_msgs/msg/LinkState": "builtin_interfaces/Time stamp\nint64 tick\nstring rung\nstring cause\n"
    f"int64 sequence\nint32 index\nint64 age\nbool moving\n{_TIME}",
    "rcl_interfaces/msg/Log": "builtin_interfaces/Time stamp\nuint8 level\nstring name\nstring msg\n"
    f"string file\nstring function\nuint32 line\n{_TIME}",
}
"""ROS messages by name, in the words of `.msg` files, with the messages that they contain."""

TOPICS = {
    "/link/command": "sensor_msgs/msg/JointState",
    "/link/state": "anychip_msgs/msg/LinkState",
    "/rosout": "rcl_interfaces/msg/Log",
}
_LEVELS = {False: 20, True: 30}
"""Of /rosout: information, and a warning for a step down."""


class Cdr:
    """A ROS message as DDS writes it: plain CDR, little-endian (OMG, Common Data Representation). Each number
    lies at a multiple of its size, counted from behind the four bytes that say which encoding this is."""

    def __init__(self) -> None:
        self._data = bytearray()

    def number(self, code: str, *values: float) -> Cdr:
        """Numbers of one of `struct`'s codes."""
        size = struct.calcsize(code)
        self._data += bytes(-len(self._data) % size)
        self._data += struct.pack(f"<{len(values)}{code}", *values)
        return self

    def text(self, text: str) -> Cdr:
        """A string: its bytes with the zero that ends it, after their count."""
        data = text.encode()
        self.number("I", len(data) + 1)
        self._data += data + b"\0"
        return self

    def numbers(self, code: str, values: list[float]) -> Cdr:
        """A sequence: its length, and its elements."""
        self.number("I", len(values))
        return self.number(code, *values) if values else self

    def stamp(self, nanoseconds: int) -> Cdr:
        """A time since 1970."""
        return self.number("i", nanoseconds // 1_000_000_000).number("I", nanoseconds % 1_000_000_000)

    def finished(self) -> bytes:
        """The whole message."""
        return b"\x00\x01\x00\x00" + bytes(self._data)


class Recorder:
    """Writes a log. `names`: of the values of a command; by default their numbers."""

    def __init__(self, stream: IO[bytes], names: list[str] | None = None):
        require("logs of the link", ("mcap",))
        from mcap.writer import CompressionType, Writer

        self._stream, self._names = stream, names
        self._writer = Writer(stream, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        self._writer.start("ros2", library="anychip")
        self._channels = {}
        for topic, name in TOPICS.items():
            schema = self._writer.register_schema(name, "ros2msg", SCHEMAS[name].encode())
            self._channels[topic] = self._writer.register_channel(topic, "cdr", schema)
        # Wall time by the monotonic clock, so that a wall clock that steps does not turn the log around.
        self._wall = time.time_ns() - time.monotonic_ns()
        self._flushed = time.monotonic()
        self._told = 0
        self._count = 0

    def command(self, command: Command, now: int) -> None:
        """Note a command that was carried out at `now` (ns, the monotonic clock)."""
        at = now + self._wall
        values = [float(value) for value in command.values]
        names = self._names or [f"value{k}" for k in range(len(values))]
        made = Cdr().stamp(at).text("").number("I", len(names))
        for name in names:
            made.text(name)
        made.numbers("d", values).numbers("d", []).numbers("d", [])
        self._add("/link/command", at, made)
        state = Cdr().stamp(at).number("q", command.tick).text(command.rung.name).text(command.cause)
        state.number("q", command.sequence).number("i", command.index).number("q", command.age)
        self._add("/link/state", at, state.number("?", command.moving))
        if time.monotonic() - self._flushed >= FLUSH_EVERY:
            self.flush()

    def steps(self, steps: list[Step]) -> None:
        """Note the steps of the ladder that were not noted before."""
        for step in steps:
            if step.at <= self._told:
                continue
            self._told = step.at
            at = step.at + self._wall
            told = f"{step.before.name.lower()} -> {step.after.name.lower()}: {step.cause}"
            made = (
                Cdr().stamp(at).number("B", _LEVELS[step.after > step.before]).text("anychip.link").text(told)
            )
            self._add("/rosout", at, made.text("").text("").number("I", step.tick))

    def flush(self) -> None:
        """Write out what was gathered, so that it stays if this program dies."""
        self._flushed = time.monotonic()
        self._writer.flush()
        self._stream.flush()

    def finish(self) -> None:
        """Write the index and end."""
        self._writer.finish()

    def _add(self, topic: str, at: int, message: Cdr) -> None:
        self._count += 1
        self._writer.add_message(
            self._channels[topic], log_time=at, publish_time=at, sequence=self._count, data=message.finished()
        )


@contextmanager
def recording(path: Path | None, client: Client) -> Iterator[Callable[[Command], Any] | None]:
    """What the control loop calls with each command to log it into a file; None for no file."""
    if path is None:
        yield None
        return
    try:
        stream = path.open("wb")
    except OSError as error:
        raise LogError(f"the log cannot be written: {error}") from None
    with stream:
        recorder = Recorder(stream)

        def each(command: Command) -> None:
            recorder.command(command, time.monotonic_ns())
            recorder.steps(client.steps)

        try:
            yield each
        finally:
            recorder.steps(client.steps)
            recorder.finish()


@dataclass(frozen=True, slots=True)
class Logged:
    """A message of a log: its topic, its time (ns since 1970), and its CDR bytes."""

    topic: str
    at: int
    data: bytes


def recovered(path: Path) -> Iterator[Logged]:
    """The messages of a log in the order of the file, finished or not: what follows a break is lost, what
    stands before it is not. Raises LogError for a file that is no log."""
    require("logs of the link", ("mcap",))
    from mcap.exceptions import McapError
    from mcap.records import Channel, Chunk, Message
    from mcap.stream_reader import StreamReader, breakup_chunk

    channels: dict[int, str] = {}
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise LogError(f"{path} is no MCAP file")
        stream.seek(0)
        with contextlib.suppress(McapError, struct.error):  # the end of what was written
            for record in StreamReader(stream, emit_chunks=True).records:
                for inner in breakup_chunk(record) if isinstance(record, Chunk) else [record]:
                    if isinstance(inner, Channel):
                        channels[inner.id] = inner.topic
                    elif isinstance(inner, Message):
                        yield Logged(channels[inner.channel_id], inner.log_time, inner.data)
