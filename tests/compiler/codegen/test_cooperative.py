"""Where a coroutine's frame lies in a program's arena."""

from __future__ import annotations

import pytest

from anychip.compiler.codegen.cooperative import FRAME_ALIGNMENT, frame_offset


@pytest.mark.parametrize("arena_bytes", [1, 63, 64, 65, 1000, 4096])
def test_a_frame_begins_at_the_first_aligned_byte_behind_the_buffers(arena_bytes: int) -> None:
    aligned = [at for at in range(0, 2 * arena_bytes + FRAME_ALIGNMENT, FRAME_ALIGNMENT) if at >= arena_bytes]
    assert frame_offset(arena_bytes) == aligned[0]
