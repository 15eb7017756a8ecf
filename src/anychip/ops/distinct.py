"""What a kernel may tell a compiler of the memory behind its arguments."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def distinct(out, source):
    """`out` is memory of its own: nothing that is read through `source` is ever written through it, so that
    loads need not wait for stores. To be said of the pointers as they were passed."""
    tl.assume(out.to(tl.int64) != source.to(tl.int64))
