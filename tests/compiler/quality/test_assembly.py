"""Machine code for chips that are not here: vector code in the hot loops, nothing taken apart lane by
lane, no library call, and no spill in the inner loop of a matrix product. Instructions are counted."""

from __future__ import annotations

import functools

import pytest
import triton
import triton.language as tl
from tests.kernels import matrices, reductions
from tests.kernels.catalogue import Case

from anychip.compiler import pipeline, targets
from anychip.compiler.codegen.dot import UNROLL, block_shape

from .assembly import Code, read

TARGETS = [
    "haswell", "x86-64-v4", "znver5", "cortex-a76", "neoverse-v2", "spacemit-x60", "rv64gcv", "la464",
    "wasm32", "power9", "z14",
]  # fmt: skip

BM, BN, BK = 64, 64, 32


@triton.jit
def silu_of_exp(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """A chain of elementwise operations with three exponentials."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n)
    y = tl.exp(x) * tl.sigmoid(x) + x
    tl.store(out_ptr + i, tl.exp(-y * y), mask=i < n)


_MATMUL = {"stride_ak": 1, "stride_bn": 1, "stride_cn": 1, "BM": BM, "BN": BN, "BK": BK}

CASES: dict[str, Case] = {
    "elementwise": Case(silu_of_exp, "*fp32 *fp32 i32", {"BLOCK": 1024}),
    "softmax": Case(reductions.softmax, "*fp32 *fp32 i32 i32", {"BLOCK": 1024}),
    "layer_norm": Case(reductions.layer_norm, "*fp32 *fp32 *fp32 *fp32 *fp32 i32 i32 fp32", {"BLOCK": 1024}),
    "attention": Case(
        matrices.attention,
        "*fp32 *fp32 *fp32 *fp32 i32 fp32",
        {"CAUSAL": True, "BM": 64, "BN": 64, "D": 64},
    ),
    "matmul": Case(matrices.matmul, "*fp32 *fp32 *fp32 i32 i32 i32 i32 i32 i32", _MATMUL),
    "matmul_bf16": Case(matrices.matmul, "*bf16 *bf16 *fp32 i32 i32 i32 i32 i32 i32", _MATMUL),
}

ARITHMETIC = {"elementwise": 40, "softmax": 40, "layer_norm": 10, "attention": 100}
"""Vector instructions of arithmetic that a kernel has at least, whatever the chip."""

NO_FUSED_MULTIPLY_ADD = {"wasm32"}


@functools.cache
def assembly(kernel: str, target: str) -> Code:
    chip = targets.get(target)
    return read(pipeline.explain(_ttir(kernel), chip).stages["asm"], chip.isa)


@functools.cache
def _ttir(kernel: str) -> str:
    return CASES[kernel].ttir()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", list(ARITHMETIC))
def test_hot_loops_are_vector_code(kernel: str, target: str) -> None:
    """Half of the arithmetic is that of whole chunks, half that of chunks with masks, which chips without
    masked memory take apart; what they share counts with either."""
    code = assembly(kernel, target)
    total = code.count("vector_arithmetic")
    assert total >= ARITHMETIC[kernel]
    straight = frozenset().union(*code.loops("lane", "call"))
    assert code.count("vector_arithmetic", straight) >= 0.45 * total


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", list(CASES))
def test_nothing_is_left_to_a_library(kernel: str, target: str) -> None:
    assert assembly(kernel, target).count("call") == 0


@pytest.mark.parametrize("target", TARGETS)
def test_inner_loop_of_a_product_stays_in_registers(target: str) -> None:
    chip = targets.get(target)
    code = assembly("matmul", target)
    inner = code.innermost("vector_multiply_add")
    rows, vectors = block_shape(chip, BM, BN // chip.lanes(32))
    assert inner.count(code.patterns.vector_multiply_add) == rows * vectors * UNROLL
    for kind in ("lane", "spill", "reload", "call"):
        assert inner.count(getattr(code.patterns, kind)) == 0, kind


@pytest.mark.parametrize("target", [t for t in TARGETS if t not in NO_FUSED_MULTIPLY_ADD])
def test_inner_loop_of_a_product_is_mostly_multiplications(target: str) -> None:
    """On a machine that starts two multiply-adds and two loads at a time, loads do not hold it up."""
    code = assembly("matmul", target)
    inner = code.innermost("vector_multiply_add")
    assert inner.count(code.patterns.vector_multiply_add) >= 0.45 * len(inner.instructions)
    assert inner.count(code.patterns.vector_load) <= 0.5 * inner.count(code.patterns.vector_multiply_add)


@pytest.mark.parametrize("target", TARGETS)
def test_products_of_bf16(target: str) -> None:
    """The dot-product instruction where the chip has one, else products of f32."""
    chip = targets.get(target)
    code = assembly("matmul_bf16", target)
    kind = "dot_product" if chip.dot("bf16") else "vector_multiply_add"
    inner = code.innermost(kind)
    assert inner.count(getattr(code.patterns, kind)) >= 32
    assert code.count("dot_product" if kind == "vector_multiply_add" else "vector_multiply_add") == 0
    for other in ("lane", "spill", "reload", "call"):
        assert inner.count(getattr(code.patterns, other)) == 0, other


@pytest.mark.parametrize("target", targets.names())
def test_register_block_leaves_room_for_operands(target: str) -> None:
    chip = targets.get(target)
    rows, vectors = block_shape(chip, 64, 64)
    assert rows * vectors + vectors + 1 <= max(chip.vector_registers, 8)
    assert rows * vectors >= (8 if chip.vector_registers >= 16 else 1)


SAMPLE = """
kernel:
  mov x0, x1
.LBB0_1:
  fmla v0.4s, v1.4s, v2.s[0]
  cbz x3, .LBB0_3
.LBB0_2:
  ins v0.s[1], w3
.LBB0_3:
  subs x4, x4, #1
  b.ne .LBB0_1
.LBB0_4:
  fadd v0.4s, v1.4s, v2.4s
  str q0, [sp, #16]
  b.ne .LBB0_4
  bl expf
  ret
"""


def test_reading_of_assembly() -> None:
    """The table itself: what is counted, and which ways round a loop are seen."""
    code = read(SAMPLE, "aarch64")
    counts = {"vector_multiply_add": 1, "vector_arithmetic": 2, "lane": 1, "spill": 1, "call": 1}
    assert {kind: code.count(kind) for kind in counts} == counts
    assert sorted(code.count("vector_arithmetic", loop) for loop in code.loops("lane")) == [1, 1]
    assert [code.count("vector_multiply_add", loop) for loop in code.loops("lane", "spill")] == [1]
    assert code.innermost("vector_arithmetic").count(code.patterns.spill) == 1
    without_a_way_round = read(SAMPLE.replace("cbz x3, .LBB0_3", "nop"), "aarch64")
    assert [without_a_way_round.count("spill", loop) for loop in without_a_way_round.loops("lane")] == [1]
