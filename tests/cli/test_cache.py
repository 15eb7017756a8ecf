"""`anychip cache`: what it counts and what it removes, in folders that Triton's own cache manager filled."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from triton import knobs
from triton.runtime.cache import FileCacheManager
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.measurements.database import FOLDER, Database
from anychip.measurements.entry import CHOICE, TILES, Entry
from anychip.runtime.binary import MAGIC
from anychip.runtime.cache import ObjectCache
from anychip.triton_backend.kept_kernels import kept, remove

DAY = 86400


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path / "triton"))  # Another test may have set it.
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path / "anychip"))
    monkeypatch.setattr("anychip.triton_backend.kept_kernels.PAUSE", 0.0)


def compiled(name: str, extension: str, binary: bytes, days: float = 1.0) -> Path:
    """A kernel in the cache, written `days` ago. Returns its folder."""
    manager = FileCacheManager(f"KEY{name.upper()}")
    group = {
        f: manager.put(data, f) for f, data in ((f"{name}.{extension}", binary), (f"{name}.json", b"{}"))
    }
    manager.put_group(f"{name}.json", group)
    folder = Path(group[f"{name}.json"]).parent
    for path in folder.iterdir():
        written = time.time() - days * DAY
        os.utime(path, (written, written))
    return folder


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(application, ["cache", *arguments, "--json"])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.output)


def test_ours_are_told_from_others_and_nothing_else_is_removed(tmp_path: Path) -> None:
    ours = [compiled("one", "anychip", MAGIC + b"code"), compiled("two", "hsaco", MAGIC + b"code")]
    others = [compiled("amd", "hsaco", b"\x7fELF"), compiled("nvidia", "cubin", b"\x7fELF")]
    stranger = tmp_path / "triton" / "notes"
    stranger.mkdir()
    (stranger / "mine.anychip").write_bytes(MAGIC)
    counted = {kept["kind"]: kept for kept in run()}
    assert (counted["kernels"]["number"], counted["others"]["number"]) == (2, 2)
    assert counted["kernels"]["bytes"] == sum(p.stat().st_size for folder in ours for p in folder.iterdir())
    assert run("clean", "kernels", "--yes")["kernels"]["number"] == 2
    assert not [folder for folder in ours if folder.exists()]
    assert all(len(list(folder.iterdir())) == 3 for folder in others)
    assert (stranger / "mine.anychip").exists()


def test_an_age_keeps_what_is_younger() -> None:
    old, young = compiled("old", "anychip", MAGIC, days=8), compiled("young", "anychip", MAGIC, days=6)
    assert run("clean", "--older-than", "1w", "--yes")["kernels"]["number"] == 1
    assert not old.exists()
    assert young.exists()


def test_what_another_process_writes_is_left() -> None:
    """A kernel that was written just now, and one that is replaced while it is removed."""
    fresh, replaced = compiled("fresh", "anychip", MAGIC, days=0), compiled("again", "anychip", MAGIC)
    listed = list(kept(fresh.parent))
    manager = FileCacheManager("KEYAGAIN")
    group = {
        name: manager.put(data, name) for name, data in (("again.anychip", MAGIC), ("again.json", b"{}"))
    }
    manager.put_group("again.json", group)
    assert remove(listed) == (0, 0)
    assert len(list(fresh.iterdir())) == len(list(replaced.iterdir())) == 3


def test_measurements_go_only_by_name(tmp_path: Path) -> None:
    ObjectCache("native").put("key", b"code")
    database = Database("some-chip", tmp_path / "anychip" / FOLDER)
    for kind, subject, day in (
        (CHOICE, "mm", "2020-01-01"),
        (CHOICE, "add", "9000-01-01"),
        (TILES, "T", "2020-01-01"),
    ):
        database.put(Entry(kind, subject, "f32", "digest", "some-chip", made=day))
    counted = {kept["kind"]: kept["number"] for kept in run()}
    assert (counted["native"], counted["choices"], counted["tuned"]) == (1, 2, 1)
    assert set(run("clean", "--yes")) == {"kernels", "native", "fingerprints"}
    assert ObjectCache("native").get("key") is None
    assert run("clean", "choices", "--older-than", "1d", "--yes")["choices"]["number"] == 1
    left = Database("some-chip", tmp_path / "anychip" / FOLDER).entries()
    assert {(entry.kind, entry.subject) for entry in left} == {(CHOICE, "add"), (TILES, "T")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean"], "Add --yes"),
        (["clean", "kernel", "--yes"], "Did you mean kernels?"),
        (["clean", "others", "--yes"], "nothing called 'others'"),
        (["clean", "--older-than", "soon", "--yes"], "no age"),
    ],
)
def test_what_is_not_meant_so_removes_nothing(arguments: list[str], message: str) -> None:
    folder = compiled("one", "anychip", MAGIC)
    with pytest.raises(CommandError, match=message):
        run(*arguments)
    assert folder.exists()
