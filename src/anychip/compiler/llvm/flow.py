"""Structured control flow: branches and loops of LLVM IR as `with` blocks.

    with f.if_(f.eq(x, 0)):                        # one side
        f.return_(1)
    with f.if_else(c) as (then, otherwise):        # two sides
        with then: ...
        with otherwise: ...
    larger = f.choose(c, lambda: x, lambda: y)     # the value of one side, computed on that side only
    with f.counted(n, carried=[total]) as each:    # for each.index in range(n)
        each.carry(f.add(each.carried[0], each.index))
    with f.forever() as turn:                      # until something leaves
        turn.leave_if(f.eq(f.load(I64, word), 0))

Code that is written so makes no block and no phi by hand. A value that several branches set lives in a
`Variable`, which LLVM turns into registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from .module import LLModule
from .scalar import Operand, ScalarBuilder
from .types import I64, VOID, LLType, Val


class Variable:
    """A value that changes: `value` is what it is at this place of the function, and may be assigned."""

    __slots__ = ("_flow", "_slot", "_type")

    def __init__(self, flow: Flow, initial: Val):
        self._flow, self._type = flow, initial.type
        self._slot = flow.alloca(initial.type)
        self.value = initial

    @property
    def value(self) -> Val:
        """A load."""
        return self._flow.load(self._type, self._slot)

    @value.setter
    def value(self, new: Operand) -> None:
        self._flow.store(self._flow.constant(new, self._type), self._slot)


class Block:
    """A stretch of code that is being written and may be left early: what all the leaves are given is in
    `results` after it."""

    def __init__(self, flow: Flow, hint: str):
        self._flow = flow
        self._end = flow.label(f"{hint}.end")
        self._leaves: list[tuple[str, Sequence[Val]]] = []
        self.results: tuple[Val, ...] = ()

    def leave(self, *results: Val) -> None:
        """Go to the end from here."""
        self._leaves.append((self._flow.block, results))
        self._flow.br(self._end)

    def leave_if(self, condition: Val, *results: Val) -> None:
        """Go to the end where `condition` is true, else go on."""
        self._leaves.append((self._flow.block, results))
        on = self._flow.label("on")
        self._flow.cond_br(condition, self._end, on)
        self._flow.place(on)

    def leave_unless(self, condition: Val, *results: Val) -> None:
        """Go on where `condition` is true, else go to the end."""
        self._leaves.append((self._flow.block, results))
        on = self._flow.label("on")
        self._flow.cond_br(condition, on, self._end)
        self._flow.place(on)

    def _close(self) -> None:
        """The block to which leaves lead."""
        if not self._leaves:
            return
        self._flow.place(self._end)
        self.results = tuple(self._flow.merge(self._leaves))


class Loop(Block):
    """A loop that is being written.

    `carried` are the values that each turn gets from the one before, the first from outside; `carry` says
    what the next turn gets (else it gets the same).
    """

    def __init__(self, flow: Flow, carried: Sequence[Val], hint: str):
        super().__init__(flow, hint)
        self._head = flow.label(hint)
        before = flow.block
        flow.place(self._head)
        self._phis = [flow.phi(value.type) for value in carried]
        for phi, value in zip(self._phis, carried):
            phi.add(value, before)
        self.carried = tuple(phi.val for phi in self._phis)
        self._next: Sequence[Val] = self.carried

    def carry(self, *values: Operand) -> None:
        """What the next turn gets, one for each of `carried`."""
        self._next = self._constants(values)

    def again(self, *values: Operand) -> None:
        """Begin the next turn from here, with `values`, one for each of `carried`."""
        self._repeat(self._constants(values))
        self._flow.br(self._head)

    def repeat_if(self, condition: Val, *values: Operand) -> None:
        """The last instruction of a turn: another one where `condition` is true, which gets `values`; else
        they are the results."""
        given = self._constants(values)
        self._repeat(given)
        self._leaves.append((self._flow.block, given))
        self._flow.cond_br(condition, self._head, self._end)

    def _constants(self, values: Sequence[Operand]) -> list[Val]:
        assert len(values) == len(self.carried), f"{len(values)} values for {len(self.carried)} carried ones"
        return [self._flow.constant(value, old.type) for value, old in zip(values, self.carried)]

    def _repeat(self, values: Sequence[Val]) -> None:
        """The next turn comes from this block, and gets `values`."""
        for phi, value in zip(self._phis, values):
            phi.add(value, self._flow.block)

    def _close(self) -> None:
        """The end of the body: another turn."""
        if not self._flow.terminated:
            self._repeat(self._next)
            self._flow.br(self._head)
        super()._close()


class CountedLoop(Loop):
    """A loop with an `index` from 0 to before `count`."""

    def __init__(self, flow: Flow, count: Val, carried: Sequence[Val]):
        super().__init__(flow, [flow.int(0, count.type), *carried], "counted")
        self.index, *rest = self.carried
        self.carried = self._next = tuple(rest)
        self._index_phi, *self._phis = self._phis
        self.leave_unless(flow.ult(self.index, count), *self.carried)

    def _repeat(self, values: Sequence[Val]) -> None:
        self._index_phi.add(self._flow.add(self.index, 1), self._flow.block)
        super()._repeat(values)


class Flow(ScalarBuilder):
    """Writes one function of scalars whose control flow is structured. `result` is the function's type."""

    def __init__(self, module: LLModule, result: LLType = VOID):
        super().__init__(module)
        self.result = result

    def return_(self, value: Operand | None = None) -> None:
        """Return from the function, with a value unless its result is void."""
        if value is None:
            self.effect("ret void")
        else:
            self.effect(f"ret {self.constant(value, self.result)}")
        self.terminated = True

    def local(self, initial: Val) -> Variable:
        """A variable that is `initial` from here on."""
        return Variable(self, initial)

    # --- branches ------------------------------------------------------------------------
    @contextmanager
    def if_(self, condition: Val) -> Iterator[None]:
        """What stands inside is done where `condition` (i1) is true."""
        then, after = self.label("then"), self.label("after")
        self.cond_br(condition, then, after)
        self.place(then)
        yield
        self.place(after)

    @contextmanager
    def if_else(
        self, condition: Val
    ) -> Iterator[tuple[AbstractContextManager[None], AbstractContextManager[None]]]:
        """Two blocks, each to be entered by `with`: for where `condition` (i1) is true, and where it is not.
        Nothing may follow where both sides return or leave a loop."""
        then, otherwise, after = self.label("then"), self.label("else"), self.label("after")
        reached: list[str] = []
        self.cond_br(condition, then, otherwise)
        yield self._side(then, after, reached), self._side(otherwise, after, reached)
        if reached:
            self.place(after)

    @contextmanager
    def _side(self, label: str, after: str, reached: list[str]) -> Iterator[None]:
        self.place(label)
        yield
        if not self.terminated:
            reached.append(self.block)
            self.br(after)

    def choose(self, condition: Val, then: Callable[[], Val], otherwise: Callable[[], Val]) -> Val:
        """The value of `then()` where `condition` is true, else of `otherwise()`; only that is computed."""
        ends: list[tuple[str, list[Val]]] = []
        with self.if_else(condition) as sides:
            for side, value in zip(sides, (then, otherwise)):
                with side:
                    result = value()
                    if not self.terminated:
                        ends.append((self.block, [result]))
        return self.merge(ends)[0]

    @contextmanager
    def switch(self, value: Val) -> Iterator[Callable[..., AbstractContextManager[None]]]:
        """Several blocks, each to be entered by `with case(number, ...)` and done where `value` is one of the
        numbers. What no case names goes on behind the `switch`, like a block that ends."""
        after = self.label("after")
        cases: list[tuple[int, str]] = []
        self.lines.append(_Switch(value, after, cases))
        self.terminated = True

        @contextmanager
        def case(*numbers: int) -> Iterator[None]:
            label = self.label("case")
            cases.extend((number, label) for number in numbers)
            self.place(label)
            yield
            if not self.terminated:
                self.br(after)

        yield case
        self.place(after)

    @contextmanager
    def attempt(self) -> Iterator[Block]:
        """Code that may be left before its end; what stands behind it is done in either case, unless the
        code returned."""
        block = Block(self, "attempt")
        yield block
        if not self.terminated:
            block.leave()
        block._close()

    # --- loops ---------------------------------------------------------------------------
    @contextmanager
    def forever(self, *carried: Val) -> Iterator[Loop]:
        """A loop that ends by `leave`, `leave_if` or a return."""
        loop = Loop(self, carried, "forever")
        yield loop
        loop._close()

    @contextmanager
    def loop(self, *carried: Val) -> Iterator[Loop]:
        """A loop whose body ends with `repeat_if`, so that it has one turn at least."""
        loop = Loop(self, carried, "loop")
        yield loop
        assert self.terminated, "the body of a loop ends with repeat_if"
        loop._close()

    @contextmanager
    def while_(self, condition: Callable[[], Val]) -> Iterator[Loop]:
        """A loop whose turns each begin with `condition()`, and that ends where it is false."""
        with self.forever() as loop:
            loop.leave_unless(condition())
            yield loop

    @contextmanager
    def counted(self, count: Operand, *, carried: Sequence[Val] = ()) -> Iterator[CountedLoop]:
        """A loop for each index from 0 to before `count` (unsigned; i64 where it is a Python integer).

        After the last turn `results` holds what that carried, or the values from outside where there was no
        turn; what a `leave` inside gives takes the same place.
        """
        loop = CountedLoop(self, self.constant(count, I64), carried)
        yield loop
        loop._close()


class _Switch:
    """A `switch` whose cases are written after it."""

    def __init__(self, value: Val, default: str, cases: list[tuple[int, str]]):
        self.value, self.default, self.cases = value, default, cases

    def __str__(self) -> str:
        rows = " ".join(f"{self.value.type} {int(number)}, label %{label}" for number, label in self.cases)
        return f"  switch {self.value}, label %{self.default} [ {rows} ]"
