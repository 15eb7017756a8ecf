"""Replaces calls by the bodies of the functions they call.

In: a module whose kernel calls private functions (`noinline` in Triton). Out: the same module, with a kernel
that contains no `tt.call`, and without the functions that were called. A function of one block is
spliced into its caller. One of several blocks (it returns early) becomes one operation `anychip.region`: its
region is the copied control flow, in which `tt.return` leaves the region with the results. Every
location gets the call as its caller.
"""

from __future__ import annotations

from functools import cache

from ..errors import UnsupportedOperation
from .clone import LocationChange, ValueMap, clone_op, clone_region
from .core import Block, Func, Location, Module, Op, Region, Value
from .locations import called_from


def inline_calls(module: Module) -> None:
    """Inline every call in the kernel of `module`, in place, and drop the other functions.

    Raises `UnsupportedOperation` for a recursive call and for a call of an unknown function.
    """
    kernel = module.kernel
    inliner = _Inliner(module)
    if any(op.name == "tt.call" for op in kernel.body.walk()):
        inliner.region(kernel.body, (kernel.name,), {})
    module.funcs = {kernel.name: kernel}


class _Inliner:
    """`finished` functions contain no call any more."""

    def __init__(self, module: Module):
        self.module = module
        self.finished: set[str] = set()

    def region(self, region: Region, active: tuple[str, ...], values: ValueMap) -> None:
        """Inline the calls of a region; `active` are the functions that are being inlined. `values` maps
        the results of the calls to what replaces them."""
        for block in region.blocks:
            if any(nested.name == "tt.call" for op in block.ops for nested in op.walk()):
                block.ops = self.ops(block, active, values)
        if values:
            _replace_uses(region, values)

    def ops(self, block: Block, active: tuple[str, ...], values: ValueMap) -> list[Op]:
        ops: list[Op] = []
        for op in block.ops:
            for nested in op.regions:
                self.region(nested, active, values)
            if op.name == "tt.call":
                ops += self.call(op, active, values)
            else:
                ops.append(op)
        return ops

    def call(self, op: Op, active: tuple[str, ...], values: ValueMap) -> list[Op]:
        callee = self.callee(op, active)
        if callee.name not in self.finished:
            self.region(callee.body, (*active, callee.name), {})
            self.finished.add(callee.name)
        copied: ValueMap = dict(zip(callee.args, op.operands, strict=True))
        at = _inlined_at(op.location)
        if len(callee.body.blocks) > 1:
            return [self.as_region(op, callee, copied, at, values)]
        *body, end = callee.body.entry.ops
        spliced = [clone_op(inner, copied, at) for inner in body]
        for result, returned in zip(op.results, end.operands, strict=True):
            values[result] = copied.get(returned, returned)
        return spliced

    def as_region(self, op: Op, callee: Func, copied: ValueMap, at: LocationChange, values: ValueMap) -> Op:
        """The call as an `anychip.region`: the arguments of the callee are replaced by the operands."""
        body = clone_region(callee.body, copied, at)
        arguments = dict(zip(body.entry.args, op.operands, strict=True))
        body.entry.args = []
        _replace_uses(body, arguments)
        new = Op("anychip.region", attrs={"callee": callee.name}, regions=[body], location=op.location)
        for result in op.results:
            values[result] = new.add_result(result.type, result.name)
        return new

    def callee(self, op: Op, active: tuple[str, ...]) -> Func:
        name = op.attrs["callee"]
        callee = self.module.funcs.get(name)
        if callee is None:
            raise UnsupportedOperation(op, f"the function {name!r} is not in the module")
        if name in active:
            raise UnsupportedOperation(
                op,
                f"the function {name!r} calls itself"
                + (" through another one" if active[-1] != name else ""),
                "write the recursion as a loop",
            )
        if len(callee.args) != len(op.operands) or len(callee.result_types) != len(op.results):
            raise UnsupportedOperation(op, f"the call does not fit the arguments and results of {name!r}")
        return callee


def _inlined_at(site: Location) -> LocationChange:
    """The change that adds the call at `site` to a location."""

    @cache
    def change(location: Location) -> Location:
        return called_from(location, site)

    return change


def _replace_uses(region: Region, values: ValueMap) -> None:
    """Use what `values` maps each operand to."""
    for op in region.walk():
        op.operands = [_final(value, values) for value in op.operands]
        if op.successors:
            op.successors = [(block, [_final(v, values) for v in passed]) for block, passed in op.successors]


def _final(value: Value, values: ValueMap) -> Value:
    """The end of a chain of replacements: a call may return the result of another call."""
    while value in values:
        value = values[value]
    return value
