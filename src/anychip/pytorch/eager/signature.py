"""The signature of a call, read from the arguments that PyTorch hands to Python: a tuple, and a dictionary of
those that are given by name. All of it is words of 64 bits, in the order of the arguments; memory that
tensors share is part of it. Whatever has no word here leaves the call to the Python path."""

from __future__ import annotations

from ...compiler.llvm.flow import Block, Flow
from ...compiler.llvm.globals import number_table
from ...compiler.llvm.routine import call_pointer, routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I1, I8, I32, I64, PTR, Val
from ...runtime.native import python_api
from ...runtime.native.python_api import type_of
from ...runtime.native.structures import STATE
from . import interface
from .structures import MOST_NUMBERS, MOST_TENSORS, MOST_WORDS, SIGNATURE, WORLD, Lazy, Tag

MOST_RANK = 12
DTYPE_SHIFT, RANK_SHIFT, ALIGNMENT_SHIFT = 8, 16, 24
ALIGNMENT = 15
"""Which bits of an address kernels are compiled for."""
ELEMENT_BYTES = (1, 1, 2, 4, 8, 2, 4, 8, 4, 8, 16, 1, 1, 1, 4, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2, 4, 8)
"""Bytes of an element by the number that PyTorch has for its type; types beyond are left to Python."""
_element_bytes = number_table("anychip.element_bytes", I64, ELEMENT_BYTES)
COMPLEX_DTYPES = (8, 9, 10)
"""PyTorch's numbers of the types that may be conjugated lazily."""
UNUSUAL = (1 << 20) - 1
"""Bits of a double that are zero in those numbers which an operator may look at: small integers, halves,
infinities, zero."""
EXPONENT = 0x7FF << 52
"""Bits of a double that are zero in its smallest numbers, whose patterns are those of small integers."""
BOUND = 1 << 31
"""A size or stride beyond makes a span that is not computed."""


@routine("anychip.word", signature=PTR, value=I64)
def _append(f: Flow, signature_at: Val, value: Val) -> None:
    """Add a word. There is room: whoever begins a value has looked."""
    signature = SIGNATURE.at(f, signature_at)
    count = signature.load("count")
    f.store(value, f.element(I64, signature.address("words"), count))
    signature.store("count", f.add(count, 1))


def _tagged(f: Flow, tag: Tag, value: Val) -> Val:
    """A word of a tag and a number that stands above it."""
    return f.or_(f.shl(value, f.int(8, I64)), int(tag))


@routine("anychip.tensor", I1, world=PTR, signature=PTR, object=PTR)
def _add_tensor(f: Flow, world_at: Val, signature_at: Val, object: Val) -> Val:
    """Add a tensor: its words, its address, and the memory that it spans. Gives whether it could be."""
    signature = SIGNATURE.at(f, signature_at)
    handle = f.gep(object, WORLD.at(f, world_at).load("offset"))
    out = f.alloca(I64)
    kind = f.alloca(I32)
    number = signature.load("tensors")
    with f.if_(f.uge(number, MOST_TENSORS)):
        f.return_(0)
    interface.get_dtype(f, handle, kind)
    dtype = f.zext(f.load(I32, kind))
    interface.get_dim(f, handle, out)
    rank = f.load(I64, out)
    failed = interface.get_data_pointer(f, handle, out)
    address = f.load(I64, out)
    unknown = [f.ne(failed, 0), f.ugt(rank, MOST_RANK), f.uge(dtype, len(ELEMENT_BYTES))]
    with f.if_(f.any_of(unknown)):
        f.return_(0)
    facts = f.or_(
        f.shl(dtype, f.int(DTYPE_SHIFT, I64)),
        f.or_(
            f.shl(rank, f.int(RANK_SHIFT, I64)),
            f.shl(f.and_(address, ALIGNMENT), f.int(ALIGNMENT_SHIFT, I64)),
        ),
    )
    _append(f, signature_at, f.or_(facts, int(Tag.TENSOR)))
    interface.get_sizes(f, handle, out)
    sizes = f.convert("inttoptr", f.load(I64, out), PTR)
    interface.get_strides(f, handle, out)
    strides = f.convert("inttoptr", f.load(I64, out), PTR)
    with f.counted(rank, carried=[f.int(0, I64), f.int(1, I64)]) as each:
        steps, elements = each.carried
        size, stride = (f.load(I64, f.element(I64, at, each.index)) for at in (sizes, strides))
        with f.if_(f.or_(f.uge(size, BOUND), f.uge(stride, BOUND))):
            f.return_(0)
        _append(f, signature_at, size)
        _append(f, signature_at, stride)
        each.carry(f.add(steps, f.mul(f.sub(size, 1), stride)), f.mul(elements, size))
    steps, elements = each.results
    bytes = f.mul(f.add(steps, 1), f.load(I64, f.element(I64, _element_bytes.address(f), dtype)))
    is_empty = f.eq(elements, 0)
    with f.if_(f.and_(f.eq(address, 0), f.not_(is_empty))):
        f.return_(0)  # zeros without memory
    end = f.select(is_empty, address, f.add(address, bytes))
    f.store(object, f.element(PTR, signature.address("objects"), number))
    f.store(dtype, f.element(I64, signature.address("dtypes"), number))
    f.store(address, f.element(I64, signature.address("firsts"), number))
    f.store(end, f.element(I64, signature.address("ends"), number))
    signature.store("tensors", f.add(number, 1))
    return f.int(1, I1)


@routine("anychip.text", I1, signature=PTR, object=PTR)
def _add_text(f: Flow, signature_at: Val, object: Val) -> Val:
    """Add a string of at most sixteen bytes."""
    length = f.alloca(I64)
    data = python_api.text_as_bytes(f, object, length)
    with f.if_(f.eq(data, 0)):
        python_api.clear_error(f)
        f.return_(0)
    count = f.load(I64, length)
    with f.if_(f.ugt(count, 16)):
        f.return_(0)
    _append(f, signature_at, _tagged(f, Tag.TEXT, count))
    words = f.alloca(I64)
    second = f.alloca(I64)
    for place in (words, second):
        f.store(f.int(0, I64), place)
    with f.counted(count) as each:
        half = f.select(f.ult(each.index, 8), words, second)
        byte = f.load(I8, f.gep(data, each.index))
        f.store(byte, f.gep(half, f.and_(each.index, 7)))
    _append(f, signature_at, f.load(I64, words))
    _append(f, signature_at, f.load(I64, second))
    return f.int(1, I1)


@routine("anychip.number", signature=PTR, bits=I64)
def _add_number(f: Flow, signature_at: Val, bits: Val) -> None:
    """Add a floating number: that there is one, where kernels are given it, else its bits."""
    signature = SIGNATURE.at(f, signature_at)
    number = signature.load("numbered")
    is_usual = f.and_(f.ne(f.and_(bits, UNUSUAL), 0), f.ne(f.and_(bits, EXPONENT), 0))
    with f.if_(f.and_(f.and_(f.ne(signature.load("open"), 0), is_usual), f.ult(number, MOST_NUMBERS))):
        f.store(bits, f.element(I64, signature.address("numbers"), number))
        signature.store("numbered", f.add(number, 1))
        _append(f, signature_at, f.int(Tag.NUMBER, I64))
        f.return_()
    _append(f, signature_at, f.int(Tag.FLOAT, I64))
    _append(f, signature_at, bits)


@routine("anychip.value", I1, world=PTR, signature=PTR, object=PTR)
def _add_value(f: Flow, world_at: Val, signature_at: Val, object: Val) -> Val:
    """Add anything but a list. Gives whether it could be."""
    world, signature = WORLD.at(f, world_at), SIGNATURE.at(f, signature_at)
    with f.if_(f.ugt(signature.load("count"), MOST_WORDS - 2 * MOST_RANK - 8)):
        f.return_(0)
    kind = type_of(f, object)
    is_tensor = f.or_(f.eq(kind, world.load("tensor")), f.eq(kind, world.load("parameter")))
    with f.if_(is_tensor):
        f.return_(_add_tensor(f, world_at, signature_at, object))
    for field, tag in (("none", Tag.NONE), ("false", Tag.FALSE), ("true", Tag.TRUE)):
        with f.if_(f.eq(object, world.load(field))):
            _append(f, signature_at, f.int(tag, I64))
            f.return_(1)
    with f.if_(f.eq(kind, world.load("integer"))):
        value = python_api.integer_as_i64(f, object)
        with f.if_(f.eq(value, -1)), f.if_(f.ne(python_api.error_occurred(f), 0)):
            python_api.clear_error(f)
            f.return_(0)
        _append(f, signature_at, f.int(Tag.INTEGER, I64))
        _append(f, signature_at, value)
        f.return_(1)
    with f.if_(f.eq(kind, world.load("floating"))):
        bits = f.convert("bitcast", python_api.float_as_double(f, object), I64)
        _add_number(f, signature_at, bits)
        f.return_(1)
    with f.if_(f.eq(kind, world.load("text"))):
        f.return_(_add_text(f, signature_at, object))
    is_single = f.any_of([f.eq(kind, world.load(name)) for name in ("dtype", "layout", "memory_format")])
    with f.if_(is_single):
        _append(f, signature_at, f.int(Tag.OBJECT, I64))
        _append(f, signature_at, f.convert("ptrtoint", object, I64))
        f.return_(1)
    return f.int(0, I1)


@routine("anychip.argument", I1, world=PTR, signature=PTR, object=PTR)
def _add_argument(f: Flow, world_at: Val, signature_at: Val, object: Val) -> Val:
    """Add an argument, which may be a list of values. Gives whether it could be."""
    world = WORLD.at(f, world_at)
    kind = type_of(f, object)
    for field, size_of, item_of in (
        ("list", python_api.list_size, python_api.list_item),
        ("tuple", python_api.tuple_size, python_api.tuple_item),
    ):
        with f.if_(f.eq(kind, world.load(field))):
            size = size_of(f, object)
            _append(f, signature_at, _tagged(f, Tag.LIST, size))
            with f.counted(size) as each:
                item = item_of(f, object, each.index)
                with f.if_(f.not_(_add_value(f, world_at, signature_at, item))):
                    f.return_(0)
            f.return_(1)
    return _add_value(f, world_at, signature_at, object)


def read(f: Flow, site: Fields, signature: Fields, arguments: Val, keywords: Val, attempt: Block) -> None:
    """Write the code that reads a call's signature; `attempt` is left where it has none."""
    world = site.load("world")
    signature.store("count", 1)
    signature.store("tensors", 0)
    signature.store("numbered", 0)
    signature.store("open", site.load("open"))
    state = WORLD.at(f, world).load("state")
    f.store(threads(f, state), signature.address("words"))
    with f.counted(python_api.tuple_size(f, arguments)) as each:
        object = python_api.tuple_item(f, arguments, each.index)
        attempt.leave_unless(_add_argument(f, world, signature.pointer, object))
    with f.if_(f.ne(keywords, 0)):
        attempt.leave_unless(_add_keywords(f, world, signature.pointer, keywords))
    lazy = site.load("lazy")
    with f.if_(f.ne(lazy, 0)):
        attempt.leave_unless(_is_settled(f, world, signature.pointer, lazy))
    with f.if_(f.ugt(signature.load("tensors"), 1)):
        attempt.leave_unless(_add_sharing(f, signature.pointer))


@routine("anychip.keywords", I1, world=PTR, signature=PTR, keywords=PTR)
def _add_keywords(f: Flow, world_at: Val, signature_at: Val, keywords: Val) -> Val:
    """Add arguments that are given by name. Gives whether they could be."""
    place, name, value = f.alloca(I64), f.alloca(PTR), f.alloca(PTR)
    f.store(f.int(0, I64), place)
    with f.forever() as turn:
        turn.leave_if(f.eq(python_api.next_item(f, keywords, place, name, value), 0))
        with f.if_(f.not_(_add_text(f, signature_at, f.load(PTR, name)))):
            f.return_(0)
        with f.if_(f.not_(_add_argument(f, world_at, signature_at, f.load(PTR, value)))):
            f.return_(0)
    return f.int(1, I1)


@routine("anychip.settled", I1, world=PTR, signature=PTR, lazy=I64)
def _is_settled(f: Flow, world_at: Val, signature_at: Val, lazy: Val) -> Val:
    """Whether no tensor's sign or conjugation is still to be done."""
    world, signature = WORLD.at(f, world_at), SIGNATURE.at(f, signature_at)
    with f.counted(signature.load("tensors")) as each:
        object = f.load(PTR, f.element(PTR, signature.address("objects"), each.index))
        dtype = f.load(I64, f.element(I64, signature.address("dtypes"), each.index))
        is_complex = f.ult(f.sub(dtype, COMPLEX_DTYPES[0]), len(COMPLEX_DTYPES))
        may_be_negative = f.ne(f.and_(lazy, int(Lazy.SIGN)), 0)
        may_be_conjugate = f.and_(is_complex, f.ne(f.and_(lazy, int(Lazy.CONJUGATION)), 0))
        for question, may_be in (("is_negative", may_be_negative), ("is_conjugate", may_be_conjugate)):
            with f.if_(may_be):
                arguments = f.alloca(PTR)
                f.store(object, arguments)
                answer = python_api.vectorcall_method(f, world.load(question), arguments, 1, 0)
                with f.if_(f.eq(answer, 0)):
                    python_api.clear_error(f)
                    f.return_(0)
                python_api.decrease_references(f, answer)
                with f.if_(f.ne(answer, world.load("false"))):
                    f.return_(0)
    return f.int(1, I1)


@routine("anychip.sharing", I1, signature=PTR)
def _add_sharing(f: Flow, signature_at: Val) -> Val:
    """Add a word for each two tensors whose memory may not be apart. Gives whether there was room."""
    signature = SIGNATURE.at(f, signature_at)
    number = signature.load("tensors")

    def memory(index: Val) -> list[Val]:
        return [f.load(I64, f.element(I64, signature.address(name), index)) for name in ("firsts", "ends")]

    with f.counted(number) as outer:
        first, end = memory(outer.index)
        with f.counted(outer.index) as inner:
            other_first, other_end = memory(inner.index)
            with f.if_(f.and_(f.ult(first, other_end), f.ult(other_first, end))):
                with f.if_(f.uge(signature.load("count"), MOST_WORDS)):
                    f.return_(0)
                distance = f.sub(first, other_first)
                pair = f.or_(f.shl(outer.index, f.int(8, I64)), inner.index)
                mixed = f.or_(f.shl(distance, f.int(24, I64)), f.shl(pair, f.int(8, I64)))
                _append(f, signature_at, f.or_(mixed, int(Tag.SHARED)))
    return f.int(1, I1)


def threads(f: Flow, state_at: Val) -> Val:
    """How many threads a launch of this thread's may use."""
    state = STATE.at(f, state_at)
    count = state.load("thread_count")
    return f.choose(
        f.eq(count, 0), lambda: state.load("thread_limit"), lambda: f.sext(call_pointer(f, count, I32, []))
    )
