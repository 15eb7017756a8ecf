"""The record of a judgement: canonical JSON, its SHA-256, and an Ed25519 signature by a key that only the
judge's own process reads (RFC 8032). Flows in: a verdict. Flows out: a file that says by itself whether it
was changed.

The signature shows that whoever holds the key made the record, and nothing about whether that is a judge: who
verifies compares the public key with one that they trust.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..packages import require
from .errors import RecordError
from .tasks import Task
from .verdict import Verdict

FORMAT = 1
KEY_BYTES = 32
NEEDED = ("cryptography",)


def canonical(data: Any) -> bytes:
    """JSON with sorted names, no spaces, ASCII alone: the same bytes for the same data. Raises RecordError
    for numbers that JSON does not have."""
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except ValueError as error:
        raise RecordError(f"this cannot be a record: {error}") from None
    return text.encode("ascii")


def compose(verdict: Verdict, task: Task, candidate: Path) -> dict[str, Any]:
    """What is signed: the verdict, digests of the task and of the candidate's file, versions, the machine,
    the time."""
    import torch
    import triton

    return {
        "format": FORMAT,
        **_finite(verdict.to_json()),
        "task_sha256": hashlib.sha256(task.source.encode()).hexdigest(),
        "candidate_sha256": hashlib.sha256(candidate.read_bytes()).hexdigest(),
        "versions": {"anychip": __version__, "torch": torch.__version__, "triton": triton.__version__},
        "machine": {"processor": _processor(), "system": f"{platform.system()} {platform.machine()}"},
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _finite(value: Any) -> Any:
    """Plain data with infinities and NaN as text."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)
    return value


def _processor() -> str:
    from ..compiler import targets

    return targets.host().cpu


# ---- keys and signatures ------------------------------------------------------------------------------


def key_file() -> Path:
    """Where the judge's key is: `ANYCHIP_JUDGE_KEY`, or a file in the user's folder of settings."""
    chosen = os.environ.get("ANYCHIP_JUDGE_KEY")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "anychip" / "judge.key"


def load_key(path: Path) -> Any:
    """The private key of a file, made if there is none yet; only its owner may read it. Raises
    RecordError."""
    require("a signed record", NEEDED)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(Ed25519PrivateKey.generate().private_bytes_raw())
    data = path.read_bytes()
    if len(data) != KEY_BYTES:
        raise RecordError(
            f"{path} is no key: it has {len(data)} bytes, not {KEY_BYTES}. Delete it for a new one."
        )
    if path.stat().st_mode & 0o077:
        raise RecordError(f"{path} can be read by others than its owner.\n  Run: chmod 600 {path}")
    return Ed25519PrivateKey.from_private_bytes(data)


def public_text(key: Any) -> str:
    """The public key of a private one, in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def sign(record: Mapping[str, Any], key: Any) -> dict[str, Any]:
    """The record with its digest, the public key and the signature of its canonical bytes."""
    data = canonical(record)
    return {
        "record": dict(record),
        "sha256": hashlib.sha256(data).hexdigest(),
        "key": public_text(key),
        "signature": base64.b64encode(key.sign(data)).decode(),
    }


def verify(signed: Any, trusted: str = "") -> dict[str, Any]:
    """The record inside of a signed one. `trusted`: the public key that must have signed it, in base64.
    Raises RecordError for a record that was changed, was signed by another key, or is none."""
    require("a signed record", NEEDED)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        record, digest = signed["record"], signed["sha256"]
        key, signature = (base64.b64decode(signed[name], validate=True) for name in ("key", "signature"))
        public = Ed25519PublicKey.from_public_bytes(key)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise RecordError(f"this is no signed record: {type(error).__name__}: {error}") from None
    if trusted and signed["key"] != trusted:
        raise RecordError(f"the record was signed by the key {signed['key']}, not by {trusted}.")
    data = canonical(record)
    if hashlib.sha256(data).hexdigest() != digest:
        raise RecordError("the record was changed: its SHA-256 is another one.")
    try:
        public.verify(signature, data)
    except InvalidSignature:
        raise RecordError("the record was changed: the signature does not hold.") from None
    return record


def read(path: Path) -> Any:
    """A signed record out of a file. Raises RecordError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read as a record: {error}") from None
