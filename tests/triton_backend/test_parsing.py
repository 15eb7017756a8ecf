"""Kernels are parsed one at a time on the Pythons whose parser needs it."""

import sys
import threading

import pytest
import torch
import triton
import triton.language as tl

from anychip.triton_backend import parsing


@pytest.mark.parametrize(
    ("version", "affected"),
    [((3, 11, 7), True), ((3, 11, 8), False), ((3, 12, 1), True), ((3, 12, 2), False), ((3, 13, 0), False)],
)
def test_the_versions_that_miscount(version, affected):
    assert parsing.is_affected(version) == affected


def test_one_thread_is_inside_at_a_time():
    inside, most = 0, 0

    def parse(_self: object) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.005)
        inside -= 1

    guarded = parsing.one_at_a_time(parse)
    threads = [threading.Thread(target=guarded, args=(None,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@triton.jit
def double_kernel(x, out, n, BLOCK: tl.constexpr):
    offset = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + offset, 2 * tl.load(x + offset, mask=offset < n), mask=offset < n)


@pytest.mark.skipif(not parsing.is_affected(sys.version_info[:3]), reason="this parser needs no guard")
def test_triton_parses_under_the_guard():
    x, out = torch.rand(50), torch.empty(50)
    double_kernel[(1,)](x, out, 50, BLOCK=64)
    assert torch.equal(out, 2 * x)
    assert hasattr(triton.runtime.jit.JITFunction.parse, "__wrapped__")
