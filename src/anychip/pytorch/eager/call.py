"""What PyTorch calls for an operator, through its registration of Python functions: CPython's METH_VARARGS
with METH_KEYWORDS. It finds the record of the call's signature, allocates results, runs the launches and
returns. Every other call is the Python path's; what is not known is told to Python with the words of its
signature."""

from __future__ import annotations

from collections.abc import Sequence

from ...compiler.llvm.flow import Block, Flow
from ...compiler.llvm.routine import External, routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I1, I32, I64, PTR, VOID, Val, array
from ...runtime.native import python_api
from ...runtime.native.call import BRIEF_PICOSECONDS
from ...runtime.native.job import now
from ...runtime.native.structures import FAILURE, FUNCTION, PROGRAM, REPLAY, STATE, STEP
from ...runtime.native.system import pthread_self
from ...runtime.slot_table import Owner
from . import interface, signature
from .structures import (
    CLOCKS,
    ENTRY,
    MOST_NUMBERS,
    MOST_OUTPUTS,
    MOST_TENSORS,
    RECORD,
    SIGNATURE,
    SITE,
    WORLD,
    Container,
)

MIXER = -0x61C8864680B583EB
"""An odd number whose bits are spread (2^64 divided by the golden ratio)."""

TIMED_ALL, TIMED_OF = 64, 16
"""Calls of a signature that are timed each, and of how many later ones one is."""

replay = External("anychip.replay", I32, PTR, PTR, PTR, PTR)
note_call = External("anychip.note_call", VOID, PTR, PTR, I64)
"""The interpreter of launch lists, and who writes calls down, which the native runtime has loaded."""


@routine("anychip.hash", I64, words=PTR, count=I64)
def _hash(f: Flow, words: Val, count: Val) -> Val:
    with f.counted(count, carried=[f.int(0, I64)]) as each:
        mixed = f.mul(f.xor(each.carried[0], f.load(I64, f.element(I64, words, each.index))), MIXER)
        each.carry(f.xor(mixed, f.lshr(mixed, f.int(29, I64))))
    return each.results[0]


@routine("anychip.find", PTR, site=PTR, words=PTR, count=I64, hash=I64)
def _find(f: Flow, site_at: Val, words: Val, count: Val, hash: Val) -> Val:
    """The record of a signature, or null."""
    site = SITE.at(f, site_at)
    entries, mask = site.load("entries"), site.load("mask")
    with f.forever(f.and_(hash, mask)) as probe:
        entry = ENTRY.item(f, entries, probe.carried[0])
        record_at = entry.load("record")
        with f.if_(f.eq(record_at, 0)):
            f.return_(0)
        record = RECORD.at(f, record_at)
        is_alike = f.and_(f.eq(entry.load("hash"), hash), f.eq(record.load("words"), count))
        with f.if_(is_alike):
            key = record.load("key")
            with f.counted(count) as each:
                a, b = (f.load(I64, f.element(I64, at, each.index)) for at in (key, words))
                with f.if_(f.ne(a, b)):
                    probe.again(f.and_(f.add(probe.carried[0], 1), mask))
            f.return_(record_at)
        probe.carry(f.and_(f.add(probe.carried[0], 1), mask))
    return f.null(PTR)


def _leave_unless_open(f: Flow, world: Fields, attempt: Block) -> None:
    """Leave where launches are listened to or hooked, where nobody is served, or options are the caller's."""
    attempt.leave_if(f.ne(f.or_(world.load("closed"), STATE.at(f, world.load("state")).load("diverted")), 0))
    hooks = [python_api.list_size(f, world.load(name)) for name in ("enter_calls", "exit_calls")]
    attempt.leave_if(f.ne(f.or_(*hooks), 0))
    with f.if_(f.ne(world.load("by_context"), 0)):
        own = f.alloca(PTR)
        f.store(f.null(PTR), own)
        failed = python_api.get_context_variable(f, world.load("context_options"), world.load("none"), own)
        attempt.leave_if(f.ne(failed, 0))
        python_api.decrease_references(f, f.load(PTR, own))
        attempt.leave_if(f.ne(f.load(PTR, own), world.load("none")))


@routine("anychip.missed", PTR, site=PTR, signature=PTR, hash=I64, arguments=PTR, keywords=PTR)
def _miss(f: Flow, site_at: Val, signature_at: Val, hash: Val, arguments: Val, keywords: Val) -> Val:
    """Tell Python of a signature: `missed(words, hash, arguments, keywords)`, which makes the call."""
    site, read = SITE.at(f, site_at), SIGNATURE.at(f, signature_at)
    world = WORLD.at(f, site.load("world"))
    words = python_api.bytes_of(f, signature_at, f.mul(read.load("count"), 8))
    number = python_api.integer_of_i64(f, hash)
    vector = f.alloca(array(PTR, 4))
    named = f.select(f.eq(keywords, 0), world.load("none"), keywords)
    for place, object in enumerate((words, number, arguments, named)):
        f.store(object, f.element(PTR, vector, place))
    result = python_api.vectorcall(f, site.load("missed"), vector, 4, 0)
    for made in (words, number):
        python_api.decrease_references(f, made)
    return result


@routine("anychip.brief", I1, launches=PTR)
def _is_brief(f: Flow, launches_at: Val) -> Val:
    """Whether a launch list is known to be short enough to keep the interpreter lock."""
    launches = REPLAY.at(f, launches_at)
    steps = launches.load("steps")
    with f.counted(launches.load("count"), carried=[f.int(0, I64)]) as each:
        step = STEP.item(f, steps, each.index)
        picoseconds = FUNCTION.at(f, step.address("function")).atomic_load("picoseconds")
        with f.if_(f.eq(picoseconds, 0)):
            f.return_(0)
        programs = f.mul(f.mul(step.load("grid_x"), step.load("grid_y")), step.load("grid_z"))
        time, too_long = f.umul_overflow(programs, picoseconds)
        with f.if_(f.or_(too_long, f.ugt(time, BRIEF_PICOSECONDS))):
            f.return_(0)
        each.carry(f.add(each.carried[0], time))
    return f.ult(each.results[0], BRIEF_PICOSECONDS)


@routine("anychip.replay_unlocked", I32, state=PTR, launches=PTR, bases=PTR, failure=PTR)
def _replay_unlocked(f: Flow, state: Val, launches: Val, bases: Val, failure: Val) -> Val:
    """Run a launch list without the interpreter lock."""
    thread = python_api.save_thread(f)
    code = replay(f, state, launches, bases, failure)
    python_api.restore_thread(f, thread)
    return code


@routine("anychip.failed", PTR, world=PTR, owner=PTR, code=I32, failure=PTR)
def _fail(f: Flow, world_at: Val, owner: Val, code: Val, failure_at: Val) -> Val:
    """Raise what a failed list stands for: `fail(owner, step, code, x, y, z)` of Python."""
    failure = FAILURE.at(f, failure_at)
    program = failure.address("program")
    numbers = [failure.load("step"), code]
    numbers += [f.load(I32, f.element(I32, program, axis)) for axis in range(PROGRAM.count)]
    vector = f.alloca(array(PTR, 1 + len(numbers)))
    f.store(owner, vector)
    objects = [python_api.integer_of_i64(f, f.sext(number)) for number in numbers]
    for place, object in enumerate(objects):
        f.store(object, f.element(PTR, vector, 1 + place))
    result = python_api.vectorcall(f, WORLD.at(f, world_at).load("fail"), vector, 1 + len(numbers), 0)
    for object in objects:
        python_api.decrease_references(f, object)
    return result


@routine("anychip.eager", PTR, linkage="", self=PTR, arguments=PTR, keywords=PTR)
def call(f: Flow, self: Val, arguments: Val, keywords: Val) -> Val:
    """The callable of one overload; the first item of `self`, a tuple, holds its `SITE`."""
    site = SITE.at(f, f.load(PTR, python_api.bytes_as_string(f, python_api.tuple_item(f, self, 0))))
    with f.attempt() as attempt:
        world = WORLD.at(f, site.load("world"))
        _leave_unless_open(f, world, attempt)
        read = SIGNATURE.local(f, 64)
        signature.read(f, site, read, arguments, keywords, attempt)
        words, count = read.address("words"), read.load("count")
        hash = _hash(f, words, count)
        record_at = _find(f, site.pointer, words, count, hash)
        with f.if_(f.eq(record_at, 0)):
            f.return_(_miss(f, site.pointer, read.pointer, hash, arguments, keywords))
        record = RECORD.at(f, record_at)
        attempt.leave_if(f.eq(record.load("launches"), 0))
        f.return_(_serve(f, world.pointer, record_at, read.pointer))
    return python_api.call_object(f, site.load("function"), arguments, keywords)


def _weight(f: Flow, calls: Val) -> Val:
    """For how many calls the time of this one stands: a clock costs as much as a small launch, so that of a
    signature's many calls only some are timed."""
    is_timed = f.eq(f.and_(calls, TIMED_OF - 1), 0)
    seldom = f.select(is_timed, f.int(TIMED_OF, I64), f.int(0, I64))
    return f.select(f.ult(calls, TIMED_ALL), f.int(1, I64), seldom)


@routine("anychip.serve", PTR, world=PTR, record=PTR, signature=PTR)
def _serve(f: Flow, world_at: Val, record_at: Val, signature_at: Val) -> Val:
    """Do what a record says for the tensors of a call."""
    world, record, read = WORLD.at(f, world_at), RECORD.at(f, record_at), SIGNATURE.at(f, signature_at)
    owner = record.load("owner")
    python_api.increase_references(f, owner)  # allocating may run Python, which may forget the record
    weight = _weight(f, record.load("calls"))
    is_noted = f.ne(STATE.at(f, world.load("state")).load("events", volatile=True), 0)
    is_timed = f.or_(f.ne(weight, 0), is_noted)
    start = f.choose(is_timed, lambda: now(f), lambda: f.int(0, I64))
    bases = f.alloca(array(I64, Owner.GIVEN + MOST_TENSORS + MOST_OUTPUTS + MOST_NUMBERS), 64)
    made = f.alloca(array(PTR, MOST_OUTPUTS))
    failure = FAILURE.local(f)
    for number in range(Owner.GIVEN):
        f.store(f.int(0, I64), f.element(I64, bases, number))
    tensors, outputs = record.load("tensors"), record.load("outputs")
    firsts = read.address("firsts")
    with f.counted(tensors) as each:
        address = f.load(I64, f.element(I64, firsts, each.index))
        f.store(address, f.element(I64, bases, f.add(each.index, int(Owner.GIVEN))))
    allocations, allocate, offset = record.load("allocations"), world.load("allocate"), world.load("offset")
    with f.counted(outputs) as each:
        description = f.load(PTR, f.element(PTR, allocations, each.index))
        tensor = python_api.call_object(f, allocate, description, f.null(PTR))
        with f.if_(f.eq(tensor, 0)):
            _release(f, made, each.index)
            python_api.decrease_references(f, owner)
            f.return_(0)
        f.store(tensor, f.element(PTR, made, each.index))
        place = f.add(f.add(tensors, each.index), int(Owner.GIVEN))
        interface.get_data_pointer(f, f.gep(tensor, offset), f.element(I64, bases, place))
    numbers, behind = read.address("numbers"), f.add(f.add(tensors, outputs), int(Owner.GIVEN))
    with f.counted(read.load("numbered")) as each:
        number = f.load(I64, f.element(I64, numbers, each.index))
        f.store(number, f.element(I64, bases, f.add(behind, each.index)))
    launches, state = record.load("launches"), world.load("state")
    code = f.choose(
        _is_brief(f, launches),
        lambda: replay(f, state, launches, bases, failure.pointer),
        lambda: _replay_unlocked(f, state, launches, bases, failure.pointer),
    )
    with f.if_(f.ne(code, 0)):
        _release(f, made, outputs)
        raised = _fail(f, world_at, owner, code, failure.pointer)
        python_api.decrease_references(f, owner)
        f.return_(raised)
    result = _result(f, record, read, made, outputs, world)
    record.store("calls", f.add(record.load("calls"), 1))
    with f.if_(f.ne(weight, 0)):
        elapsed = f.mul(f.sub(now(f), start), weight)
        record.store("nanoseconds", f.add(record.load("nanoseconds"), elapsed))
        _add_to_clock(f, world, elapsed)
    with f.if_(is_noted):
        note_call(f, state, record_at, start)
    python_api.decrease_references(f, owner)
    return result


def _result(f: Flow, record: Fields, read: Fields, made: Val, outputs: Val, world: Fields) -> Val:
    """What the call returns; references to `made` become the result's, or go."""
    leaves, number, container = record.load("leaves"), record.load("results"), record.load("container")
    objects = read.address("objects")

    views = record.load("views")

    def leaf(index: Val | int) -> Val:
        code = f.load(I64, f.element(I64, leaves, index))
        place = f.choose(
            f.slt(code, 0),
            lambda: f.element(PTR, objects, f.sub(f.int(-1, I64), code)),
            lambda: f.element(PTR, made, code),
        )
        object, view = f.load(PTR, place), f.load(PTR, f.element(PTR, views, index))
        return f.choose(f.eq(view, 0), lambda: _same(f, object), lambda: _part(f, world, object, view))

    result = f.local(f.null(PTR))
    with f.if_(f.eq(container, int(Container.NOTHING))):
        none = world.load("none")
        python_api.increase_references(f, none)
        result.value = none
    with f.if_(f.eq(container, int(Container.SINGLE))):
        result.value = leaf(0)
    containers: Sequence[tuple[Container, External, External]] = (
        (Container.TUPLE, python_api.new_tuple, python_api.set_tuple_item),
        (Container.LIST, python_api.new_list, python_api.set_list_item),
    )
    for kind, new, set_item in containers:
        with f.if_(f.eq(container, int(kind))):
            whole = new(f, number)
            result.value = whole
            with f.counted(number) as each:
                item = leaf(each.index)
                with f.if_(f.eq(item, 0)):
                    python_api.decrease_references(f, whole)
                    result.value = 0
                    each.leave()
                set_item(f, whole, each.index, item)
    _release(f, made, outputs)
    return result.value


def _same(f: Flow, object: Val) -> Val:
    """Another reference to an object."""
    python_api.increase_references(f, object)
    return object


def _part(f: Flow, world: Fields, object: Val, view: Val) -> Val:
    """A tensor that is part of another's memory, null after an error."""
    vector = f.alloca(array(PTR, 4))
    f.store(object, vector)
    for number in range(3):
        f.store(python_api.tuple_item(f, view, number), f.element(PTR, vector, 1 + number))
    return python_api.vectorcall(f, world.load("reinterpret"), vector, 4, 0)


def _release(f: Flow, made: Val, count: Val) -> None:
    """Let go of results."""
    with f.counted(count) as each:
        python_api.decrease_references(f, f.load(PTR, f.element(PTR, made, each.index)))


def _add_to_clock(f: Flow, world: Fields, nanoseconds: Val) -> None:
    """Add to the native time of this thread (see `clock_of`)."""
    number = f.lshr(f.mul(pthread_self(f), MIXER), f.int(64 - CLOCKS.bit_length() + 1, I64))
    clock = f.element(I64, world.address("clocks"), number)
    f.store(f.add(f.load(I64, clock), nanoseconds), clock)


def clock_of(thread: int) -> int:
    """Which of the clocks is a thread's (`threading.get_ident`)."""
    return (thread * MIXER % (1 << 64)) >> (64 - CLOCKS.bit_length() + 1)
