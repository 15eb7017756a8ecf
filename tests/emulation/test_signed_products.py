"""Products of signed bytes on WebAssembly. LLVM 22 can make an instruction of them, the relaxed dot product,
which is defined for second factors of 0 to 127 only: ours are compiled without relaxed SIMD, and right for
all bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import triton
import triton.language as tl
from tests.ttir import ttir_of

from anychip.compiler import pipeline, targets

INNER = 32


@triton.jit
def products(a, b, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    i, j, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    left = tl.load(a + i[:, None] * K + k)
    right = tl.load(b + k[:, None] * N + j)
    tl.store(out + i[:, None] * N + j, tl.dot(left, right))


@triton.jit
def sums(a, b, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    i, k = tl.arange(0, M), tl.arange(0, K)
    for j in range(N):
        left = tl.load(a + i[:, None] * K + k).to(tl.int32)
        right = tl.load(b + k * N + j).to(tl.int32)
        tl.store(out + i * N + j, tl.sum(left * right, 1))


def compiled(kernel, target: str) -> pipeline.CompiledKernel:
    text = ttir_of(
        kernel, {"a": "*i8", "b": "*i8", "out": "*i32", "M": "constexpr", "N": "constexpr", "K": "constexpr"},
        {"M": 256, "N": 256, "K": INNER},
    )  # fmt: skip
    return pipeline.compile_ttir(text, targets.get(target), keep_stages=True)


@pytest.mark.parametrize("kernel", [products, sums], ids=["dot", "sum"])
def test_no_relaxed_instruction_is_made(kernel) -> None:
    for name in (name for name in targets.names() if targets.get(name).isa == "wasm32"):
        target = targets.get(name)
        assert "+relaxed-simd" not in target.features
        assert target.dot("i8") is None
        assembly = compiled(kernel, name).stages["asm"]
        assert "relaxed" not in assembly
        assert "mul" in assembly


@pytest.mark.parametrize("kernel", [products, sums], ids=["dot", "sum"])
def test_all_pairs_of_bytes_are_right_in_an_engine(kernel, tmp_path: Path) -> None:
    wasmtime = pytest.importorskip("wasmtime")
    pytest.importorskip("ziglang")
    made = compiled(kernel, "wasm32")
    (tmp_path / "kernel.o").write_bytes(made.object_code)
    linker = [sys.executable, "-m", "ziglang", "wasm-ld", "--no-entry", f"--export={made.symbol}"]
    subprocess.run([*linker, "kernel.o", "-o", "kernel.wasm"], cwd=tmp_path, check=True, capture_output=True)
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    module = wasmtime.Module.from_file(engine, str(tmp_path / "kernel.wasm"))
    exports = wasmtime.Instance(store, module, []).exports(store)
    memory, base = exports["memory"], exports["memory"].data_len(store)
    values = np.arange(-128, 128).astype(np.int8)
    left, right = np.repeat(values[:, None], INNER, 1), np.repeat(values[None], INNER, 0)
    places = [base + 4096]
    for size in (left.nbytes, right.nbytes, 256 * 256 * 4):
        places.append(places[-1] + size)
    memory.grow(store, (4096 + places[-1] - base + made.arena_bytes + 128) // 65536 + 1)
    memory.write(store, np.array(places[:3], np.int64).tobytes(), base)
    memory.write(store, left.tobytes(), places[0])
    memory.write(store, right.tobytes(), places[1])
    exports[made.symbol](store, base, 0, 1, 1, 1, 1, -(-places[3] // 64) * 64)
    out = np.frombuffer(memory.read(store, places[2], places[3]), np.int32).reshape(256, 256)
    wide = values.astype(np.int32)
    assert np.array_equal(out, INNER * wide[:, None] * wide)
