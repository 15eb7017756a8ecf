"""Every kernel of this folder with types and constants to compile it for.

`CASES` maps a name to what `tests.ttir.ttir_of` takes. Tests of the compiler's stages run over all of it.
Kernels that the installed Triton is too old or too new for are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import triton
from tests.ttir import ttir_of

from . import control, elementwise, matrices, memory, reductions


@dataclass(frozen=True)
class Case:
    """A kernel, its argument types and its constants."""

    fn: Any
    types: str
    constants: dict[str, Any] = field(default_factory=dict)
    hints: dict[tuple[int, ...], list[list[Any]]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def ttir(self, *, rewrite: bool = True) -> str:
        """The text that stock Triton makes of it."""
        types = iter(self.types.split())
        names = self.fn.arg_names
        signature = {name: "constexpr" if name in self.constants else next(types) for name in names}
        return ttir_of(self.fn, signature, self.constants, self.hints, self.options, rewrite=rewrite)


_VERSION = tuple(int(part) for part in triton.__version__.split(".")[:2])
_ALIGNED: dict[tuple[int, ...], list[list[Any]]] = {(0,): [["tt.divisibility", 16]]}
_UNIT = {"stride_ak": 1, "stride_bn": 1, "stride_cn": 1}

CASES: dict[str, Case] = {
    "add": Case(elementwise.add, "*fp32 *fp32 *fp32 i32", {"BLOCK": 128}, _ALIGNED),
    "gelu_2d": Case(elementwise.gelu_2d, "*bf16 *fp16 i32 i32 i64 i64", {"R": 4, "C": 16}),
    "functions": Case(elementwise.functions, "*fp32 *fp32 i32", {"BLOCK": 16}),
    "integers": Case(elementwise.integers, "*i32 *i32 *i32 i32", {"BLOCK": 16}),
    "casts": Case(elementwise.casts, "*fp32 *fp16 *bf16 *fp64 *i8 *i64 *fp32", {"BLOCK": 16}),
    "dropout": Case(elementwise.dropout, "*fp32 *fp32 i32 fp32 i32", {"BLOCK": 32}),
    "softmax": Case(reductions.softmax, "*fp32 *fp32 i32 i32", {"BLOCK": 64}),
    "layer_norm": Case(reductions.layer_norm, "*fp16 *fp32 *fp32 *fp16 *fp32 i32 i32 fp32", {"BLOCK": 64}),
    "column_sum": Case(reductions.column_sum, "*fp32 *fp32", {"R": 4, "C": 8}),
    "arg_max_min": Case(reductions.arg_max_min, "*fp32 *fp32 *i32", {"BLOCK": 16}),
    "welford": Case(reductions.welford, "*fp32 *fp32", {"BLOCK": 16}),
    "scans": Case(reductions.scans, "*fp32 *fp32", {"R": 4, "C": 8}),
    "sort_rows": Case(reductions.sort_rows, "*i32 *i32", {"R": 2, "C": 16}),
    "histogram": Case(reductions.histogram, "*i32 *i32 i32", {"BLOCK": 32, "BINS": 8}),
    "gather_rows": Case(reductions.gather_rows, "*fp32 *i32 *fp32", {"R": 4, "C": 8}),
    "matmul": Case(
        matrices.matmul,
        "*fp16 *fp16 *fp16 i32 i32 i32 i32 i32 i32",
        {**_UNIT, "BM": 32, "BN": 64, "BK": 16},
        _ALIGNED,
    ),
    "matmul_strided": Case(
        matrices.matmul,
        "*fp32 *fp32 *fp32 i32 i32 i32 i64 i64 i64 i64 i64 i64",
        {"BM": 16, "BN": 16, "BK": 16},
    ),
    "batched_dot": Case(matrices.batched_dot, "*fp32 *fp32 *fp32", {"B": 2, "S": 16}),
    "integer_dot": Case(matrices.integer_dot, "*i8 *i8 *i32", {"S": 32}),
    "scaled_dot": Case(matrices.scaled_dot, "*fp8e5 *i8 *fp8e4nv *i8 *fp32", {"M": 32, "N": 32, "K": 64}),
    "attention": Case(
        matrices.attention,
        "*fp16 *fp16 *fp16 *fp16 i32 fp32",
        {"CAUSAL": True, "BM": 16, "BN": 32, "D": 32},
    ),
    "atomics": Case(memory.atomics, "*fp32 *fp32 *fp16 *i32 *fp32 i32", {"BLOCK": 16}),
    "spin_lock": Case(memory.spin_lock, "*i32 *i32 *i32"),
    "transpose_descriptor": Case(memory.transpose_descriptor, "*fp16 *fp16 i32 i32", {"R": 8, "C": 16}),
    "descriptor_atomic": Case(memory.descriptor_atomic, "*fp32 *fp32 *i32 i32 i32", {"R": 8, "C": 8}),
    "pointer_table": Case(memory.pointer_table, "*i64 *fp32 i32", {"BLOCK": 16}),
    "shapes": Case(memory.shapes, "*fp32 *fp32 *fp32", {"BLOCK": 16}),
    "collatz": Case(control.collatz, "*i32 *i32 i32"),
    "early_return": Case(control.early_return, "*fp32 *fp32 i32", {"BLOCK": 16}),
    "early_return_in_loop": Case(control.early_return_in_loop, "*fp32 *fp32 i32"),
    "calls": Case(control.calls, "*fp32 *fp32 i32", {"BLOCK": 8}),
    "branches": Case(control.branches, "*fp32 *fp32 i32 i32"),
    "mapped": Case(control.mapped, "*fp32 *fp32 *fp32", {"BLOCK": 16}),
    "effects": Case(control.effects, "*i32 *i32 i32", {"BLOCK": 16}, options={"debug": True}),
    "inline_assembly": Case(control.inline_assembly, "*i32 *i32", {"BLOCK": 16}),
}

if _VERSION >= (3, 9):
    CASES["atomic_mailbox"] = Case(memory.atomic_mailbox, "*i32 *i32 *i32 i32", {"BLOCK": 8})
if _VERSION < (3, 9):
    CASES["transpose_block_pointer"] = Case(
        memory.transpose_block_pointer, "*fp32 *fp32 i32 i32", {"R": 8, "C": 16}
    )
