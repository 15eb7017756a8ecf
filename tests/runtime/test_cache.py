"""The object cache among processes, interrupted writers, damaged files and closed folders."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys

import pytest

from anychip.compiler.targets import llvm_versions, machine
from anychip.runtime import native
from anychip.runtime.cache import ObjectCache

WRITER = """
import os, sys
from anychip.runtime.cache import ObjectCache
cache = ObjectCache("objects")
body = bytes([int(sys.argv[1])]) * 300_000
print("ready", flush=True)
while True:
    cache.put("key", body)
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path))
    return ObjectCache("objects")


def test_bytes_come_back_and_unknown_keys_do_not(cache):
    cache.put("key", b"code")
    assert cache.get("key") == b"code"
    assert cache.get("other") is None
    cache.put("key", b"newer")
    assert cache.get("key") == b"newer"


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:10], lambda d: b"", lambda d: d[:-1] + b"!"]
)
def test_damaged_entries_count_as_absent(cache, damage):
    cache.put("key", b"code" * 100)
    path = cache.folder / "key"
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("key") is None
    cache.put("key", b"mended")
    assert cache.get("key") == b"mended"


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path / "file"))
    cache = ObjectCache("objects")
    with caplog.at_level(logging.WARNING):
        cache.put("key", b"code")
        cache.put("key", b"code")
    assert cache.get("key") is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ANYCHIP_CACHE_DIR" in caplog.text


def test_writers_that_are_killed_leave_whole_entries(cache):
    for value in (1, 2, 3):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(10 * value + i)], stdout=subprocess.PIPE, text=True
            )
            for i in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for _ in range(50):
            body = cache.get("key")
            assert body is None or (len(body) == 300_000 and len(set(body)) == 1)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            if writer.stdout is not None:
                writer.stdout.close()
        body = cache.get("key")
        assert body is not None
        assert len(body) == 300_000
        assert len(set(body)) == 1


@pytest.mark.parametrize("other", ["llvmlite", "LLVM"])
def test_native_code_made_by_another_llvmlite_or_llvm_is_not_loaded(other, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path))
    compiled = []
    emit_object = machine.emit_object
    monkeypatch.setattr(
        machine, "emit_object", lambda *arguments: compiled.append(None) or emit_object(*arguments)
    )
    native._load()
    native._load()
    assert len(compiled) == 1
    if other == "llvmlite":
        monkeypatch.setattr(native, "version", lambda name: "0.1.0")
    else:
        monkeypatch.setattr(llvm_versions, "installed_text", lambda: "1.2.3")
    native._load()
    assert len(compiled) == 2
