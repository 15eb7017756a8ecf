"""A kernel that dies of an access says which it was, and the handlers that were there before still run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.triton_backend import faulty_process
from tests.triton_backend import waiting_kernels as kernels

from anychip.runtime import native
from anychip.runtime.native import fault
from anychip.triton_backend import activate

pytestmark = pytest.mark.skipif(
    not fault.is_supported(), reason="signal contexts of this machine are unknown"
)


def die(**environment: str) -> str:
    command = [sys.executable, "-m", "tests.triton_backend.faulty_process"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert done.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in done.stderr, "Python's own handler ran"
    return done.stderr


def test_kernel_source_and_argument_are_named():
    text = die()
    lines = Path(faulty_process.__file__).read_text().splitlines()
    line = lines.index("def far_away(values, distance):") + 1
    found = re.search(
        r"anychip: kernel far_away \((.*):(\d+)\) accessed address (\w+), .*: "
        r"values \((\w+), (-?\d+) bytes away\)",
        text,
    )
    assert found, text
    file, number, address, pointer, distance = found.groups()
    assert file == faulty_process.__file__
    assert int(number) in (line - 1, line)
    assert int(address, 16) - int(pointer, 16) == int(distance) == -4 << 40
    assert "ANYCHIP_SANITIZE=1" in text


def test_the_handler_can_be_left_out():
    assert "anychip: kernel" not in die(ANYCHIP_FAULTS="0")


def test_kernels_are_in_the_list_while_they_are_loaded():
    activate()
    count = torch.zeros(1, dtype=torch.int32)
    kernels.ticket_lock[(3,)](count, torch.zeros_like(count), torch.zeros(4, dtype=torch.int32))
    names = []
    kernel = native.state().state.kernels
    while kernel:
        entry = native.structures.KERNEL.ctypes.from_address(kernel)
        assert entry.first < entry.last
        names.append(entry.name.decode())
        kernel = entry.next
    (name,) = {name for name in names if name.startswith("ticket_lock ")}
    assert kernels.__file__ in name
