"""Chooses loop axes for every nest and the order of axes in every buffer, the hottest nests first.

A nest deep inside loops chooses its vector axis by the memory it touches; the buffers it reads and
writes are then laid out along that axis, and colder nests adapt to them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..analysis.polynomial import ONE
from ..analysis.structure import Structure
from ..ir.core import Value
from ..targets.target import Target
from .axes import choose_axes, nest_values, walk_inline
from .choices import Choices
from .steps import Buffer, For, Graph, If, Nest, PackedLoop, PerElement, Reduce, Step, Sweep, While, Write
from .unrolling import choose_unroll


def lay_out(
    body: Graph, structure: Structure, buffers: dict[Value, Buffer], target: Target, choices: Choices
) -> None:
    """Fill in the axes of every nest below `body`, and decide the order of every buffer."""
    nests = list(_nests([body], 0))
    for _, nest in sorted(nests, key=lambda item: -item[0]):
        choose_axes(nest, structure, buffers, target, choices)
        choose_unroll(nest, buffers, target, choices)
        _orient(nest, buffers)


def _nests(steps: list[Step], depth: int) -> Iterator[tuple[int, Nest]]:
    """Every nest with the number of loops around it, in program order."""
    for step in steps:
        if isinstance(step, Nest):
            yield depth, step
            for root in step.roots:
                if isinstance(root, PerElement) and root.body is not None:
                    yield from _nests([root.body], depth + 1)
        elif isinstance(step, For | PackedLoop):
            yield from _nests(step.body, depth + 1)
        elif isinstance(step, Sweep):
            yield depth + 1, step.nest
            yield from _nests(step.otherwise, depth)
        elif isinstance(step, While):
            yield from _nests(step.before, depth + 1)
            yield from _nests(step.after, depth + 1)
        elif isinstance(step, If):
            yield from _nests(step.then, depth)
            yield from _nests(step.otherwise, depth)
        elif isinstance(step, Graph):
            for _, inner in step.blocks:
                yield from _nests(inner, depth)


def _orient(nest: Nest, buffers: dict[Value, Buffer]) -> None:
    """Lay the undecided buffers of a nest along its vector axis."""
    axis = nest.vector_axis
    for root in nest.roots:
        if isinstance(root, Write):
            _along(root.buffer, axis)
        elif isinstance(root, Reduce) and root.axis != axis:
            for buffer in root.buffers:
                if buffer is not None:
                    _along(buffer, axis - (root.axis < axis))
    for value, point, leaf in walk_inline(nest_values(nest), len(nest.domain), lambda v: v in buffers):
        if leaf and value in buffers:
            along = [k for k, index in enumerate(point) if index.strides[axis] == ONE]
            if along:
                _along(buffers[value], along[-1])


def _along(buffer: Buffer, axis: int) -> None:
    """Decide the order of an undecided buffer: `axis` innermost, the others as they are."""
    if buffer.any_order:
        buffer.order = (*(a for a in buffer.order if a != axis), axis)
        buffer.any_order = False
