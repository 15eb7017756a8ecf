"""Checks that a module of the tile IR keeps the rules of its operations.

In: a module. Out: nothing, or a `VerifyError` with the user's source line. Checked are: the operations are
known, the numbers of their operands, results, regions and successors, their types, the shapes, that every
value is defined where it is used (dominance), and that every block ends as the operation around it wants.
"""

from __future__ import annotations

from typing import NoReturn

from ..errors import VerifyError
from .blocks import dominated
from .core import Block, Func, Module, Op, Region, Value
from .ops import OPS
from .type_rules import RULES
from .types import PointerType, TileType, Type

_ENDS: dict[str, tuple[str, ...]] = {
    "scf.for": ("scf.yield",),
    "scf.if": ("scf.yield",),
    "scf.while": ("scf.condition", "scf.yield"),
    "tt.reduce": ("tt.reduce.return", "cf.br", "cf.cond_br"),
    "tt.scan": ("tt.scan.return", "cf.br", "cf.cond_br"),
    "tt.map_elementwise": ("tt.map_elementwise.return", "cf.br", "cf.cond_br"),
    "anychip.region": ("tt.return", "cf.br", "cf.cond_br"),
    "tt.func": ("tt.return", "cf.br", "cf.cond_br"),
}
"""What ends the blocks inside an operation."""

_LARGEST = 1 << 31
_HINT = "the tile IR is not well formed; please report the kernel"


def verify(module: Module) -> None:
    """Raise `VerifyError` where `module` breaks a rule."""
    if sum(func.public for func in module.funcs.values()) != 1:
        raise VerifyError(f"a module has one public function, this one has {list(module.funcs)}")
    for func in module.funcs.values():
        _Verifier(module, func).func()


class _Verifier:
    """One function. `visible` are the values that may be used at the operation at hand."""

    def __init__(self, module: Module, function: Func):
        self.module = module
        self.function = function
        self.visible: set[Value] = set()
        self.good_types: set[Type] = set()

    def func(self) -> None:
        func = self.function
        if not func.body.blocks:
            raise VerifyError(f"the function {func.name!r} has no body", func.location, _HINT)
        returned = Op("tt.func", location=func.location)
        self.region(func.body, returned, func.result_types)

    # ---- regions ----------------------------------------------------------------------------------------

    def region(self, region: Region, parent: Op, results: list[Type]) -> None:
        """The blocks of `region`, in an order in which every block comes after those that dominate it.
        `results` are the types that the terminators hand to `parent`."""
        if len(region.blocks) == 1:
            defined = self.block(region.entry, region, parent, results)
            self.visible.difference_update(defined)
            return
        children = dominated(region)
        if sum(map(len, children.values())) != len(region.blocks) - 1:
            self.fail(parent, f"a block of {parent.name} cannot be reached")
        open_blocks: list[tuple[Block, list[Value]]] = []
        stack: list[tuple[Block, bool]] = [(region.entry, False)]
        while stack:
            block, leave = stack.pop()
            if leave:
                self.visible.difference_update(open_blocks.pop()[1])
                continue
            open_blocks.append((block, self.block(block, region, parent, results)))
            stack.append((block, True))
            stack += [(child, False) for child in children.get(id(block), ())]

    def block(self, block: Block, region: Region, parent: Op, results: list[Type]) -> list[Value]:
        """Check a block; its values stay visible and are returned."""
        defined: list[Value] = []
        for argument in block.args:
            self.type(argument.type, parent)
            self.visible.add(argument)
            defined.append(argument)
        if not block.ops:
            self.fail(parent, f"a block of {parent.name} has no operations")
        for op in block.ops[:-1]:
            if op.name in OPS and OPS[op.name].terminator:
                self.fail(op, f"{op.name} is not the last operation of its block")
        for op in block.ops:
            self.op(op)
            for result in op.results:
                self.visible.add(result)
                defined.append(result)
        self.terminator(block.ops[-1], region, parent, results)
        return defined

    def terminator(self, end: Op, region: Region, parent: Op, results: list[Type]) -> None:
        ends = _ENDS.get(parent.name)
        if ends is None or end.name not in ends:
            self.fail(end, f"a block of {parent.name} cannot end with {end.name}")
        if parent.name == "scf.while" and (end.name == "scf.condition") != (region is parent.regions[0]):
            self.fail(end, f"{end.name} ends the wrong region of scf.while")
        for target, arguments in end.successors:
            if target not in region.blocks or target is region.entry:
                self.fail(end, "a branch leads out of its region, or back to its start")
            self.same_types(end, "passes", arguments, [argument.type for argument in target.args])
        if not end.successors:
            given = end.operands[1:] if end.name == "scf.condition" else end.operands
            self.same_types(end, "returns", given, results)

    def same_types(self, op: Op, verb: str, values: list[Value], wanted: list[Type]) -> None:
        found = [value.type for value in values]
        if found != wanted:
            shown = ", ".join(map(str, found)) or "nothing", ", ".join(map(str, wanted)) or "nothing"
            self.fail(op, f"{op.name} {verb} {shown[0]}, where {shown[1]} is expected")

    # ---- operations -------------------------------------------------------------------------------------

    def op(self, op: Op) -> None:
        info = OPS.get(op.name)
        if info is None:
            self.fail(op, f"unknown operation {op.name!r}")
        for operand in op.operands:
            self.use(op, operand)
        for _, arguments in op.successors:
            for argument in arguments:
                self.use(op, argument)
        least, most = info.arity
        if len(op.operands) < least or (most is not None and len(op.operands) > most):
            self.fail(op, f"{op.name} has {len(op.operands)} operands")
        if info.results is not None and len(op.results) != info.results:
            self.fail(op, f"{op.name} has {len(op.results)} results, not {info.results}")
        if len(op.regions) != info.regions or len(op.successors) != info.successors:
            self.fail(op, f"{op.name} has {len(op.regions)} regions and {len(op.successors)} successors")
        for result in op.results:
            self.type(result.type, op)
        if info.rule:
            problem = RULES[info.rule](op)
            if problem is not None:
                self.fail(op, f"{op.name}: {problem}")
        if op.name == "tt.call":
            self.call(op)
        for index, region in enumerate(op.regions):
            if region.blocks:
                self.region(region, op, self.handed_over(op, index))

    def handed_over(self, op: Op, index: int) -> list[Type]:
        """The types that the terminators of region `index` of `op` have as operands."""
        if op.name == "scf.while" and index == 1:
            return [operand.type for operand in op.operands]
        if op.name in ("tt.reduce", "tt.scan"):
            return [operand.element for operand in op.operands]
        if op.name == "tt.map_elementwise":
            return [result.element for result in op.results for _ in range(op.attrs["pack"])]
        return [result.type for result in op.results]

    def call(self, op: Op) -> None:
        callee = self.module.funcs.get(op.attrs["callee"])
        if callee is None:
            self.fail(op, f"the function {op.attrs['callee']!r} is not in the module")
        self.same_types(op, "passes", op.operands, [argument.type for argument in callee.args])
        self.same_types(op, "expects", op.results, callee.result_types)

    def use(self, op: Op, value: Value) -> None:
        if value not in self.visible:
            self.fail(op, f"{op.name} uses %{value.name}, which is not defined there")

    def type(self, type: Type, op: Op) -> None:
        """Shapes are powers of two, and pointers point to a type of their own right."""
        if type in self.good_types:
            return
        if isinstance(type, TileType):
            if any(extent < 1 or extent & (extent - 1) for extent in type.shape):
                self.fail(op, f"{op.name}: an extent of {type} is no power of two")
            if not type.shape or type.size >= _LARGEST:
                self.fail(op, f"{op.name}: {type} has {type.size} elements")
        depth, inner = 0, type.element if isinstance(type, TileType) else type
        while isinstance(inner, PointerType):
            depth, inner = depth + 1, inner.pointee
        if depth > 8:
            self.fail(op, f"{op.name}: {type} is a pointer to a pointer, {depth} deep")
        self.good_types.add(type)

    def fail(self, op: Op, message: str) -> NoReturn:
        raise VerifyError(message, op.location, _HINT)
