"""LLVM's side of a target: LLVM IR text goes in, optimised IR, assembly or object code comes out.

Everything that touches llvmlite's target machines and pass managers is here. Each call parses
into an LLVM context of its own, so that threads may compile at once (llvmlite lets one of them
into LLVM at a time).

LLVM ends the process, with no error to catch, on inline assembly that it cannot select or encode, and
for some targets on types they have half-way: such code must not be emitted
for the host, and for other chips `compiler.foreign` runs this module in a process of its own. Library
functions that LLVM calls for what a target lacks (`fmodf`, `roundevenf` below SSE 4.1, ...) are those of
the C library; of the compiler's own library only `__extendhfsf2`, `__truncsfhf2` (where `f16_conversion`
is off), `__truncdfhf2` and 128-bit division were seen, which a JIT does not find.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import binding as llvm

from ..errors import CodegenError
from .errors import UnusableTarget
from .forking import lock_held_while_forking
from .isas import instruction_sets
from .long_blocks import LONG_TEXT, divide_long_blocks
from .target import Target

_initialisation = lock_held_while_forking()

_COROUTINE = "presplitcoroutine"
"""The attribute of a function that is a coroutine."""

_COROUTINE_END = re.compile(r"\b(declare|call) void @llvm\.coro\.end")
"""It returns nothing since LLVM 22, and before that an i1."""


@functools.cache
def _initialise_llvm() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for isa in instruction_sets().values():
        for option in isa.llvm_options:
            llvm.set_option("anychip", option)


@functools.cache
def _target_machine(target: Target) -> llvm.TargetMachine:
    """LLVM's target machine. LLVM's default fuses a multiplication and an addition only where the
    IR says so with an `fma` call, which is what the code generator relies on."""
    with _initialisation:
        _initialise_llvm()
    try:
        machine = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu,
            features=target.features,
            opt=2,
            reloc="pic",
            codemodel="default",
            abiname=target.abi,
        )
    except RuntimeError as error:
        raise UnusableTarget(f"LLVM has no code generator for {target.triple}: {error}") from error
    machine.set_asm_verbosity(False)
    return machine


@functools.cache
def data_layout(target: Target) -> str:
    """LLVM's data layout string of `target`."""
    return str(_target_machine(target).target_data)


@dataclass(frozen=True, slots=True)
class CoroutineObject:
    """An object file of a module with a coroutine, and the bytes of the coroutine's frame."""

    code: bytes
    frame_bytes: int


def emit_coroutine(llvm_ir: str, target: Target, coroutine: str) -> CoroutineObject:
    """The object file of a module whose function `coroutine` is a coroutine that returns the size of its
    frame.

    Raises like `emit_object`.
    """
    module = _prepared(llvm_ir, target, optimize=True)
    frame_bytes = _returned_constant(module, coroutine)
    try:
        return CoroutineObject(_target_machine(target).emit_object(module), frame_bytes)
    except RuntimeError as error:
        raise CodegenError(f"LLVM could not make object code for {target.name}: {error}") from error


def _returned_constant(module: llvm.ModuleRef, function: str) -> int:
    """The one integer that a function returns."""
    returned = {
        operand.get_constant_value() if operand.is_constant else None
        for block in module.get_function(function).blocks
        for instruction in block.instructions
        if instruction.opcode == "ret"
        for operand in instruction.operands
    }
    if len(returned) != 1 or not isinstance(size := returned.pop(), int):
        raise CodegenError(f"{function} does not return one constant")
    return size


def emit_object(llvm_ir: str, target: Target, *, optimize: bool = True) -> bytes:
    """The relocatable object file of a module: ELF, Mach-O or WebAssembly by the target's triple.

    Raises `CodegenError` with LLVM's message when the text is not valid LLVM IR.
    """
    module = _prepared(llvm_ir, target, optimize)
    try:
        return _target_machine(target).emit_object(module)
    except RuntimeError as error:
        raise CodegenError(f"LLVM could not make object code for {target.name}: {error}") from error


def emit_linked_object(modules: Sequence[str], target: Target) -> bytes:
    """One relocatable object file of several modules, which may call each other's functions.

    Raises `CodegenError` when a module is not valid LLVM IR or two define one symbol.
    """
    context = llvm.create_context()
    first, *others = (_parsed(text, target, context) for text in modules)
    machine = _target_machine(target)
    try:
        for other in others:
            first.link_in(other)
        _optimise(first, machine)
        return machine.emit_object(_divided(first, target))
    except RuntimeError as error:
        raise CodegenError(f"LLVM could not make a library for {target.name}: {error}") from error


def emit_assembly(llvm_ir: str, target: Target, *, optimize: bool = True) -> str:
    """The assembly text of a module. Raises like `emit_object`."""
    module = _prepared(llvm_ir, target, optimize)
    try:
        return _target_machine(target).emit_assembly(module)
    except RuntimeError as error:
        raise CodegenError(f"LLVM could not make assembly for {target.name}: {error}") from error


def optimized_ir(llvm_ir: str, target: Target) -> str:
    """The module's LLVM IR after the passes that run before code generation."""
    return str(_prepared(llvm_ir, target, optimize=True))


def _prepared(llvm_ir: str, target: Target, optimize: bool) -> llvm.ModuleRef:
    machine = _target_machine(target)
    has_coroutines = _COROUTINE in llvm_ir
    if has_coroutines and llvm.llvm_version_info < (22,):
        llvm_ir = _COROUTINE_END.sub(r"\1 i1 @llvm.coro.end", llvm_ir)
    module = _parsed(llvm_ir, target)
    if optimize:
        _optimise(module, machine)
    if has_coroutines:
        _split_coroutines(module, machine)
        if optimize:
            _optimise(module, machine)
    return _divided(module, target) if len(llvm_ir) >= LONG_TEXT else module


def _divided(module: llvm.ModuleRef, target: Target) -> llvm.ModuleRef:
    """The module, its longest blocks in parts."""
    text = str(module)
    parts = divide_long_blocks(text)
    return module if parts is text else _parsed(parts, target)


def _split_coroutines(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    """Turn coroutines into plain functions. LLVM's shortest pipeline, that of level 0, holds the passes for
    it and little else."""
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
    builder.getModulePassManager().run(module, builder)


def _parsed(llvm_ir: str, target: Target, context: llvm.ContextRef | None = None) -> llvm.ModuleRef:
    major = llvm.llvm_version_info[0]
    if major < target.half_from and re.search(r"\bhalf\b", llvm_ir):
        raise UnusableTarget(
            f"LLVM {major} has no half-precision numbers for {target.name}",
            hint="llvmlite 0.48 and newer bring an LLVM that has them: pip install 'llvmlite>=0.48,<0.51'.",
        )
    try:
        module = llvm.parse_assembly(llvm_ir, context or llvm.create_context())
    except RuntimeError as error:
        raise CodegenError(f"LLVM cannot read the code made for {target.name}: {error}") from error
    if not module.triple:
        module.triple = target.triple
    if not module.data_layout:
        module.data_layout = data_layout(target)
    try:
        module.verify()
    except RuntimeError as error:
        raise CodegenError(f"LLVM rejects the code made for {target.name}: {error}") from error
    return module


def _optimise(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    """Inline what asks for it, then run LLVM's function simplification pipeline at level 2.

    It holds what our code needs (SROA, CSE, InstCombine, LICM, GVN, loop rotation, full unrolling,
    dead stores). The module pipelines O1 to O3 around it made no kernel faster, the loops being
    vectors already, and took two to three times as long.
    """
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    inliner = llvm.create_new_module_pass_manager()
    inliner.add_always_inliner_pass()
    inliner.run(module, builder)
    simplification = builder.getFunctionPassManager()
    for function in module.functions:
        if not function.is_declaration:
            simplification.run(function, builder)
