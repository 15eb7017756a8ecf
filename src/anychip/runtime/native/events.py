"""Launches and calls written down while somebody profiles.

`STATE.events` is null otherwise, which costs a launch one comparison. Each event takes its words of the
buffer by one atomic addition, fills them, and adds them to `written`: who has put another buffer into the
state reads this one when `written` has come to `used`. No lock is taken."""

from __future__ import annotations

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I64, PTR, Val
from .job import now
from .structures import EVENT, EVENTS, FUNCTION, MEASURED, STATE, EventKind
from .system import pthread_self

HEADER_WORDS = EVENT.size // 8


def begin(f: Flow, state: Val) -> Val:
    """The time, or 0 while nobody profiles."""
    events = STATE.at(f, state).load("events", volatile=True)
    return f.choose(f.eq(events, 0), lambda: f.int(0, I64), lambda: now(f))


@routine("anychip.take_words", PTR, attributes="alwaysinline", events=PTR, words=I64)
def _take(f: Flow, events_at: Val, words: Val) -> Val:
    """Room for an event of so many words, or null; what finds none counts as lost, and as written."""
    events = EVENTS.at(f, events_at)
    first = events.atomic_add("used", words)
    with f.if_(f.ugt(f.add(first, words), events.load("capacity"))):
        events.atomic_add("lost", 1)
        events.atomic_add("written", words)
        f.return_(0)
    return f.element(I64, events.load("words"), first)


@routine(
    "anychip.note_launch",
    attributes="noinline",
    state=PTR,
    function=PTR,
    slots=PTR,
    grid_x=I64,
    grid_y=I64,
    grid_z=I64,
    begin=I64,
    measured=PTR,
)
def note_launch(
    f: Flow,
    state: Val,
    function: Val,
    slots: Val,
    grid_x: Val,
    grid_y: Val,
    grid_z: Val,
    begin: Val,
    measured_at: Val,
) -> None:
    """Write down a launch that is over and began at `begin`."""
    end, measured = now(f), MEASURED.at(f, measured_at)
    count = FUNCTION.at(f, function).load("slot_count")
    events, event = _open(f, state, f.add(count, HEADER_WORDS), EventKind.LAUNCH, function, begin, end)
    for name in ("members", "busy", "longest"):
        event.copy(name, measured)
    event.store_all(grid_x=grid_x, grid_y=grid_y, grid_z=grid_z)
    with f.counted(count) as each:
        place = f.add(each.index, HEADER_WORDS)
        f.store(f.load(I64, f.element(I64, slots, each.index)), f.element(I64, event.pointer, place))
    events.atomic_add("written", f.add(count, HEADER_WORDS))


@routine("anychip.note_call", linkage="", state=PTR, subject=PTR, begin=I64)
def note_call(f: Flow, state: Val, subject: Val, begin: Val) -> None:
    """Write down a call that is over and began at `begin`; `subject` says of what."""
    end = now(f)
    events, _ = _open(f, state, f.int(HEADER_WORDS, I64), EventKind.CALL, subject, begin, end)
    events.atomic_add("written", HEADER_WORDS)


def _open(
    f: Flow, state: Val, words: Val, kind: EventKind, subject: Val, begin: Val, end: Val
) -> tuple[Fields, Fields]:
    """The buffer and an event in it with its head filled in; returns from the function that is being written
    where nobody profiles any more, or there is no room."""
    address = STATE.at(f, state).load("events", volatile=True)
    with f.if_(f.eq(address, 0)):
        f.return_()
    event_at = _take(f, address, words)
    with f.if_(f.eq(event_at, 0)):
        f.return_()
    event = EVENT.at(f, event_at)
    event.store_all(
        words=words, kind=kind, subject=subject, begin=begin, end=end, thread=pthread_self(f), members=1
    )
    return EVENTS.at(f, address), event
