"""Stored kernels check themselves: what was packed comes back, anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anychip.runtime.binary import FORMAT, MAGIC, KernelBinary, pack, unpack
from anychip.runtime.errors import CorruptBinary

EXAMPLE = KernelBinary(
    "add", "add_0", 128, ("!tt.ptr<f32>", "i32"), ("x > 0", "y: ünïcode"), "x86_64:znver5:", b"\x7fELF" * 50
)


def test_what_was_packed_comes_back():
    assert unpack(pack(EXAMPLE), EXAMPLE.target) == EXAMPLE


@given(st.integers(0, len(pack(EXAMPLE)) - 1))
def test_every_truncation_is_noticed(length):
    with pytest.raises(CorruptBinary, match=r"fewer than the header|checksum does not match"):
        unpack(pack(EXAMPLE)[:length])


@given(st.integers(0, len(pack(EXAMPLE)) - 1), st.integers(0, 7))
def test_every_flipped_bit_is_noticed(position, bit):
    data = bytearray(pack(EXAMPLE))
    data[position] ^= 1 << bit
    with pytest.raises(CorruptBinary, match=r"it starts with|format|checksum does not match"):
        unpack(bytes(data))


def test_other_formats_and_processors_are_refused_by_name():
    data = pack(EXAMPLE)
    newer = MAGIC + (FORMAT + 1).to_bytes(4, "little") + data[12:]
    with pytest.raises(CorruptBinary, match=f"format {FORMAT + 1}"):
        unpack(newer)
    with pytest.raises(CorruptBinary, match="compiled for x86_64:znver5:, this process needs aarch64"):
        unpack(data, "aarch64")
