"""Kernels compiled for chips that are not this machine, and what happens when a compiler dies."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading

import pytest
from tests.compiler.foreign.kernels import DOUBLE, MATRIX_PRODUCT, calling

from anychip.compiler.foreign import ForeignKernel, Record, client, compile_for, shared_memory, worker
from anychip.compiler.foreign.errors import OutOfSharedMemory
from anychip.compiler.foreign.records import Request, StockTarget
from anychip.compiler.foreign.routes import resolve
from anychip.compiler.targets import UnknownTarget

KERNEL = ForeignKernel("double", DOUBLE)
PRODUCT = ForeignKernel("product", MATRIX_PRODUCT)
REQUEST = Request(KERNEL, "sm_90", StockTarget("sm_90", "cuda", 90, 32))


def worker_running(program: str) -> client.WorkerProcess:
    """A worker that runs a Python program instead of the compilers."""
    return client.WorkerProcess([sys.executable, "-c", program])


@pytest.mark.parametrize(
    ("name", "object_format", "instruction"),
    [
        ("sm_90", "cubin", "st.global"),
        ("nvidia-rtx-5090", "cubin", "st.global"),
        ("amd-mi300x", "hsaco", "v_add_f32"),
        ("gfx1100", "hsaco", "v_"),
    ],
)
def test_stock_triton(name: str, object_format: str, instruction: str):
    [record] = compile_for(name, [KERNEL])
    assert record.error == ""
    assert (record.kernel, record.chip, record.symbol) == ("double", name, "double")
    assert record.object_format == object_format
    assert 0 < record.code_bytes < len(record.object_code)
    assert instruction in record.assembly


OURS = {
    "cortex-a76": ("elf", "fadd"),
    "spacemit-k1": ("elf", "vfadd.vv"),
    "la464": ("elf", "xvfadd.s"),
    "web-browser": ("wasm", "f32x4.add"),
    "power9": ("elf", "xvaddsp"),
    "z14": ("elf", "vfasb"),
    "mips64r2": ("elf", "add.s"),
    "cortex-a15": ("elf", "vadd.f32"),
    "apple-m1": ("mach-o", "fadd.4s"),
    "sapphirerapids": ("elf", "zmm"),
}


@pytest.mark.parametrize("name", OURS)
def test_ours(name: str):
    object_format, instruction = OURS[name]
    [record] = compile_for(name, [KERNEL])
    assert record.error == ""
    assert record.object_format == object_format
    assert record.symbol in record.object_code.decode("latin-1")
    assert 0 < record.code_bytes < len(record.object_code)
    assert instruction in record.assembly


def test_a_kernel_that_takes_more_shared_memory_than_the_gpu_has_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
):
    ampere = StockTarget("sm_80", "cuda", 80, 32)
    product = ForeignKernel("product", MATRIX_PRODUCT.replace("128", "32"))
    assert worker.compile_with_stock_triton(product, ampere)["object_code"]
    monkeypatch.setitem(shared_memory._NVIDIA, 80, 1)
    with pytest.raises(OutOfSharedMemory, match=r"'product' takes \d+ bytes.* sm_80 may have 1024\b"):
        worker.compile_with_stock_triton(product, ampere)


def test_limits_of_shared_memory():
    assert shared_memory.limit_of(StockTarget("sm_75", "cuda", 75, 32)) == 64 * 1024
    assert shared_memory.limit_of(StockTarget("gfx942", "hip", "gfx942", 64)) == 64 * 1024
    assert shared_memory.limit_of(StockTarget("gfx950", "hip", "gfx950", 64)) == 160 * 1024
    assert shared_memory.limit_of(StockTarget("sm_999", "cuda", 999, 32)) is None


# The worker of the compilers, with one kernel in whose place it ends its own process.
FRAGILE = """
import os
from anychip.compiler.foreign import worker

compile_for_gpu = worker.compile_with_stock_triton

def compile_or_abort(kernel, target):
    if kernel.name == "deadly":
        os.abort()
    return compile_for_gpu(kernel, target)

worker.compile_with_stock_triton = compile_or_abort
worker.main()
"""


def test_a_compiler_that_aborts_costs_one_record(monkeypatch: pytest.MonkeyPatch):
    fragile = worker_running(FRAGILE)
    monkeypatch.setattr(client, "_worker", fragile)
    deadly = ForeignKernel("deadly", DOUBLE)
    before, aborted, after = compile_for("sm_90", [KERNEL, deadly, KERNEL])
    fragile.close()
    assert "SIGABRT at kernel 'deadly'" in aborted.error
    assert not aborted.ok
    assert aborted.object_code == b""
    assert before.ok
    assert after.ok
    assert before.object_code == after.object_code


def test_error_of_a_compiler_is_a_record_with_its_words():
    [record] = compile_for("gfx928", [KERNEL])
    assert "gfx928" in record.error


def test_text_that_is_not_ttir():
    [ours] = compile_for("cortex-a76", [ForeignKernel("nonsense", "module { tt.func @f( }")])
    [stock] = compile_for("sm_90", [ForeignKernel("nonsense", "module { tt.func @f( }")])
    assert ours.error
    assert stock.error


def test_records_come_in_order_and_are_reported_one_by_one():
    seen: list[Record] = []
    bad = ForeignKernel("bad", "not ttir")
    records = compile_for("sm_90", [KERNEL, bad, KERNEL], on_record=seen.append)
    assert [record.ok for record in records] == [True, False, True]
    assert seen == records


def test_unknown_name():
    with pytest.raises(UnknownTarget, match="Did you mean broadcom-bcm2712"):
        resolve("raspberry-pi-5")
    with pytest.raises(UnknownTarget, match=r"unknown target 'nvidia-h10'\n  Did you mean nvidia-h100"):
        compile_for("nvidia-h10", [KERNEL])


@pytest.mark.parametrize("symbol", ["__nv_tanhf", "__nv_erff", "__nv_fast_expf", "__nv_normcdff"])
@pytest.mark.parametrize("name", ["sm_90", "gfx942", "gfx1100", "cortex-a76"])
def test_device_functions_are_linked_in(name: str, symbol: str):
    [record] = compile_for(name, [ForeignKernel("function", calling(symbol))])
    [plain] = compile_for(name, [KERNEL])
    assert record.error == ""
    assert record.object_code != plain.object_code
    # ptxas itself refuses what is missing; AMD's and our code must hold no call of it.
    assert not re.search(r"s_swappc|@rel32|\bbl\s+__", record.assembly)


def test_device_function_that_the_chip_lacks():
    [record] = compile_for("gfx942", [ForeignKernel("function", calling("__nv_fadd_rz"))])
    assert "__nv_fadd_rz" in record.error


@pytest.mark.parametrize(
    ("name", "backend", "warp_size"),
    [("sm_87", "cuda", 32), ("gfx90a", "hip", 64), ("gfx942", "hip", 64), ("gfx1201", "hip", 32)],
)
def test_gpu_routes(name: str, backend: str, warp_size: int):
    target = resolve(name)
    assert isinstance(target, StockTarget)
    assert (target.name, target.backend, target.warp_size) == (name, backend, warp_size)


def test_death_of_the_worker_names_the_kernel_and_the_signal():
    last_words = "os.write(2, b'FATAL ERROR: no\\n'); os.abort()"
    worker = worker_running(f"import pickle, sys, os; pickle.load(sys.stdin.buffer); {last_words}")
    for _ in range(2):  # the second request gets a new worker
        record = worker.ask(REQUEST, time_limit=60)
        assert "SIGABRT at kernel 'double'" in record.error
        assert "FATAL ERROR: no" in record.error
        assert worker.process_id is None
    worker.close()


def test_worker_that_ends_quietly():
    record = worker_running("raise SystemExit(3)").ask(REQUEST, time_limit=60)
    assert "ended with status 3 at kernel 'double'" in record.error


def test_worker_that_hangs_is_ended():
    record = worker_running("import time; time.sleep(600)").ask(REQUEST, time_limit=0.5)
    assert "took longer than 0.5 s at kernel 'double'" in record.error


def test_killed_between_requests_is_replaced():
    worker = client.WorkerProcess()
    assert worker.ask(REQUEST, time_limit=120).ok
    first = worker.process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    worker._process.wait()  # type: ignore[union-attr]
    assert worker.ask(REQUEST, time_limit=120).ok
    assert worker.process_id not in (None, first)
    worker.close()


def test_threads_share_the_worker():
    records: list[Record] = []
    threads = [
        threading.Thread(target=lambda: records.extend(compile_for("sm_90", [KERNEL] * 3))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records) == 12
    assert all(record.ok for record in records)
