"""A library's own code on this machine: what its functions return, and that it computes what the program
does, alone and with workers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import anychip
from anychip.compiler import targets
from anychip.compiler.llvm.types import I64
from anychip.compiler.targets import machine
from anychip.edge import launch_list
from anychip.edge.context import Status, context_of
from anychip.edge.lowering import lower
from anychip.edge.weights import Weights, collect
from anychip.pytorch.export import exported_function
from anychip.runtime.loader import load

CONTEXT = context_of(I64).ctypes
TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int64)
PARALLEL_FOR = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
)


class Library:
    """A program's library in this process; `run(context, *addresses)` and the others are its functions."""

    def __init__(self, program: anychip.Program, embedded: bool = True):
        target = targets.host()
        exported = exported_function(program, "net")
        lowered = lower(exported.launches, target, "net")
        self.weights: Weights = collect(exported.launches, lowered, target.big_endian)
        own = launch_list.module(exported, lowered, self.weights, target, embedded, False)
        names = ["init", "run", "arena_size_parallel", "set_parallel"] + ["set_weights"] * (not embedded)
        code = machine.emit_linked_object([own, *(kernel.llvm_ir for kernel in lowered.kernels)], target)
        self._code = load(code, [f"net_{name}" for name in names], {})
        self.arena_bytes = self.function("arena_size_parallel", ctypes.c_int32)(3)

    def function(self, name: str, *types: Any) -> Callable[..., int]:
        result = ctypes.c_size_t if name.startswith("arena") else ctypes.c_int
        return ctypes.CFUNCTYPE(result, *types)(self._code[f"net_{name}"])

    def init(self, arena: int | None, bytes: int) -> tuple[Any, int]:
        context = CONTEXT()
        function = self.function("init", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        return context, function(ctypes.addressof(context), arena, bytes)

    def run(self, context: Any, *tensors: torch.Tensor | None) -> int:
        pointers = [tensor if tensor is None else tensor.data_ptr() for tensor in tensors]
        function = self.function("run", *[ctypes.c_void_p] * (1 + len(pointers)))
        return function(ctypes.addressof(context), *pointers)


@pytest.fixture(scope="module")
def program() -> anychip.Program:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 5)).eval()
    return anychip.capture(model, torch.randn(3, 12))


@pytest.fixture(scope="module")
def library(program: anychip.Program) -> Library:
    return Library(program)


@pytest.fixture
def arena(library: Library) -> Iterator[int]:
    yield from aligned(library.arena_bytes)


def aligned(bytes: int) -> Iterator[int]:
    """The address of memory that begins at a multiple of 64."""
    memory = np.empty(bytes + 64, np.uint8)
    yield -(-memory.ctypes.data // 64) * 64
    del memory


def test_a_library_computes_what_its_program_does(program: anychip.Program, library: Library, arena: int):
    context, status = library.init(arena, library.arena_bytes)
    assert status == Status.OK
    for seed in range(2):
        x, out = torch.randn(3, 12, generator=torch.Generator().manual_seed(seed)), torch.empty(3, 5)
        assert library.run(context, x, out) == Status.OK
        torch.testing.assert_close(out, program(x))
    assert (context.failed_launch, context.failed_assertion) == (-1, 0)


def test_workers_share_each_launch(program: anychip.Program, library: Library, arena: int):
    shares = []

    def parallel_for(pool: int, task: int, job: int, programs: int, workers: int) -> None:
        for worker in range(workers):
            first, last = programs * worker // workers, programs * (worker + 1) // workers
            shares.append((pool, workers))
            TASK(task)(job, worker, first, last)

    context, _ = library.init(arena, library.arena_bytes)
    function = PARALLEL_FOR(parallel_for)
    share = library.function("set_parallel", ctypes.c_void_p, PARALLEL_FOR, ctypes.c_void_p, ctypes.c_int32)
    assert share(ctypes.addressof(context), function, 7, 3) == Status.OK
    x, out = torch.randn(3, 12), torch.empty(3, 5)
    assert library.run(context, x, out) == Status.OK
    torch.testing.assert_close(out, program(x))
    assert set(shares) == {(7, 3)}
    assert share(ctypes.addressof(context), function, 7, 0) == Status.NULL_ARGUMENT
    assert share(ctypes.addressof(context), function, 7, 4) == Status.ARENA_TOO_SMALL


def test_wrong_arguments_are_told_by_their_status(library: Library, arena: int):
    assert library.init(None, library.arena_bytes)[1] == Status.NULL_ARGUMENT
    assert library.init(arena + 32, library.arena_bytes)[1] == Status.MISALIGNED
    assert library.init(arena, 64)[1] == Status.ARENA_TOO_SMALL
    context, _ = library.init(arena, library.arena_bytes)
    x, out = torch.randn(40), torch.empty(3, 5)
    assert library.run(context, None, out) == Status.NULL_ARGUMENT
    assert library.run(context, x[1:37], out) == Status.MISALIGNED


def test_weights_beside_the_library_are_looked_at(program: anychip.Program, arena: int):
    library = Library(program, embedded=False)
    context, _ = library.init(arena, library.arena_bytes)
    x, out = torch.randn(3, 12), torch.empty(3, 5)
    assert library.run(context, x, out) == Status.WEIGHTS_MISSING
    file = library.weights.file()
    take = library.function("set_weights", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    where = ctypes.addressof(context)
    for place in aligned(len(file)):
        ctypes.memmove(place, file[:20] + b"?" + file[21:], len(file))
        assert take(where, place, len(file)) == Status.WEIGHTS_WRONG
        ctypes.memmove(place, file, len(file))
        assert take(where, place, len(file) - 1) == Status.WEIGHTS_WRONG
        assert take(where, place + 8, len(file)) == Status.MISALIGNED
        assert take(where, None, len(file)) == Status.NULL_ARGUMENT
        assert take(where, place, len(file)) == Status.OK
        assert library.run(context, x, out) == Status.OK
    torch.testing.assert_close(out, program(x))


def test_a_failed_assertion_says_where():
    table = torch.arange(12.0).reshape(4, 3)
    library = Library(anychip.capture(lambda i: table[i], torch.tensor([0, 1, 2, 3])))
    for place in aligned(library.arena_bytes):
        context, _ = library.init(place, library.arena_bytes)
        out = torch.empty(4, 3)
        assert library.run(context, torch.tensor([3, 1, 0, 2]), out) == Status.OK
        torch.testing.assert_close(out, table[[3, 1, 0, 2]])
        assert library.run(context, torch.tensor([0, 1, 9, 2]), out) == Status.ASSERTION
        assert context.failed_launch >= 0
        assert context.failed_assertion >= 1
