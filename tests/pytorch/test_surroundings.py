"""Whole programs where nothing can be kept: a home that cannot be written, a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import torch, anychip
x = torch.linspace(0, 1, 5000)
for policy in ("portable", "auto"):
    with anychip.using(policy):
        for _ in range(8):
            y = torch.softmax(x.view(50, 100), 1)
    torch.testing.assert_close(y, torch.softmax(x.view(50, 100), 1))
"""
COMPILED = """
double = torch.compile(lambda a: torch.nn.functional.gelu(a) * 2, backend="anychip")
torch.testing.assert_close(double(x), torch.nn.functional.gelu(x) * 2)
"""
WARNING = "kept for this process only"


def warnings_of(program: str, home: Path) -> list[str]:
    """The lines of standard error of a program that ends well with this home."""
    unset = ("ANYCHIP_CACHE_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_a_home_that_cannot_be_written_costs_warnings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the home should be")
    lines = warnings_of(PROGRAM, tmp_path / "file")
    assert 1 <= len(lines) <= 4  # One for each folder: two of kernels, the native part, measurements.
    assert all(WARNING in line for line in lines)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB that is filled to its last 4 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    (disk / "filler").write_bytes(bytes(60 << 10))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_costs_warnings(full_disk: Path) -> None:
    lines = warnings_of(PROGRAM + COMPILED, full_disk)
    assert 1 <= len(lines) <= 4
    assert all(WARNING in line and "No space left" in line for line in lines)
