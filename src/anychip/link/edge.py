"""The robot's side of the link as a state machine: no socket, no thread, no clock of its own.

Flows in: what happened to the connection, frames, and control ticks with an observation, each with the time
in nanoseconds of the robot's monotonic clock. Flows out: a command for every tick, frames to send, and
whether a connection is to be opened or thrown away. Whoever owns a socket calls it, and so does the
simulation."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from . import frames
from .actions import Action, ActionBuffer, Unusable
from .errors import FrameError, LinkError
from .frames import Actions, Array, Bye, Challenge, Hello, Missed, Observation, Ping, Pong, Welcome
from .handshake import Terms, hello, is_proved
from .ladder import Command, Ladder, Limits, LocalPolicy
from .liveness import Backoff, Liveness
from .stop import StopMotion

MILLISECOND = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """How the robot's side behaves; times in nanoseconds. `chunk` and `values`: actions of a chunk at most,
    and numbers of each. `every`: ticks from one observation to the next. `dead_after`: silence after which a
    connection is dead; `handshake`: how long it may take to agree; `connect_shortest` and `connect_longest`:
    waits between attempts. `answer_within`: when an answer is wanted after its observation (0: so early that
    an action of it can be executed before it expires, and before the chunk ends). `largest_frame` in
    bytes."""

    robot: str
    chunk: int
    values: int
    every: int = 1
    answer_within: int = 0
    dead_after: int = 250 * MILLISECOND
    handshake: int = 2 * SECOND
    connect_shortest: int = 20 * MILLISECOND
    connect_longest: int = 2 * SECOND
    largest_frame: int = 1 << 20
    token: bytes = b""

    def __post_init__(self) -> None:
        if (
            min(self.chunk, self.values, self.every, self.dead_after, self.handshake, self.connect_shortest)
            < 1
        ):
            raise LinkError("chunk, values, every and times of the robot's side must be positive")


class Phase(Enum):
    """Where a connection stands."""

    APART = "apart"
    GREETING = "greeting"
    JOINED = "joined"


class EdgeMachine:
    """The robot's side. `clock_start`: the time at which it is made; `random` draws the waits between
    attempts. `draw(n)`: random bytes for the handshake."""

    def __init__(
        self,
        terms: Terms,
        settings: EdgeSettings,
        limits: Limits,
        stop: StopMotion,
        *,
        clock_start: int,
        local: LocalPolicy | None = None,
        random: Random | None = None,
        draw: Callable[[int], bytes] = os.urandom,
    ):
        self.terms, self.settings, self.limits = terms, settings, limits
        self.period = round(SECOND / terms.hz)
        self.actions = ActionBuffer(settings.chunk, settings.values, limits.max_age)
        self.ladder = Ladder(limits, stop, self.period, local)
        self.counts: Counter[str] = Counter()
        self.phase = Phase.APART
        self.why_apart = "not connected yet"
        self.round_trips: deque[tuple[int, int, int]] = deque(maxlen=64)
        """(nanoseconds from observation to answer, of these queued, of these computed), of the last
        answers."""
        self._ways: deque[int] = deque(maxlen=16)
        self._draw = draw
        self._backoff = Backoff(
            settings.connect_shortest, settings.connect_longest, random or Random(draw(8))
        )
        self._outgoing: list[bytes] = []
        self._observation: bytes | None = None
        self._now = clock_start
        self._shift = 0
        self._connect_at: int | None = clock_start
        self._opened_at = clock_start
        self._liveness = Liveness(settings.dead_after, clock_start)
        self._challenge = b""
        self._hello: Hello | None = None
        self._refused = False
        self._throw_away = False

    # --- what happens to the connection ----------------------------------------------------------------
    def wants_connection(self, now: int) -> bool:
        """Whether it is time to open a connection; say `opened` or `failed` once it is known."""
        now = self._advance(now)
        if self.phase is Phase.APART and self._connect_at is not None and now >= self._connect_at:
            self._connect_at = None
            return True
        return False

    def opened(self, now: int) -> None:
        """A new connection is open. Frames of earlier ones must not be passed in any more."""
        now = self._advance(now)
        self._start_anew()
        self.phase = Phase.GREETING
        self._opened_at = now
        self._liveness = Liveness(self.settings.dead_after, now)

    def failed(self, now: int, cause: str, *, refused: bool = False) -> None:
        """No connection could be opened, or the one that was is gone. What was asked on it will not be
        answered: it is never asked again."""
        now = self._advance(now)
        if self.phase is not Phase.APART:
            self.counts["connections lost"] += 1
        self._start_anew()
        self.phase = Phase.APART
        self.why_apart = cause
        self._connect_at = now + self._backoff.failed(refused=refused or self._refused)
        self._refused = False

    def received(self, frame: Any, now: int) -> None:
        """A frame has come on the present connection."""
        now = self._advance(now)
        if self.phase is Phase.APART or self._throw_away:
            return
        limit = self.settings.largest_frame if self.phase is Phase.JOINED else frames.MAX_HELLO_BYTES
        try:
            message = frames.decode(frame, limit=limit)
        except FrameError as error:
            self._drop(str(error), "rubbish")
            return
        self._liveness.heard(now)
        handler = _HANDLERS.get((self.phase, type(message)))
        if handler is None:
            self._drop(f"a {type(message).__name__} came out of turn", "rubbish")
            return
        handler(self, message, now)

    def check(self, now: int) -> bool:
        """Look at the time: True where the connection must be thrown away, without waiting for the peer; then
        say `failed` with `why_apart`."""
        return self._check(self._advance(now))

    def _check(self, now: int) -> bool:
        if self.phase is Phase.APART:
            return False
        if self.phase is Phase.GREETING and now - self._opened_at >= self.settings.handshake:
            self._drop("the handshake took too long", "handshakes too slow")
        elif self._liveness.is_dead(now):
            self._drop("the server is silent", "half-open found")
        elif self.phase is Phase.JOINED:
            number = self._liveness.ping(now)
            if number is not None:
                self._send(Ping(number))
        return self._throw_away

    def outgoing(self) -> list[bytes]:
        """Frames to send now, in order: of observations only the newest, so that a slow network carries no
        old ones. What is not sent before the connection is lost is never sent."""
        made, self._outgoing = self._outgoing, []
        if self._observation is not None:
            made.append(self._observation)
            self._observation = None
        return made

    # --- control ---------------------------------------------------------------------------------------
    def tick(
        self,
        tick: int,
        now: int,
        tensors: Mapping[str, Array] | None,
        measured: Array,
        observation: Any = None,
    ) -> Command:
        """One control tick, numbered by the period (a missed one leaves a gap): `tensors` are sent to the
        server if it is their turn, `measured` is the robot's position, and `observation` is for the policy on
        the robot. Returns the command to carry out now."""
        now = self._advance(now)
        self._check(now)
        if (
            self.phase is Phase.JOINED
            and not self._throw_away
            and tensors is not None
            and tick % self.settings.every == 0
        ):
            self._ask(tick, now, tensors)
        newest = self.actions.newest(now)
        action = self.actions.take(tick, now) if self.ladder.may_execute(newest) else Unusable.NONE
        return self._chosen(tick, now, action, measured, observation)

    def confirm(self, command: Command, now: int, measured: Array, observation: Any = None) -> Command:
        """Look at the clock a last time, right before a command is carried out: the command, or what takes
        its place where its action has expired since `tick`, such as in a process that was kept from
        running."""
        now = self._advance(now)
        if not command.sequence or now < command.expires_at:
            return command
        self.counts["expired before it was carried out"] += 1
        self.counts["executed"] -= 1
        self.counts[f"rung {command.rung.name.lower()}"] -= 1
        self.ladder.take_back()
        return self._chosen(command.tick, now, Unusable.EXPIRED, measured, observation)

    def restart(self) -> None:
        """After a stop: fresh actions may move the robot again."""
        self.ladder.restart()

    # --- inside ----------------------------------------------------------------------------------------
    def _chosen(
        self, tick: int, now: int, action: Action | Unusable, measured: Array, observation: Any
    ) -> Command:
        command = self.ladder.choose(tick, now, action, observation, measured)
        self.counts[f"rung {command.rung.name.lower()}"] += 1
        if command.sequence:
            self.counts["executed"] += 1
        return command

    def _ask(self, tick: int, now: int, tensors: Mapping[str, Array]) -> None:
        sequence, expires_at = self.actions.asked(tick, now)
        if self._observation is not None:
            self.counts["never sent"] += 1
        self._observation = frames.encode(
            Observation(sequence, tick, now, expires_at, self._slack(), tensors)
        )
        self.counts["asked"] += 1

    def _slack(self) -> int:
        """What the server has for waiting and computing: until an answer is wanted, less the way there and
        back as it was of late; a quarter at least, so that a bad time is not taken for the rule."""
        way = max(self._ways, default=0)
        useful = min(self.limits.max_age, self.settings.chunk * self.period) - self.period
        wanted = max(self.settings.answer_within or useful, 0)
        return max(wanted - way, wanted // 4)

    def _challenged(self, message: Challenge, now: int) -> None:
        if self._hello is not None:
            self._drop("a second challenge came", "rubbish")
            return
        self._challenge = message.nonce
        nonce = self._draw(frames.NONCE_BYTES)
        self._hello = hello(self.terms, self.settings.robot, self.settings.token, message.nonce, nonce)
        self._send(self._hello)

    def _welcomed(self, message: Welcome, now: int) -> None:
        if self._hello is None or not is_proved(
            "server", self.settings.token, self._challenge, self._hello, message.proof
        ):
            self._refused = True
            self._drop("the server does not have the token", "servers without token")
            return
        self.phase = Phase.JOINED
        self.why_apart = ""
        self.counts["joined"] += 1
        self._ways.clear()
        self._backoff.succeeded()

    def _answered(self, message: Actions, now: int) -> None:
        refused = self.actions.offer(message, now)
        if refused is not None:
            self.counts[f"refused: {refused}"] += 1
            return
        self.counts["answers used"] += 1
        total = now - message.observed_at
        self.round_trips.append((total, message.queued, message.computed))
        self._ways.append(total - message.queued - message.computed)

    def _was_missed(self, message: Missed, now: int) -> None:
        self.counts["missed by the server"] += 1

    def _pinged(self, message: Ping, now: int) -> None:
        self._send(Pong(message.number))

    def _ponged(self, message: Pong, now: int) -> None:
        pass

    def _left(self, message: Bye, now: int) -> None:
        self._refused = self.phase is Phase.GREETING
        self._drop(f"the server said: {message.reason}", "refused" if self._refused else "goodbyes")

    def _drop(self, cause: str, count: str) -> None:
        """The connection is of no use any more; `check` says so."""
        if not self._throw_away:
            self.counts[count] += 1
            self.why_apart = cause
        self._throw_away = True
        self._outgoing.clear()
        self._observation = None
        self.actions.forget_questions()

    def _start_anew(self) -> None:
        self._outgoing.clear()
        self._observation = None
        self.actions.forget_questions()
        self._throw_away = False
        self._challenge, self._hello = b"", None

    def _send(self, message: frames.Message) -> None:
        self._outgoing.append(frames.encode(message))

    def _advance(self, now: int) -> int:
        """The time, which does not go backwards here. A clock that does is broken: nothing that was timed by
        it before is executed any more, and time goes on from where it was."""
        now += self._shift
        if now < self._now:
            self._shift += self._now - now
            now = self._now
            self.counts["clock went backwards"] += 1
            self.actions.forget_all()
            self._drop("the clock went backwards", "connections given up")
        self._now = now
        return now


_HANDLERS: dict[tuple[Phase, type[Any]], Callable[[EdgeMachine, Any, int], None]] = {
    (Phase.GREETING, Challenge): EdgeMachine._challenged,
    (Phase.GREETING, Welcome): EdgeMachine._welcomed,
    (Phase.GREETING, Bye): EdgeMachine._left,
    (Phase.JOINED, Actions): EdgeMachine._answered,
    (Phase.JOINED, Missed): EdgeMachine._was_missed,
    (Phase.JOINED, Ping): EdgeMachine._pinged,
    (Phase.JOINED, Pong): EdgeMachine._ponged,
    (Phase.JOINED, Bye): EdgeMachine._left,
}
"""What may come in which phase; anything else is rubbish."""
