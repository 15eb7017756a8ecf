"""Compiles an expression over registers into a loop over NumPy arrays, through llvmlite.

In: a function that writes LLVM IR for one vector. Out: a Python function of arrays.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from anychip.compiler import targets
from anychip.compiler.llvm.builder import Builder
from anychip.compiler.llvm.module import LLModule
from anychip.compiler.llvm.types import I64, PTR, LLType, Val
from anychip.compiler.targets.target import Target

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

NUMPY_TYPES = {
    "half": np.float16,
    "float": np.float32,
    "double": np.float64,
    "i1": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
}

HOST = targets.host()
"""This machine with all its instructions."""

BASELINE = targets.get("x86-64") if HOST.isa == "x86_64" else replace(HOST, fma=False, f16_conversion=False)
"""The oldest core of this machine's kind: takes every software path."""

TARGETS = {"host": HOST, "baseline": BASELINE}

SINGLE = {f"{name} without f64": replace(target, f64=False) for name, target in TARGETS.items()}
"""The same as if they had no double precision: f32 is computed in f32 alone."""

Body = Callable[[Builder, list[Val]], Val]


def loop_text(body: Body, arguments: Sequence[str], result: str, lanes: int, target: Target) -> str:
    """LLVM IR of `void kernel(n, out, in...)`, calling `body` for each `lanes` elements."""
    module = LLModule(target.triple)
    b = Builder(module)
    pointers = [Val(f"%a{i}", PTR) for i in range(len(arguments))]
    out, count = Val("%out", PTR), Val("%n", I64)
    start, end = b.label("loop"), b.label("end")
    first = b.block
    b.place(start)
    index = b.phi(I64)
    index.add(b.int(0, I64), first)

    def address(pointer: Val, element: str) -> Val:
        return b.gep(pointer, b.mul(index.val, b.int(max(1, LLType(element).bits // 8), I64)))

    def memory(element: str) -> LLType:
        return LLType("i8" if element == "i1" else element, lanes)

    values = [b.load(memory(e), address(p, e), 1) for p, e in zip(pointers, arguments, strict=True)]
    values = [b.cast("trunc", v, "i1") if e == "i1" else v for v, e in zip(values, arguments, strict=True)]
    value = body(b, values)
    assert value.type == LLType(result, lanes), f"{value.type} instead of {lanes} x {result}"
    b.store(b.cast("zext", value, "i8") if result == "i1" else value, address(out, result), 1)
    following = b.add(index.val, b.int(lanes, I64))
    index.add(following, b.block)
    b.cond_br(b.icmp("ult", following, count), start, end)
    b.place(end)
    b.effect("ret void")
    parameters = ", ".join(["i64 %n", "ptr noalias %out", *(f"ptr noalias {p.ref}" for p in pointers)])
    module.add_function("kernel", b.text(f"define void @kernel({parameters})"))
    return str(module)


def optimised(text: str, target: Target) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    """The parsed, verified and optimised module, and the machine it was optimised for."""
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3
    )
    module.data_layout = str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return module, machine


def compile_loop(
    body: Body, arguments: Sequence[str], result: str, lanes: int = 16, target: Target = HOST
) -> Callable[..., np.ndarray]:
    """`f(*arrays) -> array`, elementwise; arrays are padded to whole vectors and cut again."""
    text = loop_text(body, arguments, result, lanes, target)
    module, machine = optimised(text, target)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    pointer_types = [ctypes.c_void_p] * (1 + len(arguments))
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, *pointer_types)(engine.get_function_address("kernel"))

    def call(*arrays: np.ndarray) -> np.ndarray:
        size = arrays[0].size
        padded = -(-size // lanes) * lanes
        inputs = []
        for array, element in zip(arrays, arguments, strict=True):
            whole = np.ones(padded, NUMPY_TYPES[element])
            whole[:size] = array.ravel()
            inputs.append(whole)
        output = np.empty(padded, NUMPY_TYPES[result])
        if size:
            function(padded, output.ctypes.data, *(a.ctypes.data for a in inputs))
        return output[:size].reshape(arrays[0].shape)

    made: Any = call
    made.engine = engine  # lives as long as the function
    return made
