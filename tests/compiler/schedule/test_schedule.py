"""What becomes of a kernel: which operations share a nest, what gets a buffer, what is carried.

The schedule's text is searched for short patterns; places in the arena are left out of it.
"""

from __future__ import annotations

import re

import pytest
import triton
import triton.language as tl
from tests.kernels import matrices, reductions
from tests.ttir import ttir_of

from anychip.compiler import targets
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse
from anychip.compiler.schedule.printer import print_schedule
from anychip.compiler.schedule.scheduler import schedule
from anychip.compiler.schedule.steps import Nest, Schedule, Write

TARGET = targets.get("x86-64-v4")


def schedule_of(fn: triton.JITFunction, types: str, **constants: object) -> Schedule:
    """The schedule of a kernel whose other arguments have the listed types."""
    names = iter(types.split())
    signature = {n: "constexpr" if n in constants else next(names) for n in fn.arg_names}
    module = parse(ttir_of(fn, signature, constants))
    inline_calls(module)
    return schedule(module.kernel, TARGET)


def scheduled(fn: triton.JITFunction, types: str, **constants: object) -> str:
    """The schedule of a kernel as text, one step a line, without places and locations."""
    text = print_schedule(schedule_of(fn, types, **constants))
    return re.sub(r"@\d+\[", "[", re.sub(r"  # .*?(?= ->| carries|$)", "", text, flags=re.MULTILINE))


def nests(text: str) -> list[list[str]]:
    """The roots of each nest: the kind of each and what it makes."""
    found: list[list[str]] = []
    depth = -1
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith("nest "):
            found.append([])
            depth = indent
        elif depth >= 0 and indent > depth:
            found[-1].append(re.sub(r" %\S+| tt\.\w+ \([^)]*\)", "", line.strip()))
        else:
            depth = -1
    return found


# --- what shares a nest --------------------------------------------------------------------------------
@triton.jit
def chain(x, y, out, n, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i, mask=i < n)
    b = tl.load(y + i, mask=i < n)
    tl.store(out + i, tl.exp(a) * b + tl.sqrt(b), mask=i < n)


@triton.jit
def in_place(x, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(x + i, tl.load(x + i) * 2)


@triton.jit
def shifted_in_place(x, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(x + i + 1, tl.load(x + i))


@triton.jit
def load_before_store(x, out, B: tl.constexpr):
    """The load must not move behind the store to the same places."""
    i = tl.arange(0, B)
    before = tl.load(x + B - 1 - i)
    tl.store(x + i, i)
    tl.store(out + i, before)


@triton.jit
def two_sums(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i)
    total, largest = tl.sum(a, 0), tl.max(a, 0)
    tl.store(out, total)
    tl.store(out + 1, largest)


@triton.jit
def dear_row(x, out, R: tl.constexpr, C: tl.constexpr):
    """A value of a row, used by every row: dear ones are kept, cheap ones are not."""
    r, c = tl.arange(0, R), tl.arange(0, C)
    row = tl.exp(tl.load(x + c))
    tl.store(out + r[:, None] * C + c[None, :], row[None, :] + r[:, None])


@triton.jit
def cheap_row(x, out, R: tl.constexpr, C: tl.constexpr):
    r, c = tl.arange(0, R), tl.arange(0, C)
    row = c * 3 + 1
    tl.store(out + r[:, None] * C + c[None, :], row[None, :] + r[:, None])


def test_elementwise_operations_are_one_nest_without_buffers() -> None:
    text = scheduled(chain, "*fp32 *fp32 *fp32 i32", B=1024)
    assert nests(text) == [["store"]]
    assert "nest [axis 0: 1024 by 16] 1 x 16 lanes" in text
    assert text.startswith("arena 64 bytes")


def test_a_store_in_place_needs_no_buffer() -> None:
    assert nests(scheduled(in_place, "*fp32", B=256)) == [["store"]]


@pytest.mark.parametrize(
    ("kernel", "types"),
    [(shifted_in_place, "*fp32"), (load_before_store, "*i32 *i32")],
    ids=["shift", "order"],
)
def test_a_load_that_a_store_crosses_is_kept(kernel: triton.JITFunction, types: str) -> None:
    text = scheduled(kernel, types, B=256)
    assert nests(text)[0] == [f"write -> [256x{'f32' if 'fp32' in types else 'i32'}]"]


def test_neighbouring_reductions_read_their_operand_once() -> None:
    assert nests(scheduled(two_sums, "*fp32 *fp32", B=1024)) == [["reduce -> scalar", "reduce -> scalar"]]


def test_a_broadcast_of_something_dear_is_kept() -> None:
    assert nests(scheduled(dear_row, "*fp32 *fp32", R=16, C=64)) == [["write -> [1x64xf32]"], ["store"]]
    assert nests(scheduled(cheap_row, "*fp32 *i32", R=16, C=64)) == [["store"]]


def test_softmax_keeps_the_exponentials_and_nothing_else() -> None:
    text = scheduled(reductions.softmax, "*fp32 *fp32 i32 i32", BLOCK=1024)
    assert nests(text) == [
        ["reduce -> scalar"],
        ["write -> [1024xf32]", "reduce -> scalar"],
        ["store"],
    ]


def test_column_sums_have_the_columns_in_the_lanes() -> None:
    text = scheduled(reductions.column_sum, "*fp32 *fp32", R=32, C=64)
    assert "nest [axis 1: 64 by 16, axis 0: 32 by 1] 4 x 16 lanes, reduces axis 0" in text


# --- loops ---------------------------------------------------------------------------------------------
MATMUL = {"stride_ak": 1, "stride_bn": 1, "stride_cn": 1, "BM": 64, "BN": 64, "BK": 32}


def test_a_product_adds_to_its_accumulator_in_place() -> None:
    text = scheduled(matrices.matmul, "*fp32 *fp32 *fp32 i32 i32 i32 i32 i32 i32", **MATMUL)
    (product,) = re.findall(r"dot (\S+) @ (\S+) \+ (\S+) -> (\S+)", text)
    assert product == ("[64x32xf32]", "[32x64xf32]", "[64x64xf32]", "[64x64xf32]")
    raw = re.sub(r"\s+", " ", text)
    assert re.search(r"for scf.for \([^)]*\) carries [^@]*\[64x64xf32\]", raw)
    inside = text[text.index("for scf.for") :]
    assert "[64x64xf32]" not in "".join(re.findall(r"write %\S+ -> (\S+)", inside))


def test_pointers_are_carried_as_scalars() -> None:
    """Of what the loop carries only the accumulator is a tile."""
    text = scheduled(matrices.matmul, "*fp32 *fp32 *fp32 i32 i32 i32 i32 i32 i32", **MATMUL)
    (carried,) = re.findall(r"carries (.*)", text)
    assert sorted(carried.split(", ")) == ["[64x64xf32]", "scalar", "scalar"]


def test_attention_rescales_its_accumulator_in_place() -> None:
    constants = {"CAUSAL": True, "BM": 64, "BN": 32, "D": 64}
    text = scheduled(matrices.attention, "*fp16 *fp16 *fp16 *fp16 i32 fp32", **constants)
    products = re.findall(r"dot \S+ @ \S+ \+ (\S+) -> (\S+)", text)
    assert products == [("scalar", "[64x32xf32]"), ("[64x64xf32]", "[64x64xf32]")]
    inside = text[text.index("for scf.for") :]
    assert len(re.findall(r"write %total\S* -> \[64x64xf32\]", inside)) == 1


@triton.jit
def swapped(x, out, n, B: tl.constexpr):
    i = tl.arange(0, B)
    a, b = tl.load(x + i), tl.load(x + B + i)
    for _ in range(n):
        a, b = b, a
    tl.store(out + i, a - b)


def test_tiles_that_change_places_are_read_before_either_is_written() -> None:
    """Both are written by one nest: each chunk of it reads both first."""
    text = scheduled(swapped, "*fp32 *fp32 i32", B=4096)
    loop = text[re.search(r"for scf\.for .* carries", text).start() :]  # type: ignore[union-attr]
    assert nests(loop)[0] == ["write -> [4096xf32]", "write -> [4096xf32]"]
    places = re.findall(r"carries (\S+), (\S+)", loop)
    assert len(places) == 1


# --- what the kernel says of its memory ----------------------------------------------------------------
@triton.jit
def pairs(x, out, APART: tl.constexpr, B: tl.constexpr):
    if APART:
        tl.assume(out.to(tl.int64) != x.to(tl.int64))
    i = tl.arange(0, B)
    tl.store(out + i, tl.load(x + 2 * i) + tl.load(x + 2 * i + 1))


def test_loads_wait_in_buffers_for_a_store_that_may_overwrite_what_they_read() -> None:
    assert nests(scheduled(pairs, "*fp32 *fp32", APART=False, B=64)) == [["write -> [64xf32]"] * 2, ["store"]]
    assert nests(scheduled(pairs, "*fp32 *fp32", APART=True, B=64)) == [["store"]]


@triton.jit
def repeated(x, row, out, step, B: tl.constexpr):
    """Each element of a row of `x` twice, scaled by a number that is dear to compute for each row."""
    tl.assume(out.to(tl.int64) != x.to(tl.int64))
    half = tl.reshape(tl.broadcast_to(tl.arange(0, B // 2)[:, None], (B // 2, 2)), (B,))
    r = tl.arange(0, B)
    factor = tl.exp(tl.load(row + r))
    value = tl.load(x + (r * step)[:, None] + half[None, :])
    tl.store(out + (r * step)[:, None] + tl.arange(0, B)[None, :], value * factor[:, None])


def test_lanes_go_along_the_axis_of_memory_not_of_what_is_kept_for_rows() -> None:
    text = scheduled(repeated, "*fp32 *fp32 *fp32 i32", B=32)
    assert "nest [axis 0: 32 by 1, axis 1: 32 by 16]" in text


@triton.jit
def written_along_columns(source, out, rounds, R: tl.constexpr, C: tl.constexpr):
    row = tl.arange(0, R)[:, None]
    column = tl.arange(0, C)[None, :]
    x = tl.load(source + row * C + column)
    x = tl.exp(x) + tl.sum(x, 1)[:, None]
    for k in range(rounds):
        tl.store(out + k * R * C + row + column * R, x * k)


def test_a_buffer_lies_along_the_axis_in_which_a_loop_reads_it() -> None:
    made = schedule_of(written_along_columns, "*fp32 *fp32 i32", R=32, C=64)
    steps = [step for _, steps in made.body.blocks for step in steps if isinstance(step, Nest)]
    buffers = [root.buffer for step in steps for root in step.roots if isinstance(root, Write)]
    assert [buffer.order for buffer in buffers] == [(1, 0)]


@triton.jit
def both(a, b):
    return a & b


@triton.jit
def all_below(out, n, BLOCK: tl.constexpr):
    tl.store(out, tl.reduce(tl.arange(0, BLOCK) < n, 0, both).to(tl.int32))


def test_booleans_fill_registers_as_bytes() -> None:
    text = scheduled(all_below, "*i32 i32", BLOCK=256)
    (lanes,) = re.findall(r"nest \[axis 0: 256 by (\d+)\]", text)
    assert lanes == str(TARGET.vector_bits // 8)
