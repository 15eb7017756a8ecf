"""One connection of the server as a state machine: the handshake, what may come after it, and when a silent
peer is dead. Flows in: frames and the time (ns, the server's monotonic clock). Flows out: frames to send,
observations that are to be answered, and the reason why the peer was dropped."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import frames
from .errors import FrameError
from .frames import Actions, Bye, Challenge, Hello, Observation, Ping, Pong, Welcome
from .handshake import Terms, is_proved, proof
from .liveness import Liveness

MAX_UNSENT = 64
"""Frames that may wait for a peer that does not read."""


class Peer:
    """A robot, or whoever connected. `terms`: what the server runs; `largest_frame` in bytes; `dead_after`
    and `handshake` in nanoseconds."""

    def __init__(
        self,
        terms: Terms,
        token: bytes,
        now: int,
        *,
        dead_after: int,
        handshake: int,
        largest_frame: int,
        draw: Callable[[int], bytes] = os.urandom,
    ):
        self._terms, self._token = terms, token
        self._handshake, self._largest_frame = handshake, largest_frame
        self._liveness = Liveness(dead_after, now)
        self._opened_at = now
        self._nonce = draw(frames.NONCE_BYTES)
        self._outgoing = [frames.encode(Challenge(self._nonce))]
        self._answer: bytes | None = None
        self._last = 0
        self.robot = ""
        self.joined = False
        self.dropped = ""

    def received(self, frame: Any, now: int) -> Observation | None:
        """The observation that a frame holds, if it does. A peer that sends rubbish is dropped with a
        reason."""
        if self.dropped:
            return None
        try:
            message = frames.decode(
                frame, limit=self._largest_frame if self.joined else frames.MAX_HELLO_BYTES
            )
        except FrameError as error:
            self.drop(str(error))
            return None
        if not self.joined:
            self._greeted(message, now)
            return None
        self._liveness.heard(now)
        if isinstance(message, Observation):
            return self._observed(message)
        if isinstance(message, Ping):
            self.send(Pong(message.number))
        elif isinstance(message, Bye):
            self.drop(f"the robot said: {message.reason}", say=False)
        elif not isinstance(message, Pong):
            self.drop(f"a {type(message).__name__} came out of turn")
        return None

    def check(self, now: int) -> bool:
        """Look at the time: True where the peer is dropped, and its connection is to be closed after what
        `outgoing` still has."""
        if not self.dropped:
            if not self.joined and now - self._opened_at >= self._handshake:
                self.drop("the handshake took too long")
            elif self.joined and self._liveness.is_dead(now):
                self.drop("the robot is silent", say=False)
            elif self.joined:
                number = self._liveness.ping(now)
                if number is not None:
                    self.send(Ping(number))
        return bool(self.dropped)

    def send(self, message: frames.Message) -> None:
        """Queue a frame, unless the peer was dropped. Actions take the place of earlier ones that were not
        sent yet; a peer that does not read is dropped."""
        if self.dropped:
            return
        if isinstance(message, Actions):
            self._answer = frames.encode(message)
            return
        self._outgoing.append(frames.encode(message))
        if len(self._outgoing) > MAX_UNSENT:
            self.drop(f"{MAX_UNSENT} frames wait, and the robot does not read", say=False)

    def outgoing(self) -> list[bytes]:
        """Frames to send now, in order."""
        made, self._outgoing = self._outgoing, []
        if self._answer is not None:
            made.append(self._answer)
            self._answer = None
        return made

    def drop(self, reason: str, *, say: bool = True) -> None:
        """End the connection; `say`: tell the peer why. What waited to be sent is not sent."""
        if self.dropped:
            return
        self._outgoing, self._answer = [frames.encode(Bye(reason[:500]))] if say else [], None
        self.dropped = reason

    def _greeted(self, message: frames.Message, now: int) -> None:
        if not isinstance(message, Hello):
            self.drop(f"a {type(message).__name__} came before the handshake was done")
            return
        if not is_proved("robot", self._token, self._nonce, message, message.proof):
            self.drop("the token is wrong, or the hello is not for this connection")
            return
        differences = self._terms.differences(message)
        if differences:
            self.drop("; ".join(differences))
            return
        self.robot, self.joined = message.robot, True
        self._liveness.heard(now)
        self.send(Welcome(proof("server", self._token, self._nonce, message)))

    def _observed(self, message: Observation) -> Observation | None:
        """An observation, if it is newer than all before it: what arrives out of order is out of date."""
        if message.expires_at < message.observed_at:
            self.drop("an observation expires before it was made")
            return None
        if message.sequence <= self._last:
            return None
        self._last = message.sequence
        return message
