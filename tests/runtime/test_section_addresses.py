"""All sections of an object lie together, wherever there is room: code reaches its constants and variables by
distances of 32 bits, and LLVM ends the process when one is too long.

A process of its own leaves room for single pages only in holes gigabytes apart, loads the native runtime
and kernels, looks at where each section went, and compares the results with PyTorch's.
"""

from __future__ import annotations

import ctypes
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from llvmlite import binding as llvm
from tests.runtime.address_space import APART, PAGE, Range, map_page, mapped, scatter, without

from anychip.compiler import targets
from anychip.compiler.targets import machine
from anychip.runtime import loader, native

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300
"""Seconds after which a process that stands still is ended, and the test fails."""

EVERY_SECTION = """
@table = constant [4 x double] [double 1.0, double 2.5, double 3.0, double 4.0]
@count = global i64 5
@sums = global [1000 x i64] zeroinitializer
declare i64 @strlen(ptr)
define double @next(i64 %i, ptr %text) {
  %length = call i64 @strlen(ptr %text)
  %old = load i64, ptr @count
  %new = add i64 %old, %length
  store i64 %new, ptr @count
  %sum_p = getelementptr i64, ptr @sums, i64 %i
  store i64 %new, ptr %sum_p
  %value_p = getelementptr double, ptr @table, i64 %i
  %value = load double, ptr %value_p
  %float = sitofp i64 %new to double
  %scaled = fmul double %value, 3.25
  %result = fadd double %scaled, %float
  ret double %result
}
"""


@triton.jit
def wave_kernel(out, x, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + i, mask=i < n)
    tl.store(out + i, tl.exp(value) * tl.sin(value) + tl.erf(value), mask=i < n)


@triton.jit
def mixture_kernel(out, scores, values, ROWS: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr):
    rows, keys, columns = tl.arange(0, ROWS), tl.arange(0, KEYS), tl.arange(0, WIDTH)
    score = tl.load(scores + rows[:, None] * KEYS + keys)
    weight = tl.exp(score - tl.max(score, 1)[:, None])
    weight /= tl.sum(weight, 1)[:, None]
    mixed = tl.dot(weight, tl.load(values + keys[:, None] * WIDTH + columns), input_precision="ieee")
    tl.store(out + rows[:, None] * WIDTH + columns, mixed)


@triton.jit
def order_kernel(out, x, LENGTH: tl.constexpr):
    i = tl.arange(0, LENGTH)
    tl.store(out + i, tl.cumsum(tl.sort(tl.load(x + i)), 0))


def loaded_sizes(object_code: bytes) -> dict[str, int]:
    """Bytes of an ELF object's sections that are loaded, by the permissions of the memory they belong in."""
    assert object_code[:5] == b"\x7fELF\x02"
    order = "<" if object_code[5] == 1 else ">"
    (start,) = struct.unpack_from(f"{order}Q", object_code, 0x28)
    size, count = struct.unpack_from(f"{order}HH", object_code, 0x3A)
    sizes = {"r-xp": 0, "r--p": 0, "rw-p": 0}
    for number in range(count):
        flags, _, _, length = struct.unpack_from(f"{order}4Q", object_code, start + number * size + 8)
        if flags & 2:  # SHF_ALLOC
            sizes["r-xp" if flags & 4 else "rw-p" if flags & 1 else "r--p"] += length
    return sizes


class Watch:
    """Stands in for `JITLibraryBuilder.link`: notes which memory each object's sections were mapped into."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self._link = llvm.JITLibraryBuilder.link
        self._add = llvm.JITLibraryBuilder.add_object_img
        self._objects: dict[int, bytes] = {}

    def install(self) -> None:
        builders: Any = llvm.JITLibraryBuilder
        builders.add_object_img = lambda builder, data: self.add(builder, data)
        builders.link = lambda builder, jit, name: self.link(builder, jit, name)

    def add(self, builder: Any, data: bytes) -> Any:
        self._objects[id(builder)] = data
        return self._add(builder, data)

    def link(self, builder: Any, jit: Any, name: str) -> Any:
        before = mapped()
        tracker = self._link(builder, jit, name)
        self._check(self._objects.pop(id(builder)), before)
        self.loaded.append(name)
        return tracker

    def _check(self, object_code: bytes, before: list[Range]) -> None:
        sizes = loaded_sizes(object_code)
        mine = {kind: without(mapped(kind), before) for kind in ("r-xp", "r--p")}
        for kind, ranges in mine.items():
            assert sum(last - first for first, last in ranges) >= sizes[kind], (kind, sizes, mine)
        everything = sorted(mine["r-xp"] + mine["r--p"])
        span = everything[-1][1] - everything[0][0]
        # Each kind of memory begins at a page; tables of far addresses may add a page to each.
        assert span <= sum(size // PAGE + 2 for size in sizes.values()) * PAGE, (sizes, everything)


def launch_own_kernels() -> None:
    x = torch.randn(5000)
    out = torch.empty_like(x)
    wave_kernel[(5,)](out, x, 5000, BLOCK=1024)
    torch.testing.assert_close(out, x.exp() * x.sin() + x.erf(), rtol=2e-6, atol=2e-6)
    scores, values, mixed = torch.randn(16, 64), torch.randn(64, 32), torch.empty(16, 32)
    mixture_kernel[(1,)](mixed, scores, values, ROWS=16, KEYS=64, WIDTH=32)
    torch.testing.assert_close(mixed, scores.softmax(1) @ values, rtol=1e-5, atol=1e-5)
    ordered = torch.empty(32)
    order_kernel[(1,)](ordered, x[:32].contiguous(), LENGTH=32)
    torch.testing.assert_close(ordered, x[:32].sort().values.cumsum(0), rtol=1e-5, atol=1e-4)


def load_scattered() -> None:
    """What the process does: every kind of section, the native runtime, and kernels of its own."""
    native.state()
    scatter()
    watch = Watch()
    watch.install()
    names = ("next", "table", "count", "sums")
    code = loader.load(machine.emit_object(EVERY_SECTION, targets.host()), names)
    addresses = sorted(code[name] for name in names)
    assert addresses[-1] - addresses[0] < APART // 2, addresses
    following = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_char_p)(code["next"])
    assert [following(1, b"seven.."), following(3, b"one")] == [2.5 * 3.25 + 12, 4 * 3.25 + 15]
    assert list((ctypes.c_int64 * 4).from_address(code["sums"])) == [0, 12, 0, 15]
    native._load()
    launch_own_kernels()
    assert len(watch.loaded) == 5, watch.loaded


def two_pages() -> None:
    """What the other process does: maps two pages, which must come to lie far apart."""
    scatter()
    assert abs(map_page() - map_page()) >= APART - PAGE


def in_a_new_process(work: Callable[[], None]) -> None:
    """Calls a function of this file where little is mapped yet; a fork would bring along what tests before it
    have mapped, and the holes that reading the list of it leaves."""
    call = f"from {__name__} import {work.__name__} as work; work()"
    command = [sys.executable, "-c", call]
    done = subprocess.run(command, timeout=PATIENCE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_sections_lie_together_where_room_is_scattered() -> None:
    in_a_new_process(load_scattered)


def test_single_pages_go_to_holes_far_apart() -> None:
    """So the test above tells something."""
    in_a_new_process(two_pages)


def test_hosts_without_jitlink_are_named() -> None:
    assert loader._has_jitlink(targets.host())
    assert loader._has_jitlink(targets.get("z14")) == (llvm.llvm_version_info[0] >= 22)
