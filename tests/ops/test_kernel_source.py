"""Source lines of kernels by their indentation, against Python's own reading of tokens."""

from __future__ import annotations

import inspect

import pytest
from triton.runtime import jit
from triton.runtime.jit import JITFunction

from anychip.ops import kernel_source
from anychip.ops.registry import operators


def kernels(every: int) -> list[JITFunction]:
    listed = (kernel for record in operators().values() for kernel in record.kernels)
    found = {kernel.fn: kernel for kernel in listed if isinstance(kernel, JITFunction)}
    assert len(found) > 150
    return list(found.values())[::every]


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_the_lines_of_kernels_are_those_of_inspect(every: int) -> None:
    for kernel in kernels(every):
        assert kernel_source.lines_of(kernel.fn) == inspect.getsourcelines(kernel.fn)
        assert list(kernel.raw_src) == inspect.getsourcelines(kernel.fn)[0]


def test_functions_of_many_shapes() -> None:
    def several(
        x: int,
        *,
        y: int = 1,
    ) -> tuple[int, int]:
        """A text
        that ends on the left."""

        def inner() -> int:
            return x

        if y:
            pass
        return (
            inner(),
            y,
        )
        # the last word

    # not of it
    def one(x: int) -> int: return x  # fmt: skip

    for function in (several, one, test_the_lines_of_kernels_are_those_of_inspect, kernels):
        assert kernel_source.lines_of(function) == inspect.getsourcelines(function)


def test_triton_has_its_own_means_afterwards() -> None:
    operators()
    assert jit.inspect is inspect
    with kernel_source.quickly():
        assert jit.inspect.getsourcelines is kernel_source.lines_of
        assert jit.inspect.signature is inspect.signature
    assert jit.inspect is inspect
