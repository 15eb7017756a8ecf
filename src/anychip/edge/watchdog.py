"""A dead man's watchdog in the library itself: two functions that a program and a timer call.

The program that gives input calls `feed` whenever it has a command that may be carried out; whatever drives
the motors, such as a timer's interrupt, calls `tick` at its period. After `limit` ticks without a feed,
`tick` says stop, and goes on saying so until `reset`, whatever is fed. Both may run at the same time: each
word is written by one of them alone, so that no lock and no instruction for exchanges is needed."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from ..compiler.llvm.flow import Flow
from ..compiler.llvm.routine import C_INT, Definition, Parameter, Routine, routine
from ..compiler.llvm.scalar import Ordering
from ..compiler.llvm.struct import Fields, Struct
from ..compiler.llvm.types import I32, PTR, Val
from .context import Status

_Function = Callable[..., Definition]

ENTRY_POINTS = ("watchdog_init", "watchdog_feed", "watchdog_tick", "watchdog_reset")

WATCHDOG = Struct(
    "watchdog",
    "A watchdog. `fed` is written by the program, the others by whoever ticks.",
    limit=I32,
    fed=I32,
    seen=I32,
    idle=I32,
    state=I32,
)


class State(IntEnum):
    """What `tick` returns."""

    WAITING = 0
    RUNNING = 1
    STOP = 2


def functions(name: str) -> list[Routine]:
    """The functions of a library of that name."""

    def function(suffix: str, result: Parameter, **parameters: Parameter) -> Definition:
        return routine(f"{name}_{suffix}", result, linkage="", attributes="nounwind", **parameters)

    return [_init(function), _feed(function), _tick(function), _reset(function)]


def _clear(watchdog: Fields) -> None:
    """As it begins: what was fed before does not count."""
    watchdog.store_all(seen=watchdog.atomic_load("fed", Ordering.ACQUIRE), idle=0, state=State.WAITING)


def _init(function: _Function) -> Routine:
    @function("watchdog_init", C_INT, watchdog=PTR, limit=C_INT)
    def init(f: Flow, at: Val, limit: Val) -> int:
        with f.if_(f.or_(f.eq(at, 0), f.slt(limit, 1))):
            f.return_(Status.NULL_ARGUMENT)
        watchdog = WATCHDOG.at(f, at)
        watchdog.store_all(limit=limit, fed=0)
        _clear(watchdog)
        return Status.OK

    return init


def _feed(function: _Function) -> Routine:
    @function("watchdog_feed", C_INT, watchdog=PTR)
    def feed(f: Flow, at: Val) -> int:
        with f.if_(f.eq(at, 0)):
            f.return_(Status.NULL_ARGUMENT)
        watchdog = WATCHDOG.at(f, at)
        watchdog.atomic_store("fed", f.add(watchdog.atomic_load("fed"), 1), Ordering.RELEASE)
        return Status.OK

    return feed


def _tick(function: _Function) -> Routine:
    @function("watchdog_tick", C_INT, watchdog=PTR)
    def tick(f: Flow, at: Val) -> Val:
        with f.if_(f.eq(at, 0)):
            f.return_(State.STOP)
        watchdog = WATCHDOG.at(f, at)
        state = watchdog.load("state")
        with f.if_(f.eq(state, State.STOP)):
            f.return_(State.STOP)
        fed = watchdog.atomic_load("fed", Ordering.ACQUIRE)
        with f.if_(f.ne(fed, watchdog.load("seen"))):
            watchdog.store_all(seen=fed, idle=0, state=State.RUNNING)
            f.return_(State.RUNNING)
        with f.if_(f.eq(state, State.WAITING)):
            f.return_(State.WAITING)
        idle = f.add(watchdog.load("idle"), 1)
        watchdog.store("idle", idle)
        with f.if_(f.ult(idle, watchdog.load("limit"))):
            f.return_(State.RUNNING)
        watchdog.store("state", State.STOP)
        return f.int(State.STOP, I32)

    return tick


def _reset(function: _Function) -> Routine:
    @function("watchdog_reset", C_INT, watchdog=PTR)
    def reset(f: Flow, at: Val) -> int:
        with f.if_(f.eq(at, 0)):
            f.return_(Status.NULL_ARGUMENT)
        _clear(WATCHDOG.at(f, at))
        return Status.OK

    return reset


def header(name: str) -> str:
    """What the library's header says of them."""
    upper = name.upper()
    states = "".join(f"    {upper}_WATCHDOG_{state.name} = {int(state)},\n" for state in State)
    return f"""
/* A dead man's watchdog: stops whatever is driven when the program that feeds it stalls.

   The program calls {name}_watchdog_feed whenever it has a command that may be carried out. What drives the
   motors (a timer's interrupt, another core) calls {name}_watchdog_tick once a period, and stops them, in a
   controlled way, when that returns {upper}_WATCHDOG_STOP: at the `limit`-th tick in a row without a feed,
   and at every tick after it until {name}_watchdog_reset. Before the first feed it is WAITING, and nothing
   should be driven. Feeding and ticking may happen at the same time; neither waits, allocates or calls
   anything.

   What it does not cover: a timer that does not tick, a chip that stands still or is wrong, a program that
   feeds without a command that makes sense, and the way from the stop to the motors. It claims no functional
   safety. */
enum {{
{states}}};

typedef struct {name}_watchdog {{
    int32_t limit;
    int32_t fed;
    int32_t seen;
    int32_t idle;
    int32_t state;
}} {name}_watchdog;

/* Also starts anew. `limit` is 1 or more. Not while others feed or tick. */
int {name}_watchdog_init({name}_watchdog *watchdog, int32_t limit);
int {name}_watchdog_feed({name}_watchdog *watchdog);
int {name}_watchdog_tick({name}_watchdog *watchdog);
/* After a stop: WAITING again. By whoever ticks. */
int {name}_watchdog_reset({name}_watchdog *watchdog);
"""
