"""Arena plans: what lives together never overlaps, everything is aligned, reuse happens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anychip.runtime.arena import ALIGNMENT, Lifetime, largest_live, place

LIFETIMES = st.lists(
    st.builds(
        lambda size, first, length: Lifetime(size, first, first + length),
        st.integers(0, 5000),
        st.integers(0, 40),
        st.integers(0, 15),
    ),
    max_size=40,
)


@given(LIFETIMES)
def test_buffers_that_live_together_do_not_overlap(lifetimes):
    arena = place(lifetimes)
    owners: dict[tuple[int, int], int] = {}
    for index, (lifetime, offset) in enumerate(zip(lifetimes, arena.offsets)):
        assert offset % ALIGNMENT == 0
        assert offset + lifetime.size <= arena.size
        for step in range(lifetime.first, lifetime.last + 1):
            for line in range(offset // ALIGNMENT, -(-(offset + lifetime.size) // ALIGNMENT)):
                assert owners.setdefault((step, line), index) == index


@given(LIFETIMES)
def test_an_arena_is_between_the_largest_live_set_and_the_sum(lifetimes):
    arena = place(lifetimes)
    assert largest_live(lifetimes) <= arena.size
    assert arena.size <= sum(-(-lifetime.size // ALIGNMENT) * ALIGNMENT for lifetime in lifetimes)


def test_a_chain_of_equal_buffers_needs_two():
    chain = [Lifetime(1000, step, step + 1) for step in range(50)]
    assert place(chain).size == 2 * 1024


def test_small_buffers_go_into_the_tightest_gap():
    lifetimes = [
        Lifetime(640, 0, 9),
        Lifetime(512, 0, 4),
        Lifetime(256, 0, 9),
        Lifetime(192, 0, 4),
        Lifetime(128, 0, 9),
        Lifetime(120, 5, 9),
    ]
    arena = place(lifetimes)
    assert arena.offsets[5] == arena.offsets[3]


def test_nothing_needs_nothing():
    assert place([]).size == 0
    assert place([Lifetime(0, 0, 3)]).size == 0
