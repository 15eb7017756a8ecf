"""The kernel cache among processes, killed writers, damaged files and closed folders."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.triton_backend.kernels import add, add_kernel
from triton import knobs

from anychip.compiler import pipeline
from anychip.triton_backend import compiler, kernel_cache

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path, monkeypatch, caplog):
    """Compiles into a folder of its own, counts compilations and forgets kernels on demand."""

    class Cache:
        folder = tmp_path / "kernels"
        compilations = 0

        def launch(self, block: int = 128) -> int:
            """Launch as a new process would; returns the number of compilations that took."""
            add_kernel.device_caches.clear()
            before, x = self.compilations, torch.rand(1000)
            assert torch.equal(add(x, x, block=block), x + x)
            return self.compilations - before

        def file(self, name: str) -> Path:
            (path,) = self.folder.rglob(name)
            return path

        @property
        def warnings(self) -> str:
            return caplog.text

    fixture = Cache()
    compile_ttir = pipeline.compile_ttir

    def counted(*arguments, **options):
        fixture.compilations += 1
        return compile_ttir(*arguments, **options)

    monkeypatch.setattr(pipeline, "compile_ttir", counted)
    monkeypatch.setattr(compiler, "compiler_fingerprint", lambda: "the same while sources are edited")
    monkeypatch.setattr(knobs.cache, "dir", str(fixture.folder))
    monkeypatch.setattr("anychip.runtime.cache._warned", set())
    kernel_cache.process_folder.cache_clear()
    caplog.set_level(logging.WARNING)
    yield fixture
    add_kernel.device_caches.clear()


def test_kernels_are_taken_from_the_cache(cache):
    assert cache.launch() == 1
    assert cache.launch() == 0
    assert cache.warnings == ""


DAMAGES = {
    "truncated": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "overwritten": lambda data: b"\0" * len(data),
    "one bit flipped": lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
}


@pytest.mark.parametrize("extension", ["anychip", "json", "ttir"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_noticed_and_replaced(cache, extension, damage):
    cache.launch()
    path = cache.file(f"add_kernel.{extension}")
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert cache.launch() == 1
    assert "compiling it again" in cache.warnings
    assert len(path.read_bytes()) == len(whole)
    assert cache.launch() == 0


@pytest.mark.parametrize("name", ["add_kernel.anychip", "add_kernel.json", "__grp__add_kernel.json"])
def test_missing_files_are_replaced(cache, name):
    cache.launch()
    cache.file(name).unlink()
    assert cache.launch() == 1
    assert cache.launch() == 0


@pytest.mark.parametrize("contents", ["", '{"child_paths": {"a', "[]", '{"child_paths": 3}', "null"])
def test_a_damaged_list_of_files_is_replaced(cache, contents):
    cache.launch()
    cache.file("__grp__add_kernel.json").write_text(contents)
    assert cache.launch() == 1
    assert cache.launch() == 0


def test_lists_that_triton_wrote_itself_are_taken_when_their_files_can_be_read(cache):
    cache.launch()
    listing = cache.file("__grp__add_kernel.json")
    listing.write_text(json.dumps({"child_paths": json.loads(listing.read_text())["child_paths"]}))
    assert cache.launch() == 0
    cache.file("add_kernel.json").write_text("{")
    assert cache.launch() == 1


def test_a_kernel_of_another_processor_is_not_taken(cache, monkeypatch):
    cache.launch()
    identity = compiler.target_identity
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(compiler, "target_identity", lambda target: identity(target) + ",-avx512f")
        elsewhere.setattr("anychip.triton_backend.driver.target_identity", compiler.target_identity)
        assert cache.launch() == 1
        assert cache.launch() == 0
    assert cache.launch() == 0


def test_a_kernel_of_another_compiler_is_not_taken(cache, monkeypatch):
    cache.launch()
    monkeypatch.setattr(compiler, "compiler_fingerprint", lambda: "a newer one")
    assert cache.launch() == 1


def test_a_folder_that_cannot_be_made_costs_one_warning(cache):
    cache.folder.write_text("in the way")
    assert cache.launch() == 1
    assert cache.launch(block=256) == 1
    assert cache.launch() == 0
    assert cache.warnings.count("cannot be written") == 1
    assert "TRITON_CACHE_DIR" in cache.warnings


def test_a_disk_that_fills_up_costs_one_warning(cache, monkeypatch):
    replace = os.replace

    def full(source, target):
        if str(target).startswith(str(cache.folder)):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert cache.launch() == 1
    assert cache.launch() == 0
    assert cache.warnings.count("No space left on device") == 1


def test_triton_may_keep_binaries_only(cache, monkeypatch):
    monkeypatch.setattr(knobs.compilation, "store_binary_only", True)
    assert cache.launch() == 1
    assert cache.launch() == 0
    assert list(cache.folder.rglob("*.ttir")) == []
    monkeypatch.setattr(knobs.compilation, "store_binary_only", False)
    assert cache.launch() == 1


def test_a_users_own_cache_manager_stays(cache, monkeypatch):
    from triton.runtime.cache import FileCacheManager

    class Own(FileCacheManager):
        used = False

        def put(self, data, filename, binary=True):
            Own.used = True
            return super().put(data, filename, binary)

    monkeypatch.setattr(knobs.cache, "manager_class", Own)
    assert cache.launch() == 1
    assert Own.used


def start(folder: Path, block: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.triton_backend.bare_process", str(block)],
        cwd=ROOT,
        env={**os.environ, "TRITON_CACHE_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready(process: subprocess.Popen[str]) -> None:
    """Wait until a process has written its first line."""
    assert process.stdout is not None
    process.stdout.readline()


def finish(process: subprocess.Popen[str]) -> int:
    """Number of compilations in a process that added rightly and warned of nothing."""
    output, errors = process.communicate(timeout=120)
    assert "right" in output, errors
    assert errors == ""
    return int(output.split("compiled")[1])


def test_processes_compile_the_same_kernel_at_once(tmp_path):
    processes = [start(tmp_path, 128) for _ in range(3)]
    assert sum(map(finish, processes)) >= 1
    assert finish(start(tmp_path, 128)) == 0


def test_processes_killed_while_they_write_poison_nothing(tmp_path):
    generator = random.Random(1)
    process = start(tmp_path, 64)
    ready(process)
    began = time.perf_counter()
    assert finish(process) == 1
    whole = time.perf_counter() - began
    for _ in range(3):
        process = start(tmp_path, 256)
        ready(process)
        time.sleep(whole * generator.uniform(0.4, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(tmp_path, 256))
    assert finish(start(tmp_path, 256)) == 0
