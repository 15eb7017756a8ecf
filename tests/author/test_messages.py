"""What the judge takes from a confined process: messages of JSON, and descriptions of memory that it has
given."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anychip.author.arena import DTYPES, Arena, View, shared_memory
from anychip.author.errors import ProcessEnded
from anychip.author.messages import LONGEST, Channel
from anychip.author.processes.values import decoded, encoded


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def test_messages_arrive(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    channel.send({"do": "call", "number": 1})
    assert Channel(other).receive(1.0) == {"do": "call", "number": 1}


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I", LONGEST + 1),
        struct.pack("<I", 3) + b"abc",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 100_000) + b"[" * 100_000,
        struct.pack("<I", 4) + b"\xff\xfe\xfd\xfc",
    ],
    ids=["long", "text", "list", "deep", "bytes"],
)
def test_what_is_no_message_ends_it(ends: tuple[Channel, socket.socket], data: bytes) -> None:
    channel, other = ends
    other.sendall(data)
    with pytest.raises(ProcessEnded):
        channel.receive(1.0)


def test_silence_and_absence_are_told(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    with pytest.raises(ProcessEnded, match="too long"):
        channel.receive(0.01)
    other.close()
    with pytest.raises(ProcessEnded):
        channel.receive(1.0)


numbers = st.one_of(st.integers(-4, 600), st.integers(), st.floats(), st.none(), st.text(max_size=3))
VIEWS = st.fixed_dictionaries(
    {name: st.one_of(numbers, st.integers(0, 512)) for name in ("offset", "start", "size")}
    | {
        name: st.one_of(st.lists(st.one_of(st.integers(0, 40), numbers), max_size=3), numbers)
        for name in ("shape", "stride")
    }
    | {"dtype": st.one_of(st.sampled_from(sorted(DTYPES)), numbers)}
)


@given(VIEWS)
def test_a_view_lies_in_the_arena_or_is_refused(data: dict[str, object]) -> None:
    try:
        view = View.from_json(data, 512)
    except ValueError:
        return
    assert 0 <= view.start <= view.offset
    assert view.offset + view.extent <= view.start + view.size <= 512


def test_values_come_back() -> None:
    memory = shared_memory(1 << 16)
    arena = Arena(memory, 1 << 16)
    x = torch.arange(6.0).reshape(2, 3)
    view = View(128, torch.float32, (2, 3), (3, 1), 128, 24)
    given = (([x, 3], {"eps": float("-inf"), "flag": True}), (None, "text", torch.bfloat16))

    def put(value: torch.Tensor) -> View:
        arena.tensor(view).copy_(value)
        return view

    tree = encoded(given, put)
    (tensor, three), keywords = decoded(tree, arena.tensor, arena.size)[0]
    assert torch.equal(tensor, x)
    assert tensor.data_ptr() == arena.address + 128
    assert (three, keywords) == (3, {"eps": float("-inf"), "flag": True})
    assert decoded(tree, arena.tensor, arena.size)[1] == (None, "text", torch.bfloat16)
    with pytest.raises(TypeError, match="cannot be given"):
        encoded(object(), put)
