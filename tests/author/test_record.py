"""Records: canonical bytes, signatures, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="records are signed by the package cryptography")

from anychip.author import campaign, record
from anychip.author.errors import CandidateError, RecordError

CONTENT = {
    "verdict": "accepted",
    "line": "accepted: 2.00 times",
    "candidate": "a.py:f",
    "task": "softmax",
    "dtype": "float32",
    "candidate_sha256": "0" * 64,
    "speed": 1.25,
    "name": "\u00e9",
}


def test_canonical_bytes_are_the_same_for_the_same_data() -> None:
    assert record.canonical({"b": [1, 2.5], "a": "\u00e9"}) == b'{"a":"\\u00e9","b":[1,2.5]}'
    assert record.canonical(dict(reversed(CONTENT.items()))) == record.canonical(CONTENT)
    with pytest.raises(RecordError, match="cannot be a record"):
        record.canonical({"a": float("nan")})


def test_the_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    first, second = record.load_key(path), record.load_key(path)
    assert record.public_text(first) == record.public_text(second)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(RecordError, match="chmod 600"):
        record.load_key(path)
    path.write_bytes(b"short")
    with pytest.raises(RecordError, match="5 bytes"):
        record.load_key(path)


def test_a_signature_follows_the_standard() -> None:
    """RFC 8032, section 7.1, test 2: the signature of one byte by a given key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = Ed25519PrivateKey.from_private_bytes(secret)
    expected = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert base64.b64decode(record.public_text(key)).hex() == expected
    assert key.sign(b"\x72").hex().startswith("92a009a9f0d4cab8720e820b5f642540")


def test_a_changed_record_does_not_hold(tmp_path: Path) -> None:
    key, other = record.load_key(tmp_path / "key"), record.load_key(tmp_path / "other")
    signed = json.loads(json.dumps(record.sign(CONTENT, key)))
    assert record.verify(signed) == CONTENT
    assert record.verify(signed, record.public_text(key)) == CONTENT
    with pytest.raises(RecordError, match="not by"):
        record.verify(signed, record.public_text(other))
    changed = {**signed, "record": {**CONTENT, "speed": 9.0}}
    with pytest.raises(RecordError, match="SHA-256"):
        record.verify(changed)
    digest = record.sign(changed["record"], other)["sha256"]
    with pytest.raises(RecordError, match="signature does not hold"):
        record.verify({**changed, "sha256": digest})
    for broken in ({}, [], {**signed, "key": "?"}, {**signed, "signature": 5}):
        with pytest.raises(RecordError, match="no signed record"):
            record.verify(broken)


def test_a_set_is_read_and_what_is_done_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("f = None\n")
    (tmp_path / "set.txt").write_text("# a remark\na.py:f softmax\n\na.py:g task.py bfloat16\n")
    first, second = campaign.read(tmp_path / "set.txt")
    assert first == (tmp_path / "a.py", "f", "softmax", "float32")
    assert second == (tmp_path / "a.py", "g", str(tmp_path / "task.py"), "bfloat16")
    key, other = record.load_key(tmp_path / "key"), record.load_key(tmp_path / "other")
    content = {**CONTENT, "candidate_sha256": first.key[0]}
    kept = tmp_path / "records.jsonl"
    assert campaign.known(kept, key) == {}
    lines = [record.sign(content, key), record.sign({**content, "candidate": "a.py:g"}, other)]
    kept.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"record": {"cut')
    assert campaign.known(kept, key).keys() == {first.key}
    for line in ("a.py softmax", "a.py:f", "a.py:f softmax float31", "b.txt:f softmax"):
        (tmp_path / "set.txt").write_text(line)
        with pytest.raises(CandidateError):
            campaign.read(tmp_path / "set.txt")
