"""The two state machines with each other: handshake, promises, ladder, half-open connections,
reconnecting."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")

from tests.link.machines import LIMITS, MILLISECOND, PERIOD, TERMS, Pair, server  # noqa: E402

from anychip.link import frames  # noqa: E402
from anychip.link.edge import Phase  # noqa: E402
from anychip.link.errors import LinkError  # noqa: E402
from anychip.link.frames import Actions, Hello, Ping  # noqa: E402
from anychip.link.handshake import statistics_hash  # noqa: E402
from anychip.link.ladder import Limits, Rung  # noqa: E402
from anychip.link.liveness import Backoff  # noqa: E402


def test_a_chunk_is_executed_from_the_first_answer_on() -> None:
    pair = Pair()
    pair.connect()
    pair.exchange()
    assert pair.edge.phase is Phase.JOINED
    assert pair.tick().rung is Rung.STOP  # nothing has come yet
    commands = [pair.tick() for _ in range(5)]
    assert [command.rung for command in commands] == [Rung.CHUNK] * 5
    # Each observation is answered before the next tick, so the second action of each chunk is due: tick - 1,
    # + 1.
    assert [command.values[0] for command in commands] == [1, 2, 3, 4, 5]
    assert [(command.sequence, command.index) for command in commands] == [(k, 1) for k in range(1, 6)]
    assert all(command.age == PERIOD for command in commands)


def test_the_servers_clock_does_not_matter() -> None:
    for ahead in (-(10**12) + 5, 0, 10**17):
        assert Pair(ahead=ahead).running().tick().rung is Rung.CHUNK


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy": "c" * 64}, "hash of the policy"),
        ({"statistics": "c" * 64}, "normalisation statistics"),
        ({"hz": 49.0}, "control rate"),
        ({"version": 2}, "version of the protocol"),
        ({"stages": 1}, "stages on the robot"),
    ],
)
def test_a_handshake_names_what_differs(change: dict[str, Any], said: str) -> None:
    pair = Pair(terms=replace(TERMS, **change))
    pair.connect()
    pair.exchange()
    assert pair.server.to_close(pair.now + pair.ahead) == [1]
    assert pair.edge.check(pair.now)
    assert said in pair.edge.why_apart
    assert pair.edge.phase is not Phase.JOINED


def test_statistics_are_the_same_in_any_order_and_differ_by_a_bit() -> None:
    one = statistics_hash({"mean": np.zeros(3), "std": {"a": np.ones(2), "b": 1.0}})
    assert one == statistics_hash({"std": {"b": 1.0, "a": np.ones(2)}, "mean": [0, 0, 0]})
    assert one != statistics_hash({"mean": np.zeros(3), "std": {"a": np.ones(2), "b": np.nextafter(1.0, 2)}})
    assert statistics_hash({"a": np.zeros((2, 3))}) != statistics_hash({"a": np.zeros((3, 2))})


def test_a_wrong_token_is_refused_by_both() -> None:
    pair = Pair(token=b"another token of sixteen")
    pair.connect()
    pair.exchange()
    assert pair.edge.check(pair.now)
    assert "token is wrong" in pair.edge.why_apart
    assert not pair.server.peers[1].joined
    # A server without the token greets a robot that has it: the robot does not obey.
    pair = Pair()
    pair.server = server(token=b"another token of sixteen")
    pair.server.settings = replace(pair.server.settings, token=b"another token of sixteen")
    pair.connect()
    challenge = pair.server.outgoing(1)
    pair.edge.received(challenge[0], pair.now)
    pair.edge.received(frames.encode(frames.Welcome(bytes(32))), pair.now)
    assert pair.edge.check(pair.now)
    assert pair.edge.why_apart == "the server does not have the token"


def test_a_recorded_hello_opens_no_other_connection() -> None:
    pair = Pair()
    pair.connect()
    pair.edge.received(pair.server.outgoing(1)[0], pair.now)
    (recorded,) = pair.edge.outgoing()
    assert isinstance(frames.decode(recorded), Hello)
    pair.server.received(1, recorded, pair.now)
    assert pair.server.peers[1].joined
    pair.server.opened(2, pair.now)
    pair.server.received(2, recorded, pair.now)
    assert not pair.server.peers[2].joined
    assert "not for this connection" in pair.server.peers[2].dropped
    pair.server.received(1, recorded, pair.now)  # a second one on the same connection
    assert "out of turn" in pair.server.peers[1].dropped


def test_rubbish_drops_the_peer_with_a_reason_and_nobody_else() -> None:
    pair = Pair().running()
    for number, rubbish in enumerate(
        (b"", b"GET / HTTP/1.1", "text", bytes(5000), frames.encode(Ping(1))), 100
    ):
        pair.server.opened(number, pair.now + pair.ahead)
        pair.server.outgoing(number)
        pair.server.received(number, rubbish, pair.now + pair.ahead)
        (bye,) = pair.server.outgoing(number)
        assert isinstance(frames.decode(bye), frames.Bye)
        assert number in pair.server.to_close(pair.now + pair.ahead)
        pair.server.closed(number)
    assert len(pair.server.dropped) == 5
    assert pair.tick().rung is Rung.CHUNK


def test_an_observation_of_another_shape_is_no_batch() -> None:
    pair = Pair().running()
    pair.edge.tick(pair.ticks, pair.now, {"state": np.zeros(3)}, np.zeros(2))
    pair.exchange()
    assert pair.server.peers[1].dropped.startswith("an observation of")


def test_a_peer_that_does_not_read_is_dropped() -> None:
    pair = Pair().running()
    peer = pair.server.peers[1]
    for _ in range(65):
        peer.send(frames.Pong(1))
    assert "does not read" in peer.dropped


def test_an_action_that_comes_late_is_never_executed() -> None:
    pair = Pair(dead_after=400 * MILLISECOND).running()
    late: list[bytes] = []
    for _ in range(12):  # 240 ms, longer than actions live
        pair.tick(exchange=False)
        for frame in pair.edge.outgoing():
            pair.server.received(1, frame, pair.now + pair.ahead)
        pair.compute()
        late += pair.server.outgoing(1)
    done = pair.edge.counts["executed"]
    for frame in late:
        if isinstance(frames.decode(frame), Actions):
            pair.edge.received(frame, pair.now)
            pair.edge.received(frame, pair.now)
    assert pair.edge.counts["refused: past its expiry"] > 0
    command = pair.tick(exchange=False)
    assert command.sequence == 0 or command.age < LIMITS.max_age
    assert pair.edge.counts["executed"] <= done + 1


def test_the_ladder_goes_down_in_order_and_each_step_has_a_cause() -> None:
    local = np.array([7.0, 7.0])
    pair = Pair(limits=replace(LIMITS, local=80 * MILLISECOND), local=lambda seen: local).running()
    last = pair.now  # nothing arrives from here on
    rungs = []
    stop_at = None
    for _ in range(30):
        at = pair.now
        command = pair.tick(exchange=False)
        rungs.append(command.rung)
        if command.rung is Rung.STOP and stop_at is None:
            stop_at = at
    seen = sorted(set(rungs))
    assert seen == [Rung.CHUNK, Rung.REMAINING, Rung.LOCAL, Rung.HOLD, Rung.STOP] or seen == seen[-4:]
    assert rungs == sorted(rungs)
    assert stop_at is not None
    limit = replace(LIMITS, local=80 * MILLISECOND).stop_limit
    assert stop_at - last <= limit + PERIOD
    steps = list(pair.edge.ladder.steps)
    assert all(step.cause for step in steps)
    assert [step.after for step in steps][-3:] == [Rung.LOCAL, Rung.HOLD, Rung.STOP]


def test_a_local_policy_that_fails_is_not_obeyed() -> None:
    limits = replace(LIMITS, local=80 * MILLISECOND)
    pair = Pair(limits=limits, local=lambda seen: np.array([np.nan, 0.0])).running()
    rungs = {pair.tick(exchange=False).rung for _ in range(30)}
    assert Rung.LOCAL not in rungs
    assert Rung.STOP in rungs


def test_a_stop_is_not_broken_off_and_waits_for_a_restart() -> None:
    pair = Pair().running()
    while pair.tick(exchange=False).rung is not Rung.STOP:
        pass
    pair.edge.failed(pair.now, "a test")
    pair.now += 3000 * MILLISECOND
    pair.connect()
    pair.exchange()
    assert {pair.tick().rung for _ in range(10)} == {Rung.STOP}
    pair.edge.restart()
    assert pair.tick().rung is Rung.CHUNK


def test_a_half_open_connection_is_found_in_time() -> None:
    pair = Pair().running()
    cut = pair.now
    while not pair.edge.check(pair.now):
        pair.tick(exchange=False, wait=5 * MILLISECOND)
        pair.edge.outgoing()
    assert pair.edge.why_apart == "the server is silent"
    assert pair.now - cut <= 205 * MILLISECOND
    while not pair.server.to_close(pair.now + pair.ahead):
        pair.now += 5 * MILLISECOND
    assert pair.server.peers[1].dropped == "the robot is silent"
    assert pair.now - cut <= 505 * MILLISECOND


def test_a_quiet_connection_is_kept_by_pings() -> None:
    pair = Pair().running()
    for _ in range(100):
        pair.now += 20 * MILLISECOND
        assert not pair.edge.check(pair.now)
        assert not pair.server.to_close(pair.now + pair.ahead)
        pair.exchange()


def test_nothing_is_replayed_after_a_reconnect() -> None:
    pair = Pair().running()
    pair.tick(exchange=False)
    unsent = pair.edge.actions.waiting
    assert unsent
    pair.edge.failed(pair.now, "the cable is cut")
    assert pair.edge.outgoing() == []
    assert pair.edge.actions.waiting == 0
    pair.now += 100 * MILLISECOND
    pair.connect()
    sent = pair.edge.outgoing()
    assert sent == []  # the hello waits for a challenge, and no observation was kept
    pair.exchange()
    assert pair.edge.phase is Phase.JOINED
    # An answer to a question of the old connection, however it gets here:
    old = Actions(5, 4, pair.now, pair.now + LIMITS.max_age, 0, 0, np.zeros((4, 2), np.float32))
    pair.edge.received(frames.encode(old), pair.now)
    assert pair.edge.counts["refused: answers no observation of this connection"] >= 1


def test_a_server_answers_nobody_who_has_gone() -> None:
    pair = Pair().running()
    pair.tick(exchange=False)
    for frame in pair.edge.outgoing():
        pair.server.received(1, frame, pair.now + pair.ahead)
    work = pair.server.next_work(pair.now + pair.ahead)
    assert work is not None
    pair.server.closed(1)
    pair.edge.failed(pair.now, "cut")
    pair.now += 100 * MILLISECOND
    pair.connect()
    pair.exchange()
    pair.server.finished(work, np.zeros((1, 4, 2), np.float32), pair.now + pair.ahead)
    assert pair.server.counts["answers for nobody"] == 1
    assert pair.server.outgoing(2) == []


def test_a_robot_that_connects_anew_takes_its_own_place() -> None:
    pair = Pair().running()
    pair.edge.failed(pair.now, "cut")
    pair.now += 100 * MILLISECOND
    pair.connect()
    pair.exchange()
    assert pair.server.peers[1].dropped == "the robot has connected anew"
    assert not pair.server.peers[2].dropped


@pytest.mark.parametrize("step", [-5_000, -100, 300, 5_000])
def test_a_clock_that_steps(step: int) -> None:
    """Back: nothing from before the step is executed. Ahead: what is too old by the clock is not."""
    pair = Pair(limits=replace(LIMITS, restart=True)).running()
    before = pair.edge.counts["asked"]
    pair.now += step * MILLISECOND
    commands = [pair.tick(exchange=False) for _ in range(3)]
    assert all(not command.sequence for command in commands)
    assert pair.edge.counts["clock went backwards"] == (1 if step < 0 else 0)
    if pair.edge.check(pair.now):
        pair.edge.failed(pair.now, pair.edge.why_apart)
        pair.now += 3000 * MILLISECOND
        pair.connect()
        pair.exchange()
    for _ in range(29):
        pair.tick()
    assert pair.tick().rung is Rung.CHUNK
    assert pair.edge.counts["asked"] > before


def test_waits_grow_are_spread_and_never_end() -> None:
    waits = [Backoff(10, 1000, Random(seed)).failed() for seed in range(20)]
    assert len(set(waits)) > 3
    backoff = Backoff(10, 1000, Random(1))
    grown = [backoff.failed() for _ in range(5000)]
    assert all(5 <= wait <= 1000 for wait in grown)
    assert min(grown[10:]) >= 500
    backoff.succeeded()
    assert backoff.failed() <= 10
    assert backoff.failed(refused=True) >= 500


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(LinkError, match="max_age"):
        Limits(0, 0, 0, 0)
    with pytest.raises(LinkError, match="must be positive"):
        Pair(chunk=0)
    with pytest.raises(LinkError, match="cannot be served"):
        server(largest_frame=10)


def test_an_action_that_expires_before_it_is_carried_out_is_not() -> None:
    """The process was kept from running between the decision and the drive."""
    pair = Pair().running()
    command = pair.tick(wait=0)
    assert command.sequence
    executed = pair.edge.counts["executed"]
    assert pair.edge.confirm(command, command.expires_at - 1, np.zeros(2)) is command
    late = pair.edge.confirm(command, command.expires_at, np.zeros(2))
    assert late.rung is Rung.HOLD
    assert late.sequence == 0
    assert late.cause == "past its expiry"
    assert late.values.tolist() == [command.values[0] - 1, command.values[1]]  # what was carried out before
    assert pair.edge.counts["executed"] == executed - 1
    assert pair.edge.confirm(late, late.tick + 10**13, np.zeros(2)) is late


def test_strangers_do_not_take_the_places_of_robots() -> None:
    pair = Pair().running()
    for number in range(100, 500):
        pair.server.opened(number, pair.now + pair.ahead)
    dropped = [peer for peer in pair.server.peers.values() if peer.dropped]
    assert len(dropped) == 400 - 256
    pair.now += 400 * MILLISECOND  # the handshake's time is over
    assert len(pair.server.to_close(pair.now + pair.ahead)) == 400
    for number in range(100, 500):
        pair.server.closed(number)
    assert not pair.server.peers[1].dropped
