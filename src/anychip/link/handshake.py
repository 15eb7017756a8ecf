"""What robot and server must agree on before the first observation, and the proof that each has the token.

The server sends random bytes; the robot answers with its terms, random bytes of its own, and an HMAC-SHA256
of all that under the token; the server answers with another one. The token itself never travels, a hello that
was recorded proves nothing on another connection, and a robot does not obey a server that lacks the token.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from .frames import VERSION, Hello


@dataclass(frozen=True, slots=True)
class Terms:
    """What both sides must share: hashes of the policy and of its normalisation statistics (64 hexadecimal
    digits), the control rate, the stages that the robot runs itself (counted from the first), and the version
    of the protocol."""

    policy: str
    statistics: str
    hz: float
    stages: int = 0
    version: int = VERSION

    def differences(self, other: Hello | Terms) -> list[str]:
        """What differs, in words; nothing where the terms agree."""
        return [
            f"{name}: {getattr(self, field)!r} here, {getattr(other, field)!r} there"
            for field, name in _NAMES.items()
            if getattr(self, field) != getattr(other, field)
        ]


_NAMES = {
    "version": "version of the protocol",
    "policy": "hash of the policy",
    "statistics": "normalisation statistics",
    "hz": "control rate",
    "stages": "stages on the robot",
}


def hello(terms: Terms, robot: str, token: bytes, challenge: bytes, nonce: bytes) -> Hello:
    """The robot's hello in answer to a challenge. `nonce`: random bytes of its own."""
    unsigned = Hello(
        terms.version, robot, terms.policy, terms.statistics, terms.hz, terms.stages, nonce, bytes(32)
    )
    return Hello(
        terms.version, robot, terms.policy, terms.statistics, terms.hz, terms.stages, nonce,
        proof("robot", token, challenge, unsigned),
    )  # fmt: skip


def proof(side: str, token: bytes, challenge: bytes, greeting: Hello) -> bytes:
    """HMAC-SHA256 of everything that was said, under the token, by `side` ("robot" or "server")."""
    said = msgpack.packb([
        side, challenge, greeting.version, greeting.robot, greeting.policy, greeting.statistics, greeting.hz,
        greeting.stages, greeting.nonce,
    ])  # fmt: skip
    assert said is not None
    return hmac.digest(token, said, "sha256")


def is_proved(side: str, token: bytes, challenge: bytes, greeting: Hello, given: bytes) -> bool:
    """Whether `given` is the proof, compared in constant time."""
    return hmac.compare_digest(proof(side, token, challenge, greeting), given)


def statistics_hash(statistics: Mapping[str, Any]) -> str:
    """SHA-256 of normalisation statistics: arrays (or nested mappings of them) by name, in any order."""
    digest = hashlib.sha256()
    _feed(digest, statistics)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        digest.update(b"{%d" % len(value))
        for key in sorted(value):
            digest.update(f"{len(key)}:{key}".encode())
            _feed(digest, value[key])
        return
    array = np.ascontiguousarray(np.asarray(value, np.float64), "<f8")
    digest.update(f"[{array.shape}".encode())
    digest.update(array.tobytes())
