"""The functions of a library that its header (`header.py`) declares."""

from __future__ import annotations

from dataclasses import dataclass

from ..compiler.llvm.flow import Flow
from ..compiler.llvm.globals import byte_table
from ..compiler.llvm.routine import C_INT, Definition, Parameter, Routine, routine
from ..compiler.llvm.struct import Struct
from ..compiler.llvm.types import I8, I64, NULL, PTR, LLType, Val, array
from ..runtime.slot_table import Owner
from .context import ARENA_ALIGNMENT, ARGUMENT_ALIGNMENT, MemorySizes, Status, state_places
from .exported import ExportedFunction
from .weights import ALIGNMENT, HEADER_BYTES, MAGIC, Weights


@dataclass(frozen=True, slots=True)
class Library:
    """What the functions are made from: what is exported, and how. `context` is the structure that callers
    keep, `size_t` C's type of that name; `embedded`: the weights are in the library. `replay(context, bases)`
    runs the launches."""

    exported: ExportedFunction
    sizes: MemorySizes
    context: Struct
    size_t: LLType
    weights: Weights
    embedded: bool
    replay: Routine

    def function(self, name: str, result: Parameter, **parameters: Parameter) -> Definition:
        """The decorator of a function that callers see."""
        return routine(
            f"{self.exported.name}_{name}", result, linkage="", attributes="nounwind", **parameters
        )


def functions(library: Library) -> list[Routine]:
    """All of them."""
    size = _arena_size_parallel(library)
    made = [_arena_size(library), size, _init(library), _set_parallel(library, size), _run(library)]
    if library.weights.data and not library.embedded:
        made.append(_set_weights(library))
    return made


def _arena_size(library: Library) -> Routine:
    @library.function("arena_size", library.size_t)
    def arena_size(f: Flow) -> int:
        return library.sizes.arena_bytes

    return arena_size


def _arena_size_parallel(library: Library) -> Routine:
    sizes = library.sizes

    @library.function("arena_size_parallel", library.size_t, workers=C_INT)
    def arena_size_parallel(f: Flow, workers: Val) -> Val:
        scratch = f.zext(f.mul(workers, sizes.scratch_bytes), library.size_t)
        return f.add(scratch, sizes.temporary_bytes)

    return arena_size_parallel


def _init(library: Library) -> Routine:
    @library.function("init", C_INT, context=PTR, arena=PTR, bytes=library.size_t)
    def init(f: Flow, context_at: Val, arena: Val, bytes: Val) -> int:
        _return_if(f, f.or_(f.eq(context_at, 0), f.eq(arena, 0)), Status.NULL_ARGUMENT)
        _return_if(f, _is_misaligned(f, arena, ARENA_ALIGNMENT, library.size_t), Status.MISALIGNED)
        _return_if(f, f.ult(bytes, library.sizes.arena_bytes), Status.ARENA_TOO_SMALL)
        data, inside = library.weights.data, library.embedded
        weights = byte_table("weights", data, align=ALIGNMENT).address(f) if data and inside else NULL
        context = library.context.at(f, context_at)
        context.store_all(arena=arena, arena_bytes=bytes, weights=weights)
        context.store_all(parallel_for=0, pool=0, workers=1, failed_launch=-1, failed_assertion=0)
        context.clear("failed_program")
        return Status.OK

    return init


def _set_parallel(library: Library, arena_size: Routine) -> Routine:
    @library.function("set_parallel", C_INT, context=PTR, parallel_for=PTR, pool=PTR, workers=C_INT)
    def set_parallel(f: Flow, context_at: Val, parallel_for: Val, pool: Val, workers: Val) -> int:
        _return_if(f, f.or_(f.eq(context_at, 0), f.slt(workers, 1)), Status.NULL_ARGUMENT)
        context = library.context.at(f, context_at)
        needed = arena_size(f, workers)
        _return_if(f, f.ult(context.load("arena_bytes"), needed), Status.ARENA_TOO_SMALL)
        context.store_all(parallel_for=parallel_for, pool=pool, workers=workers)
        return Status.OK

    return set_parallel


def _set_weights(library: Library) -> Routine:
    """The function that takes the file of the weights, if it begins as this library's does."""
    expected = MAGIC + library.weights.digest
    header = byte_table("weights.header", expected)

    @library.function("set_weights", C_INT, context=PTR, file=PTR, bytes=library.size_t)
    def set_weights(f: Flow, context_at: Val, file: Val, bytes: Val) -> int:
        _return_if(f, f.or_(f.eq(context_at, 0), f.eq(file, 0)), Status.NULL_ARGUMENT)
        _return_if(f, _is_misaligned(f, file, ALIGNMENT, library.size_t), Status.MISALIGNED)
        _return_if(f, f.ne(bytes, HEADER_BYTES + len(library.weights.data)), Status.WEIGHTS_WRONG)
        own = header.address(f)
        with f.counted(f.int(len(expected))) as each:
            byte = f.load(I8, f.element(I8, own, each.index))
            given = f.load(I8, f.element(I8, file, each.index))
            _return_if(f, f.ne(byte, given), Status.WEIGHTS_WRONG)
        library.context.at(f, context_at).store("weights", f.gep(file, HEADER_BYTES))
        return Status.OK

    return set_weights


def _run(library: Library) -> Routine:
    """The function that takes the caller's memory: inputs, outputs, state. Arguments without bytes may be
    null."""
    exported, launches = library.exported, library.exported.launches
    has_state = state_places(launches).bytes > 0
    sizes = [launches.buffers[number].size for number in (*launches.inputs, *launches.outputs)]
    sizes += [1] if has_state else []
    parameters = {f"argument{k}": PTR for k in range(len(sizes))}

    @library.function("run", C_INT, context=PTR, **parameters)
    def run(f: Flow, context_at: Val, *arguments: Val) -> Val:
        needed = [argument for argument, size in zip(arguments, sizes) if size]
        missing = [f.eq(pointer, 0) for pointer in (context_at, *needed)]
        _return_if(f, f.any_of(missing), Status.NULL_ARGUMENT)
        if needed:
            addresses = [f.convert("ptrtoint", argument, library.size_t) for argument in needed]
            low = f.and_(f.any_of(addresses), ARGUMENT_ALIGNMENT - 1)
            _return_if(f, f.ne(low, 0), Status.MISALIGNED)
        if has_state:
            _return_if(
                f, _is_misaligned(f, arguments[-1], ARENA_ALIGNMENT, library.size_t), Status.MISALIGNED
            )
        for argument, given in zip(exported.inputs, arguments, strict=False):
            if argument.name in exported.below:
                beyond = f.uge(f.load(I64, given), exported.below[argument.name])
                _return_if(f, beyond, Status.OUT_OF_RANGE)
        context = library.context.at(f, context_at)
        weights = context.load("weights")
        if library.weights.data:
            _return_if(f, f.eq(weights, 0), Status.WEIGHTS_MISSING)
        bases = f.alloca(array(I64, Owner.GIVEN + len(arguments)), 8)
        f.store(f.int(0, I64), f.element(I64, bases, Owner.NOTHING))
        owners = {Owner.ARENA: context.load("arena"), Owner.CONSTANTS: weights}
        given = {Owner.GIVEN + k: argument for k, argument in enumerate(arguments)}
        for owner, address in {**owners, **given}.items():
            f.store(f.convert("ptrtoint", address, I64), f.element(I64, bases, owner))
        return library.replay(f, context_at, bases)

    return run


def _return_if(f: Flow, condition: Val, status: Status) -> None:
    with f.if_(condition):
        f.return_(status)


def _is_misaligned(f: Flow, pointer: Val, alignment: int, size_t: LLType) -> Val:
    """Whether memory does not begin at a multiple of `alignment` bytes."""
    return f.ne(f.and_(f.convert("ptrtoint", pointer, size_t), alignment - 1), 0)
