"""Structures that Python and the native code of eager calls share. `X.ctypes` is Python's class of each, and
`X.at(f, address)` gives LLVM IR its fields by the same names."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from ...compiler.llvm.struct import Struct
from ...compiler.llvm.types import I64, PTR, array

MOST_WORDS = 320
"""64-bit words of the longest signature that is looked up; calls with longer ones run the Python path."""

MOST_TENSORS = 48
"""Tensors of a call, those in lists included."""

MOST_OUTPUTS = 8

MOST_NUMBERS = 4
"""Numbers of a call that kernels are given anew each time; further ones are part of the signature."""

CLOCKS = 64
"""Counts of native time, so that threads seldom share one."""


class Tag(IntEnum):
    """The lowest byte of the word that begins a value in a signature; more of the value stands above it, or
    in the words that follow."""

    NONE = 1
    FALSE = 2
    TRUE = 3
    INTEGER = 4
    FLOAT = 5
    TEXT = 6
    LIST = 7
    OBJECT = 8
    """One of PyTorch's single objects (dtype, layout, memory format), known by its address."""
    TENSOR = 9
    """Element type, rank and alignment are in the word; a size and a stride follow for each dimension."""
    NUMBER = 11
    """A floating number that kernels are given as it is; which one, is no part of the signature."""
    SHARED = 10
    """Two tensors whose memory is not apart: their numbers, and how far apart they begin."""


class Container(IntEnum):
    """What a call returns its results in."""

    SINGLE = 0
    TUPLE = 1
    LIST = 2
    NOTHING = 3


class Lazy(IntFlag):
    """What may be left to do to tensors that arrive at an overload; for others PyTorch does it before."""

    SIGN = 1
    CONJUGATION = 2


WORLD = Struct(
    "world",
    "What all native calls look at, one for the process. Python objects are borrowed from `sites.World`, "
    "which keeps them. `closed` and `by_context` are switches: nobody is served; the caller's context may "
    "have launch options of its own. `offset` is where a tensor's object holds its handle. `clocks` are "
    "nanoseconds spent in native calls by thread.",
    state=PTR,
    closed=I64,
    by_context=I64,
    context_options=PTR,
    enter_calls=PTR,
    exit_calls=PTR,
    none=PTR,
    true=PTR,
    false=PTR,
    integer=PTR,
    floating=PTR,
    text=PTR,
    list=PTR,
    tuple=PTR,
    tensor=PTR,
    parameter=PTR,
    dtype=PTR,
    layout=PTR,
    memory_format=PTR,
    is_negative=PTR,
    is_conjugate=PTR,
    offset=I64,
    allocate=PTR,
    reinterpret=PTR,
    fail=PTR,
    clocks=array(I64, CLOCKS),
)

SITE = Struct(
    "site",
    "What the native callable of one overload knows: its records by hash, the Python path, and who is told "
    "of signatures that are not known. `lazy` are flags of `Lazy`. With `open`, floating numbers whose last "
    "bits are not zero are no part of the signature (see `open_numbers`).",
    world=PTR,
    entries=PTR,
    mask=I64,
    function=PTR,
    missed=PTR,
    lazy=I64,
    open=I64,
)

ENTRY = Struct(
    "entry",
    "A place in a site's table: the hash of a signature and its record, if any.",
    hash=I64,
    record=PTR,
)

RECORD = Struct(
    "record",
    "One signature of an overload. `launches` is a launch list (see `runtime.program`), null where the "
    "Python path serves the signature. `allocations` are arguments of the function that allocates, one tuple "
    "a result in memory of its own; `leaves` say what is returned: an output by its number, or tensor k of "
    "the arguments by -1 - k. Where `views` has an address, it is a part of the output: a tuple of sizes, "
    "strides and the number of the first element.",
    key=PTR,
    words=I64,
    owner=PTR,
    launches=PTR,
    tensors=I64,
    outputs=I64,
    allocations=PTR,
    container=I64,
    results=I64,
    leaves=PTR,
    views=PTR,
    calls=I64,
    nanoseconds=I64,
)

SIGNATURE = Struct(
    "signature",
    "The signature of a call while it is read: `count` words, and the objects, types and first addresses of "
    "its tensors with the address behind their last element. `numbers` are the bits of those that are no "
    "part of it, `numbered` says how many, `open` whether there are any.",
    words=array(I64, MOST_WORDS),
    count=I64,
    tensors=I64,
    objects=array(PTR, MOST_TENSORS),
    dtypes=array(I64, MOST_TENSORS),
    firsts=array(I64, MOST_TENSORS),
    ends=array(I64, MOST_TENSORS),
    open=I64,
    numbered=I64,
    numbers=array(I64, MOST_NUMBERS),
)
