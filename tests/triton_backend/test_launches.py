"""Launching through stock Triton: grids, arguments, hooks, benchmarks, threads, leaks."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from tests.memory import least_growth, needs_resident_bytes
from tests.triton_backend.kernels import add, add_kernel, scalars
from triton import knobs
from triton.tools.tensor_descriptor import TensorDescriptor

from anychip.runtime import launches, native
from anychip.runtime.errors import ArgumentError, DeviceAssertion

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


@triton.jit
def program_ids(out_ptr):
    x, y, z = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    nx, ny, nz = tl.num_programs(0), tl.num_programs(1), tl.num_programs(2)
    linear = x + nx * (y + ny * z)
    tl.store(out_ptr + linear, x + 100 * y + 10000 * z + 1000000 * nz)


@triton.jit
def through_tuple(out_ptr, values, N: tl.constexpr):
    offsets = tl.arange(0, N)
    tl.store(out_ptr + offsets, tl.load(values[0] + offsets) * values[1][0] + values[1][1])


@triton.jit
def copy_by_descriptor(source, target, M: tl.constexpr, N: tl.constexpr):
    block = source.load([tl.program_id(0) * M, 0])
    target.store([tl.program_id(0) * M, 0], block)


@triton.jit
def checked(x_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x_ptr + offsets, mask=offsets < n, other=1)
    tl.device_assert(values > 0, "every value is positive")


def test_sums_of_any_length():
    for n in (1, 7, 1023, 1024, 1025, 98432):
        x, y = torch.rand(2, n)
        before = launches.count("add_kernel")
        assert torch.equal(add(x, y), x + y)
        assert launches.count("add_kernel") == before + 1


@pytest.mark.parametrize("grid", [(5,), (5, 3), (5, 3, 2), [4, 1, 3]])
def test_grids_of_one_to_three_dimensions(grid):
    x, y, z = (*grid, 1, 1)[:3]
    out = torch.zeros(z, y, x, dtype=torch.int32)
    program_ids[grid](out)
    iz, iy, ix = torch.meshgrid(torch.arange(z), torch.arange(y), torch.arange(x), indexing="ij")
    assert torch.equal(out, (ix + 100 * iy + 10000 * iz + 1000000 * z).int())


@pytest.mark.parametrize("grid", [(0,), (3, 0), (1, 1, 0)])
def test_empty_grids_launch_nothing(grid):
    out = torch.full((16,), 7, dtype=torch.int32)
    before = launches.count()
    program_ids[grid](out)
    assert out.eq(7).all()
    assert launches.count() == before


def test_scalars_of_every_type():
    out = torch.zeros(8, dtype=torch.float64)
    scalars[(1,)](out, -(1 << 40), (1 << 63) + (5 << 32), 0.1, 1.5, 3.0, 0.1, True, None)
    single = float(np.float32(0.1))
    assert out.tolist() == [-float(1 << 40), float((1 << 31) + 5), single, 1.5, 3.0, 0.1, 1.0, 1.0]


def test_one_and_none_are_constants_of_the_kernel():
    x = torch.tensor([2.0])
    out = torch.empty(1)
    add_kernel[(1,)](x, x, out, 1, BLOCK=1)
    assert out.item() == 4.0


def test_nested_tuples():
    x, out = torch.rand(16), torch.empty(16)
    through_tuple[(1,)](out, (x, (3, 0.5)), N=16)
    torch.testing.assert_close(out, x * 3 + 0.5)


def test_host_tensor_descriptors():
    x, out = torch.rand(24, 16), torch.zeros(24, 16)
    source, target = (TensorDescriptor.from_tensor(t, [8, 16]) for t in (x, out))
    copy_by_descriptor[(3,)](source, target, M=8, N=16)
    assert torch.equal(out, x)


def test_numpy_arrays_are_refused():
    x = np.zeros(4, dtype=np.float32)
    with pytest.raises(TypeError, match="ndarray"):
        add_kernel[(1,)](x, x, x, 4, BLOCK=4)


def test_memory_of_other_devices_is_refused():
    x, meta = torch.zeros(4), torch.zeros(4, device="meta")
    add(x, x, block=4)
    with pytest.raises(ArgumentError, match="memory on meta"):
        add_kernel[(1,)](x, meta, x, 4, BLOCK=4)


def test_grids_must_be_integers_in_range():
    x = torch.zeros(4)
    for grid, message in (((-1,), "grid x is -1"), ((1, 2.5), "grid y is 2.5"), ((1, 1, 1 << 31), "grid z")):
        with pytest.raises(ArgumentError, match=f"add_kernel: {message}"):
            add_kernel[grid](x, x, x, 4, BLOCK=4)


def test_device_assertions_raise_with_message_and_program():
    x = torch.ones(64, dtype=torch.int32)
    checked[(4,)](x, 64, BLOCK=16, debug=True)
    x[35] = -1
    with pytest.raises(DeviceAssertion, match="every value is positive") as raised:
        checked[(4,)](x, 64, BLOCK=16, debug=True)
    assert raised.value.program_id == (2, 0, 0)
    x[35] = 1
    checked[(4,)](x, 64, BLOCK=16, debug=True)


def test_launch_hooks_see_every_launch_and_its_metadata():
    seen = []

    def enter(metadata):
        seen.append(("enter", metadata.get()["name"]))

    def leave(metadata):
        seen.append(("exit", metadata.get()["name"]))

    x = torch.rand(10)
    add(x, x)
    knobs.runtime.launch_enter_hook.add(enter)
    knobs.runtime.launch_exit_hook.add(leave)
    try:
        assert torch.equal(add(x, x), x + x)
    finally:
        knobs.runtime.launch_enter_hook.remove(enter)
        knobs.runtime.launch_exit_hook.remove(leave)
    assert torch.equal(add(x, x), x + x)
    assert seen == [("enter", "add_kernel"), ("exit", "add_kernel")]


def test_recorders_see_the_arguments_of_launches():
    x = torch.rand(100)
    with launches.record() as seen:
        add(x, x, block=32)
    assert [(launch.kernel, launch.grid) for launch in seen] == [("add_kernel", (4, 1, 1))]
    assert seen[0].arguments[0] is x
    assert seen[0].arguments[3:] == (100, 32)


def test_triton_can_time_the_cpu():
    x = torch.rand(1000)
    times = triton.testing.do_bench(lambda: add(x, x), warmup=1, rep=5, return_mode="all")
    assert len(times) > 0
    assert all(time > 0 for time in times)


def test_the_autotuner_chooses_among_configurations():
    tuned = triton.autotune(
        [triton.Config({"BLOCK": b}, num_warps=w) for b in (64, 256) for w in (1, 4)], ["n"]
    )(add_kernel)
    x, out = torch.rand(5000), torch.empty(5000)
    tuned[lambda meta: (triton.cdiv(5000, meta["BLOCK"]),)](x, x, out, 5000)
    assert torch.equal(out, x + x)
    assert tuned.best_config.kwargs["BLOCK"] in (64, 256)


def test_threads_of_python_launch_at_once():
    wrong = []

    def many(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for step in range(60):
            n = 100 * seed + 37 * step + 1
            x, y = torch.rand(2, n, generator=generator)
            if not torch.equal(add(x, y, block=64), x + y):
                wrong.append((seed, step))

    threads = [threading.Thread(target=many, args=(seed,)) for seed in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_of_python_compile_the_same_kernel_at_once():
    start = threading.Barrier(4)
    results = []

    def compile_and_run() -> None:
        x = torch.rand(333)
        start.wait()
        results.append(torch.equal(add(x, x, block=512), x + x))

    threads = [threading.Thread(target=compile_and_run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


@needs_resident_bytes
@pytest.mark.parametrize("number", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_launches_leak_nothing(number):
    x, out = torch.rand(1000), torch.empty(1000)

    def launch(times: int) -> None:
        for _ in range(times):
            add_kernel[(4,)](x, x, out, 1000, BLOCK=256)

    launch(500)
    gc.collect()
    objects, scratch = len(gc.get_objects()), native.state().state.arena_bytes
    before = launches.count("add_kernel")
    assert least_growth(lambda: launch(number)) < 100 * number
    assert launches.count("add_kernel") == before + 5 * number
    assert len(gc.get_objects()) - objects < 50
    assert native.state().state.arena_bytes == scratch


@needs_resident_bytes
def test_kernels_that_are_dropped_give_their_memory_back():
    def compile_anew(times: int) -> None:
        for _ in range(times):
            add_kernel.device_caches.clear()
            add(torch.rand(4), torch.rand(4), block=4)
        add_kernel.device_caches.clear()

    compile_anew(30)
    assert least_growth(lambda: compile_anew(25)) < 25 * 40_000
