"""The arena: buffers alive at once never overlap; bytes are used again when their buffer is dead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anychip.compiler.ir.types import F32
from anychip.compiler.schedule.arena import ALIGNMENT, GUARD, STATUS_BYTES, Lifetime, plan
from anychip.compiler.schedule.steps import Buffer

LIVES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 30), st.integers(0, 10)), min_size=1, max_size=12
)


def buffers(lives: list[tuple[int, int, int]]) -> dict[Buffer, Lifetime]:
    """(log2 of elements, first position, positions more) as buffers and their lives."""
    return {
        Buffer(f"b{k}", (1 << bits,), F32): Lifetime(first, first + more)
        for k, (bits, first, more) in enumerate(lives)
    }


@given(lives=LIVES)
def test_buffers_alive_at_once_do_not_overlap(lives: list[tuple[int, int, int]]) -> None:
    planned = buffers(lives)
    total = plan(planned)
    for one, life in planned.items():
        assert one.offset >= STATUS_BYTES
        assert one.offset % ALIGNMENT == 0
        assert one.offset + one.bytes + GUARD <= total
        for other, at in planned.items():
            if other is not one and life.first <= at.last and at.first <= life.last:
                assert (
                    one.offset + one.bytes + GUARD <= other.offset
                    or other.offset + other.bytes + GUARD <= one.offset
                )


@given(lives=LIVES)
def test_never_more_than_all_side_by_side(lives: list[tuple[int, int, int]]) -> None:
    planned = buffers(lives)
    largest = max(b.bytes for b in planned)
    total = plan(planned)
    assert STATUS_BYTES + largest <= total
    assert total <= STATUS_BYTES + sum(b.bytes + GUARD + ALIGNMENT for b in planned)


def test_one_after_another_share_their_bytes() -> None:
    planned = buffers([(8, 2 * k, 1) for k in range(10)])
    assert plan(planned) == STATUS_BYTES + 1024 + GUARD
    assert {b.offset for b in planned} == {STATUS_BYTES}


def test_a_gap_is_filled() -> None:
    planned = buffers([(8, 0, 9), (6, 0, 1), (8, 2, 9), (4, 0, 1)])
    plan(planned)
    long, early, late, small = planned
    assert late.offset == early.offset == long.offset + long.bytes + GUARD
    assert small.offset == early.offset + early.bytes + GUARD


def test_an_empty_plan_is_the_status_block() -> None:
    assert plan({}) == STATUS_BYTES
