"""Frames of the protocol: msgpack arrays of a schema that is checked field by field.

Flows in: messages (below) or bytes of a peer. Flows out: bytes, or a message whose every field has the type,
the size and the range that the schema states. Nothing of a peer is ever executed, imported or unpickled;
whatever is no frame raises FrameError, and costs memory only in proportion to the bytes that came.

Times are nanoseconds of the *robot's* monotonic clock; the server sends them back as they came and never
compares them with a clock of its own. Times below zero are no times: whoever extrapolated from one would act
before anything was observed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from .errors import FrameError

VERSION = 1
"""Of the protocol; a handshake between two versions is refused."""

MAX_FRAME_BYTES = 16 << 20
"""The largest frame after the handshake, where the server does not set a smaller bound."""

MAX_HELLO_BYTES = 4096
"""The largest frame of a peer that has not proved yet who it is."""

NONCE_BYTES = 16
PROOF_BYTES = 32
HASH_CHARACTERS = 64
MAX_TENSORS = 32
MAX_RANK = 8
_MAX_TEXT = 512
_MAX_ITEMS = 128
_MAX_INTEGER = (1 << 63) - 1

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
}
"""Element types that travel, all little-endian."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()} | {np.dtype(name): name for name in DTYPES}

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server's first frame: random bytes that a proof must contain, so that no hello can be replayed."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """The robot's answer: who it is, the terms that both sides must share, and a proof of the token."""

    version: int
    robot: str
    policy: str
    statistics: str
    hz: float
    stages: int
    nonce: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Welcome:
    """The server agrees, and proves in turn that it has the token."""

    proof: bytes


@dataclass(frozen=True, slots=True)
class Bye:
    """The last frame: why the sender ends the connection. Close codes of transports do not arrive
    reliably."""

    reason: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What the robot sees at control tick `tick`. `slack`: nanoseconds from sending until an answer is
    useless where it must arrive; the server adds it to its own clock to order its work."""

    sequence: int
    tick: int
    observed_at: int
    expires_at: int
    slack: int
    tensors: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Actions:
    """Actions for ticks `tick`, `tick + 1`, ...: [actions, values]. The first four fields are the
    observation's. `queued` and `computed`: nanoseconds that it waited and took at the server."""

    sequence: int
    tick: int
    observed_at: int
    expires_at: int
    queued: int
    computed: int
    actions: Array


@dataclass(frozen=True, slots=True)
class Missed:
    """The server will not answer an observation: it would have been too late, or a newer one took its
    place."""

    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a Pong with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a Ping."""

    number: int


Message = Challenge | Hello | Welcome | Bye | Observation | Actions | Missed | Ping | Pong

_Check = Callable[[str, Any], Any]


def _integer(low: int = 0, high: int = _MAX_INTEGER) -> _Check:
    def check(name: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise FrameError(f"{name} is {_shown(value)}, not a whole number from {low} to {high}")
        return value

    return check


def _text(characters: int = _MAX_TEXT, exact: bool = False) -> _Check:
    def check(name: str, value: Any) -> str:
        if type(value) is not str or len(value) > characters or (exact and len(value) != characters):
            raise FrameError(f"{name} is {_shown(value)}, not a text of {characters} characters")
        return value

    return check


def _bytes(count: int) -> _Check:
    def check(name: str, value: Any) -> bytes:
        if type(value) is not bytes or len(value) != count:
            raise FrameError(f"{name} is {_shown(value)}, not {count} bytes")
        return value

    return check


def _rate(name: str, value: Any) -> float:
    if type(value) is not float or not math.isfinite(value) or not 0 < value <= 100_000:
        raise FrameError(f"{name} is {_shown(value)}, not a rate in hertz")
    return value


def _array(name: str, value: Any) -> Array:
    """An array of [element type, shape, bytes]. It is a view of the frame, and cannot be written."""
    if type(value) is not list or len(value) != 3:
        raise FrameError(f"{name} is {_shown(value)}, not [element type, shape, bytes]")
    kind, shape, data = value
    dtype = DTYPES.get(kind) if type(kind) is str else None
    if dtype is None:
        raise FrameError(f"{name} has elements of {_shown(kind)}, not of {', '.join(DTYPES)}")
    if type(shape) is not list or len(shape) > MAX_RANK:
        raise FrameError(f"{name} has the shape {_shown(shape)}")
    count = 1
    for size in shape:
        if type(size) is not int or not 0 <= size <= MAX_FRAME_BYTES:
            raise FrameError(f"{name} has the shape {_shown(shape)}")
        count *= size
    if type(data) is not bytes or len(data) != count * dtype.itemsize:
        raise FrameError(f"{name} of shape {_shown(shape)} does not have {count} elements of {kind}")
    return np.frombuffer(data, dtype).reshape(shape)


def _arrays(name: str, value: Any) -> dict[str, Array]:
    if type(value) is not dict or len(value) > MAX_TENSORS:
        raise FrameError(f"{name} is {_shown(value)}, not at most {MAX_TENSORS} named arrays")
    return {
        _text(64)("the name of an array", key): _array(f"array {key!r}", item) for key, item in value.items()
    }


_TIME = _integer()
_HASH = _text(HASH_CHARACTERS, exact=True)

SCHEMA: dict[int, tuple[type[Any], dict[str, _Check]]] = {
    1: (Challenge, {"nonce": _bytes(NONCE_BYTES)}),
    2: (
        Hello,
        {
            "version": _integer(high=1 << 16),
            "robot": _text(128),
            "policy": _HASH,
            "statistics": _HASH,
            "hz": _rate,
            "stages": _integer(high=64),
            "nonce": _bytes(NONCE_BYTES),
            "proof": _bytes(PROOF_BYTES),
        },
    ),
    3: (Welcome, {"proof": _bytes(PROOF_BYTES)}),
    4: (Bye, {"reason": _text()}),
    5: (
        Observation,
        {
            "sequence": _integer(1),
            "tick": _integer(),
            "observed_at": _TIME,
            "expires_at": _TIME,
            "slack": _TIME,
            "tensors": _arrays,
        },
    ),
    6: (
        Actions,
        {
            "sequence": _integer(1),
            "tick": _integer(),
            "observed_at": _TIME,
            "expires_at": _TIME,
            "queued": _TIME,
            "computed": _TIME,
            "actions": _array,
        },
    ),
    7: (Missed, {"sequence": _integer(1), "reason": _text()}),
    8: (Ping, {"number": _integer()}),
    9: (Pong, {"number": _integer()}),
}
"""First element of a frame -> the message, and the check of each further element in order."""

_CODES = {message: code for code, (message, _) in SCHEMA.items()}


def encode(message: Message) -> bytes:
    """The frame of a message. Raises FrameError for fields that a peer would refuse."""
    code = _CODES[type(message)]
    values = [_checked_out(name, check, getattr(message, name)) for name, check in SCHEMA[code][1].items()]
    frame = msgpack.packb([code, *values], use_bin_type=True)
    assert frame is not None
    return frame


def decode(frame: Any, *, limit: int = MAX_FRAME_BYTES) -> Message:
    """The message of a frame of at most `limit` bytes. Raises FrameError, and nothing else, for anything that
    is no frame."""
    if type(frame) is not bytes:
        raise FrameError(f"a frame of {type(frame).__name__} came; frames are binary")
    if len(frame) > limit:
        raise FrameError(f"a frame of {len(frame)} bytes came; {limit} are allowed")
    try:
        items = msgpack.unpackb(
            frame, raw=False, strict_map_key=True, max_array_len=_MAX_ITEMS, max_map_len=MAX_TENSORS,
            max_ext_len=0, max_str_len=_MAX_TEXT, max_bin_len=limit,
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise FrameError(f"bytes came that are no msgpack of this protocol: {type(error).__name__}") from None
    if type(items) is not list or not items or type(items[0]) is not int or items[0] not in SCHEMA:
        raise FrameError(f"a frame came that is no message: {_shown(items)}")
    message, fields = SCHEMA[items[0]]
    if len(items) != 1 + len(fields):
        raise FrameError(f"a {message.__name__} of {len(items) - 1} fields came, instead of {len(fields)}")
    return message(*(check(name, value) for (name, check), value in zip(fields.items(), items[1:])))


def _checked_out(name: str, check: _Check, value: Any) -> Any:
    """A field as it is packed, checked as the peer will."""
    if check is _array:
        value = _packed(value)
        check(name, value)
    elif check is _arrays:
        value = {key: _packed(item) for key, item in value.items()}
        check(name, value)
    else:
        check(name, value)
    return value


def _packed(array: Array) -> list[Any]:
    kind = name_of(array.dtype)
    if kind not in DTYPES:
        raise FrameError(f"arrays of {kind} do not travel; convert to one of {', '.join(DTYPES)}")
    return [kind, list(array.shape), np.ascontiguousarray(array, DTYPES[kind]).tobytes()]


def name_of(dtype: np.dtype[Any]) -> str:
    """An element type's name in frames, in either order of bytes."""
    return _NAMES.get(dtype) or dtype.name


def _shown(value: Any) -> str:
    """A peer's value in a few characters."""
    if isinstance(value, str | bytes | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
