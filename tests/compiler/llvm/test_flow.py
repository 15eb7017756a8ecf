"""Branches and loops, executed beside the same in Python."""

from __future__ import annotations

from ctypes import c_int64, c_void_p

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compiler.llvm.machine_code import compiled, text_of

from anychip.compiler.llvm.flow import Flow
from anychip.compiler.llvm.routine import routine
from anychip.compiler.llvm.types import I64, PTR, Val

NUMBERS = st.integers(-(2**62), 2**62)


@routine("larger", I64, linkage="", a=I64, b=I64)
def _larger(f: Flow, a: Val, b: Val) -> Val:
    return f.choose(f.sgt(a, b), lambda: a, lambda: b)


@routine("distance", I64, linkage="", a=I64, b=I64)
def _distance(f: Flow, a: Val, b: Val) -> None:
    """Both sides return: nothing follows."""
    with f.if_else(f.slt(a, b)) as (then, otherwise):
        with then:
            f.return_(f.sub(b, a))
        with otherwise:
            f.return_(f.sub(a, b))


@routine("sign", I64, linkage="", a=I64)
def _sign(f: Flow, a: Val) -> Val:
    """A side that sets a variable, and one that returns."""
    sign = f.local(f.int(1, I64))
    with f.if_(f.eq(a, 0)):
        f.return_(0)
    with f.if_(f.slt(a, 0)):
        sign.value = -1
    return sign.value


LARGER = compiled(_larger, c_int64, c_int64, c_int64)
DISTANCE = compiled(_distance, c_int64, c_int64, c_int64)
SIGN = compiled(_sign, c_int64, c_int64)


@given(NUMBERS, NUMBERS)
def test_branches(a: int, b: int):
    assert LARGER(a, b) == max(a, b)
    assert DISTANCE(a, b) == abs(a - b)
    assert SIGN(a) == (a > 0) - (a < 0)


@routine("fibonacci", I64, linkage="", n=I64)
def _fibonacci(f: Flow, n: Val) -> Val:
    with f.counted(n, carried=[f.int(0, I64), f.int(1, I64)]) as turn:
        this, next = turn.carried
        turn.carry(next, f.add(this, next))
    return turn.results[0]


@routine("triangle", I64, linkage="", n=I64)
def _triangle(f: Flow, n: Val) -> Val:
    with f.counted(n, carried=[f.int(0, I64)]) as turn:
        turn.carry(f.add(turn.carried[0], turn.index))
    return turn.results[0]


@pytest.mark.parametrize("n", [0, 1, 2, 10, 50])
def test_counted_loops_carry_values(n: int):
    numbers = [0, 1]
    for _ in range(n):
        numbers.append(numbers[-1] + numbers[-2])
    assert compiled(_fibonacci, c_int64, c_int64)(n) == numbers[n]
    assert compiled(_triangle, c_int64, c_int64)(n) == sum(range(n))


@routine("find", I64, linkage="", numbers=PTR, count=I64, wanted=I64)
def _find(f: Flow, numbers: Val, count: Val, wanted: Val) -> Val:
    """The place of a number, or -1: a loop that is left in the middle, with a result."""
    with f.counted(count, carried=[f.int(-1, I64)]) as turn:
        number = f.load(I64, f.element(I64, numbers, turn.index))
        turn.leave_if(f.eq(number, wanted), turn.index)
    return turn.results[0]


def test_a_loop_is_left_in_the_middle():
    find = compiled(_find, c_int64, c_void_p, c_int64, c_int64)
    numbers = (c_int64 * 4)(5, 7, 7, 9)
    assert [find(numbers, 4, wanted) for wanted in (5, 7, 9, 6)] == [0, 1, 3, -1]
    assert find(numbers, 0, 5) == -1


@routine("collatz", I64, linkage="", n=I64)
def _collatz(f: Flow, n: Val) -> Val:
    """Steps to 1: branches inside of a loop, variables around them."""
    number, steps = f.local(n), f.local(f.int(0, I64))
    with f.while_(lambda: f.ne(number.value, 1)):
        with f.if_else(f.eq(f.and_(number.value, 1), 0)) as (even, odd):
            with even:
                number.value = f.lshr(number.value, 1)
            with odd:
                number.value = f.add(f.mul(number.value, 3), 1)
        steps.value = f.add(steps.value, 1)
    return steps.value


@routine("divisor", I64, linkage="", n=I64)
def _divisor(f: Flow, n: Val) -> Val:
    """The least divisor from 2 on: a loop without end that leaves and returns."""
    with f.forever(f.int(2, I64)) as turn:
        candidate = turn.carried[0]
        with f.if_(f.ugt(f.mul(candidate, candidate), n)):
            f.return_(n)
        turn.leave_if(f.eq(f.urem(n, candidate), 0), candidate)
        turn.carry(f.add(candidate, 1))
    return turn.results[0]


@routine("digits", I64, linkage="", n=I64)
def _digits(f: Flow, n: Val) -> Val:
    """The number of decimal digits: one turn at least."""
    with f.loop(n, f.int(0, I64)) as turn:
        rest, count = turn.carried
        rest, count = f.udiv(rest, 10), f.add(count, 1)
        turn.repeat_if(f.ne(rest, 0), rest, count)
    return turn.results[1]


@given(st.integers(1, 3000))
def test_loops_until_something_is_true(n: int):
    steps, number = 0, n
    while number != 1:
        number, steps = (number // 2 if number % 2 == 0 else 3 * number + 1), steps + 1
    assert COLLATZ(n) == steps
    assert DIGITS(n) == len(str(n))
    assert DIVISOR(n) == next((d for d in range(2, n) if d * d <= n and n % d == 0), n)


COLLATZ = compiled(_collatz, c_int64, c_int64)
DIVISOR = compiled(_divisor, c_int64, c_int64)
DIGITS = compiled(_digits, c_int64, c_int64)


@routine("grade", I64, linkage="", n=I64)
def _grade(f: Flow, n: Val) -> Val:
    result = f.local(f.int(-1, I64))
    with f.switch(n) as case:
        with case(1):
            result.value = 10
        with case(2, 3):
            result.value = 20
        with case(4):
            f.return_(40)
    return result.value


def test_a_switch_goes_to_its_cases():
    assert [compiled(_grade, c_int64, c_int64)(n) for n in range(6)] == [-1, 10, 20, 20, 40, -1]


def test_a_loop_carries_as_many_values_as_it_was_given():
    @routine("broken", n=I64)
    def broken(f: Flow, n: Val) -> None:
        with f.counted(n, carried=[n]) as turn:
            turn.carry(n, n)

    with pytest.raises(AssertionError, match="2 values for 1"):
        text_of(broken)
