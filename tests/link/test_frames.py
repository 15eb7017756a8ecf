"""Frames: what is sent comes back as it was, and nothing else is ever accepted or raises anything but
FrameError."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

np = pytest.importorskip("numpy")
msgpack = pytest.importorskip("msgpack")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra.numpy import array_shapes, arrays  # noqa: E402

from anychip.link import frames  # noqa: E402
from anychip.link.errors import FrameError  # noqa: E402

TIMES = st.integers(0, (1 << 63) - 1)
ARRAYS = st.sampled_from(sorted(frames.DTYPES)).flatmap(
    lambda name: arrays(np.dtype(name), array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
MESSAGES = st.one_of(
    st.builds(frames.Challenge, st.binary(min_size=16, max_size=16)),
    st.builds(frames.Bye, st.text(max_size=80)),
    st.builds(frames.Missed, st.integers(1, 1 << 40), st.text(max_size=80)),
    st.builds(frames.Ping, TIMES),
    st.builds(frames.Pong, TIMES),
    st.builds(
        frames.Observation, st.integers(1, 1 << 40), TIMES, TIMES, TIMES, TIMES,
        st.dictionaries(st.text(max_size=12), ARRAYS, max_size=3),
    ),
    st.builds(frames.Actions, st.integers(1, 1 << 40), TIMES, TIMES, TIMES, TIMES, TIMES, ARRAYS),
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return (
            one.dtype.name == other.dtype.name
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@settings(max_examples=60, deadline=None)
@given(MESSAGES)
def test_what_is_sent_comes_back(message: Any) -> None:
    back = frames.decode(frames.encode(message))
    assert type(back) is type(message)
    fields = frames.SCHEMA[frames._CODES[type(message)]][1]
    assert all(same(getattr(message, name), getattr(back, name)) for name in fields)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=64),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(1 << 63), (1 << 64) - 1)
            | st.floats()
            | st.text()
            | st.binary(),
            lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=12,
        ).map(lambda tree: msgpack.packb([5, tree])),
    )
)
def test_rubbish_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        message = frames.decode(data)
    except FrameError:
        return
    assert frames.encode(message)  # what is accepted is a message in every field


OBSERVATION = frames.Observation(1, 2, 3, 4, 5, {"image": np.zeros((2, 3), np.uint8)})


def changed(**fields: Any) -> bytes:
    """The observation's frame with fields replaced, packed without a check."""
    items = msgpack.unpackb(frames.encode(OBSERVATION))
    names = list(frames.SCHEMA[5][1])
    for name, value in fields.items():
        items[1 + names.index(name)] = value
    return msgpack.packb(items)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"observed_at": -1}, "observed_at is -1"),
        ({"expires_at": -5}, "expires_at is -5"),
        ({"sequence": True}, "sequence is True"),
        ({"tick": 1.0}, "tick is 1.0"),
        ({"tensors": {"image": ["object", [1], b"12345678"]}}, "elements of a str"),
        ({"tensors": {"image": ["float32", [3], b"1234"]}}, "does not have 3 elements"),
        ({"tensors": {"image": ["float32", [-1], b""]}}, "has the shape"),
        ({"tensors": {"image": ["float32", [1 << 62, 1 << 62], b""]}}, "has the shape"),
        ({"tensors": {"image": ["float32", [0] * 9, b""]}}, "has the shape"),
        ({"tensors": [1]}, "not at most 32 named arrays"),
    ],
)
def test_fields_of_wrong_type_or_range(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(FrameError, match=said):
        frames.decode(changed(**fields))


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million
        b"\xdf\xff\xff\xff\xff",  # as many entries of a mapping
        b"\x91" * 5000,  # lists in lists
        b"\xc7\x00\x05",  # an extension type
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\x92\x04\xa1\xff",  # text that is no UTF-8
        pickle.dumps([1, 2, 3]),
        b"",
    ],
)
def test_bombs_of_msgpack_and_pickle(data: bytes) -> None:
    with pytest.raises(FrameError):
        frames.decode(data)


def test_text_frames_and_large_ones() -> None:
    with pytest.raises(FrameError, match="frames are binary"):
        frames.decode("text")
    with pytest.raises(FrameError, match="4 are allowed"):
        frames.decode(frames.encode(OBSERVATION), limit=4)


def test_what_a_peer_would_refuse_is_not_sent() -> None:
    with pytest.raises(FrameError, match="arrays of complex128 do not travel"):
        frames.encode(frames.Observation(1, 2, 3, 4, 5, {"x": np.zeros(2, np.complex128)}))
    with pytest.raises(FrameError, match="observed_at is -1"):
        frames.encode(frames.Observation(1, 2, -1, 4, 5, {}))


def test_the_room_does_not_know_pickle() -> None:
    from pathlib import Path

    import anychip.link

    sources = Path(anychip.link.__file__).parent.rglob("*.py")
    assert not [
        path for path in sources if "import pickle" in path.read_text() or "torch.load" in path.read_text()
    ]
