"""Real connections over loopback: what the library for WebSockets would do by itself does not decide
anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")
pytest.importorskip("websockets")

from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

from anychip.link import frames  # noqa: E402
from anychip.link.addresses import client_tls, read_token, require_safe, server_tls  # noqa: E402
from anychip.link.client import Client  # noqa: E402
from anychip.link.edge import EdgeSettings  # noqa: E402
from anychip.link.errors import LinkError  # noqa: E402
from anychip.link.handshake import Terms  # noqa: E402
from anychip.link.ladder import Command, Limits, Rung  # noqa: E402
from anychip.link.peer import Peer  # noqa: E402
from anychip.link.server import Server  # noqa: E402
from anychip.link.serving import ServeSettings  # noqa: E402
from anychip.link.stop import JerkLimitedStop  # noqa: E402

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
TERMS = Terms("a" * 64, "b" * 64, 50.0)
TOKEN = b"a token for these tests"
EXPECTS = (("state", "float64", (2,)),)
LIMITS = Limits(5 * SECOND, SECOND, 0, 0, restart=True, settle=1)


def answer(tensors: dict[str, Any]) -> Any:
    return np.repeat(tensors["state"][:, None, :], 8, axis=1).astype(np.float32)


@contextmanager
def serving(tls: Any = None, port: int = 0, kind: type[Server] = Server, **settings: Any) -> Iterator[Server]:
    """A server on a thread of its own."""
    made = kind(answer, TERMS, ServeSettings(EXPECTS, TOKEN, **settings), tls=tls, port=port)
    ready, ended = threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        task = asyncio.create_task(made.run(ready.set))
        while not ended.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(30)
    try:
        yield made
    finally:
        ended.set()
        thread.join(30)
        loop.close()


def client(port: int, *, scheme: str = "ws", tls: Any = None, token: bytes = TOKEN, **changes: Any) -> Client:
    settings = EdgeSettings("r1", 8, 2, token=token, connect_longest=100 * MILLISECOND, **changes)
    return Client(f"{scheme}://localhost:{port}" if tls else f"{scheme}://127.0.0.1:{port}", TERMS, settings,
                  LIMITS, JerkLimitedStop(1e3, 1e2), tls=tls)  # fmt: skip


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds, for as long as a busy machine may take."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def step(robot: Client) -> Command:
    return robot.step({"state": np.array([3.0, 4.0])}, np.zeros(2))


def test_a_robot_moves_over_loopback_and_again_after_the_server_was_killed() -> None:
    with serving() as first, client(first.port) as robot:
        until(lambda: step(robot).rung is Rung.CHUNK)
        assert step(robot).values.tolist() in ([3.0, 4.0], [0.0, 0.0])
        port = first.port
        used = robot.counts["answers used"]
        until(lambda: (step(robot), robot.counts["answers used"] > used)[1])
        # Ended while the robot is joined:
        first_joined = robot.counts["joined"]
    assert first_joined == 1
    with client(port) as robot:
        until(lambda: "no connection" in robot.why_apart)
        with serving(port=port):
            until(lambda: step(robot).rung is Rung.CHUNK)
        until(lambda: (step(robot), not robot.joined)[1])
        with serving(port=port):
            until(lambda: (step(robot), robot.counts["joined"] == 2)[1])


@pytest.mark.parametrize(("expected", "on_its_own"), [(0, True), (20 * MILLISECOND, True), (1000, False)])
def test_what_is_known_to_be_quick_is_computed_at_once(
    monkeypatch: pytest.MonkeyPatch, expected: int, on_its_own: bool
) -> None:
    """Of a batch of which nothing is known yet, nothing is known to be quick."""
    threads: list[str] = []

    class Watched(Server):
        def _computed(self, work: Any) -> Any:
            threads.append(threading.current_thread().name)
            return super()._computed(work)

    with serving(kind=Watched) as server, client(server.port) as robot:
        monkeypatch.setattr(server.machine.scheduler.times, "expected", lambda size: expected)
        until(lambda: (step(robot), len(threads) >= 3)[1])
    assert {name.startswith("anychip link") for name in threads} == {on_its_own}


def test_reasons_travel_as_frames() -> None:
    """A connection that breaks is 1006 to the library, whatever the other side wanted to say by a close."""
    with serving() as server:
        with client(server.port) as robot:
            until(lambda: robot.joined)
            server.machine.peers[1].drop("for a reason")
            until(lambda: robot.counts.get("goodbyes") == 1)

        async def stranger() -> list[bytes]:
            got = []
            async with connect(f"ws://127.0.0.1:{server.port}", ping_interval=None) as connection:
                await connection.send(b"rubbish")
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        got.append(await connection.recv())
                return got

        got = asyncio.run(stranger())
        bye = frames.decode(got[-1])
        assert isinstance(bye, frames.Bye)
        assert "no msgpack" in bye.reason or "no message" in bye.reason


def test_a_wrong_token_is_refused_and_others_are_served() -> None:
    with serving() as server, client(server.port) as good, client(server.port, token=bytes(32)) as bad:
        until(lambda: good.joined)
        until(lambda: bad.counts.get("refused", 0) >= 2)
        assert not bad.counts.get("joined")
        until(lambda: step(good).rung is Rung.CHUNK)


@contextmanager
def listening(reply: bytes) -> Iterator[tuple[int, list[int]]]:
    """A listener that answers every connection with bytes, or says nothing at all; how many came."""
    came: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as own:
        own.settimeout(0.05)
        ended = threading.Event()

        def run() -> None:
            held = []
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = own.accept()
                    came.append(1)
                    held.append(connection)
                    if reply:
                        connection.recv(4096)
                        connection.sendall(reply)
                        connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield own.getsockname()[1], came
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests", "503 Service Unavailable"])
def test_a_robot_goes_on_trying_where_the_library_would_give_up(status: str) -> None:
    reply = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with listening(reply) as (port, came), client(port) as robot:
        until(lambda: len(came) >= 4)
        assert not robot.joined
        assert step(robot).rung is Rung.STOP


def test_a_listener_that_never_answers_is_left_in_time() -> None:
    with listening(b"") as (port, came), client(port, handshake=100 * MILLISECOND) as robot:
        until(lambda: len(came) >= 3)
        assert step(robot).rung is Rung.STOP


def test_a_dead_peer_is_found_by_silence_not_by_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's process lives and its connection stands, but nothing is said: no close, no reset."""
    with (
        serving(dead_after=60 * SECOND) as server,
        client(server.port, dead_after=150 * MILLISECOND) as robot,
    ):
        until(lambda: step(robot).rung is Rung.CHUNK)
        monkeypatch.setattr(Peer, "outgoing", lambda self: [])
        until(lambda: (step(robot), robot.counts.get("half-open found", 0) >= 1)[1])


def test_a_reader_that_does_not_keep_up_executes_nothing_old() -> None:
    """Frames that were sent may be lost with a reader's queue, or come late: the robot acts on neither."""
    with serving() as server, client(server.port) as robot:
        until(lambda: step(robot).rung is Rung.CHUNK)
        with robot._lock:  # the reader stands still
            asked = robot.machine.counts["asked"]
            time.sleep(0.3)
        until(lambda: (step(robot), robot.counts["asked"] > asked + 5)[1])
        taken = [step(robot) for _ in range(5)]
        assert all(command.age < LIMITS.max_age for command in taken)
        assert len({(command.sequence, command.index) for command in taken if command.sequence}) == sum(
            bool(command.sequence) for command in taken
        )


def test_hostile_peers_are_refused_and_others_served() -> None:
    """Malformed and oversized frames, wrong proofs, frames out of turn, over real connections."""
    random = Random(7)
    hello = frames.Hello(1, "r1", "a" * 64, "b" * 64, 50.0, 0, bytes(16), bytes(32))
    with serving() as server, client(server.port) as robot:
        until(lambda: robot.joined)

        async def attack() -> None:
            for number in range(120):
                with contextlib.suppress(ConnectionClosed, OSError):
                    async with connect(
                        f"ws://127.0.0.1:{server.port}", ping_interval=None, compression=None
                    ) as connection:
                        kind = number % 4
                        if kind == 0:
                            await connection.send(random.randbytes(random.randrange(200)))
                        elif kind == 1:
                            await connection.send(frames.encode(hello))
                        elif kind == 2:
                            await connection.send(bytes(2 << 20 if number % 16 == 2 else 6000))
                        else:
                            await connection.send("text")
                        while True:
                            await connection.recv()

        asyncio.run(attack())
        until(lambda: len(server.machine.peers) == 1)
        assert server.machine.counts["joined"] == robot.counts["joined"]
        until(lambda: step(robot).rung is Rung.CHUNK)


def test_tls_and_who_is_let_in(tmp_path: Path) -> None:
    crypto = pytest.importorskip("cryptography")
    assert crypto
    certificate, key = certified(tmp_path)
    with serving(tls=server_tls(certificate, key)) as server:
        url = f"wss://localhost:{server.port}"
        with client(server.port, scheme="wss", tls=client_tls(url, certificate)) as robot:
            until(lambda: step(robot).rung is Rung.CHUNK)
        with client(server.port, scheme="wss", tls=client_tls(url, None)) as robot:
            until(lambda: "certificate verify failed" in robot.why_apart)
        with client(server.port) as robot:
            until(lambda: "no connection" in robot.why_apart)


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "certificate.pem", folder / "key.pem"


@pytest.mark.parametrize(
    ("host", "token", "encrypted", "plain", "said"),
    [
        ("0.0.0.0", b"", True, False, "there is no token"),
        ("robot.example", b"x" * 16, False, False, "in the open"),
        ("127.0.0.1", b"short", False, False, "can be guessed"),
        ("192.0.2.1", b"", False, True, "there is no token"),
    ],
)
def test_addresses_that_are_not_safe(
    host: str, token: bytes, encrypted: bool, plain: bool, said: str
) -> None:
    with pytest.raises(LinkError, match=said):
        require_safe(host, token, encrypted, plain=plain)


def test_addresses_that_are() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1"):
        require_safe(host, b"", False, plain=False)
    require_safe("192.0.2.1", b"x" * 16, True, plain=False)
    require_safe("192.0.2.1", b"x" * 16, False, plain=True)


def test_tokens_and_addresses_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LinkError, match="cannot be read"):
        read_token(tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(LinkError, match="is empty"):
        read_token(tmp_path / "empty")
    (tmp_path / "token").write_text("secret secret secret\n")
    assert read_token(tmp_path / "token") == b"secret secret secret"
    monkeypatch.setenv("ANYCHIP_LINK_TOKEN", "of the environment")
    assert read_token(None) == b"of the environment"
    for url in ("http://localhost:1", "ws://localhost", "ws://localhost:x"):
        with pytest.raises(LinkError, match="no address of a server"):
            client_tls(url, None)


def test_zenoh_carries_the_same_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves, finds a silent server, comes back; another robot's slow callback stalls nobody, as each machine
    has a session to itself."""
    zenoh = pytest.importorskip("zenoh")
    assert zenoh
    from anychip.link.over_zenoh import PREFIX, ZenohServer, session

    silent = 300 * MILLISECOND
    with serving(kind=ZenohServer) as server:
        stalled = session(connect=f"tcp/127.0.0.1:{server.port}")
        held = stalled.declare_subscriber(f"{PREFIX}/**", lambda sample: time.sleep(0.05))
        with client(server.port, scheme="zenoh", dead_after=silent) as robot:
            until(lambda: step(robot).rung is Rung.CHUNK)
            outgoing = Peer.outgoing
            monkeypatch.setattr(Peer, "outgoing", lambda self: [])
            until(lambda: (step(robot), robot.counts.get("half-open found", 0) >= 1)[1])
            monkeypatch.setattr(Peer, "outgoing", outgoing)
            joined = robot.counts["joined"]
            until(lambda: (step(robot), robot.counts["joined"] > joined)[1])
        held.undeclare()
        stalled.close()
        until(lambda: not server.machine.peers)
