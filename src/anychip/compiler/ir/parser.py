"""Reads the text of a TTIR module into the tile IR.

In: the text that stock Triton 3.6 to 3.9 prints after its own TTIR passes, with or without locations. Out: a
`Module` whose attributes are in the normal form of `ops.py`. Whatever is wrong with the text is a
`ParseError` with the line and column; nothing else is raised.
"""

from __future__ import annotations

from ..errors import ParseError
from .attributes import AttributeParser
from .blocks import drop_unreachable
from .control_syntax import CONTROL, function
from .core import UNKNOWN, Block, Func, Location, Module, Op, Region, Value
from .lexer import END, unquote
from .ops import OPS, normalise
from .plain_syntax import plain_operation
from .syntax import SYNTAX
from .types import ScalarType, Type

_DEEPEST = 48
_UNRESOLVED = ScalarType("unresolved", 0, "int")


def parse(text: str) -> Module:
    """The module that `text` spells.

    Raises `ParseError` when the text is not TTIR, with its line and column.
    """
    parser = Parser(text)
    try:
        return parser.module()
    except RecursionError:
        raise ParseError("the text is nested too deeply", Location("<ttir>", 1, 1)) from None


class Parser(AttributeParser):
    """One pass over the tokens of one text. `values` and `blocks` are what is visible at the cursor."""

    def __init__(self, text: str):
        super().__init__(text)
        self.values: dict[str, Value] = {}
        self.defined: list[str] = []
        self.forward: dict[str, tuple[Value, int]] = {}
        self.blocks: dict[str, Block] = {}
        self.funcs: dict[str, Func] = {}
        self.depth = 0

    # ---- the module and its functions -------------------------------------------------------------------

    def module(self) -> Module:
        """The module that the text holds. Raises ParseError."""
        self.skip_aliases()
        if self.accept("module"):
            if self.tokens[self.position].startswith("@"):
                self.position += 1
            if self.accept("attributes"):
                self.attribute_dictionary()
            self.expect("{")
            while not self.accept("}"):
                self.module_entry()
            self.location()
        else:
            while self.tokens[self.position] == "tt.func":
                self.module_entry()
        self.skip_aliases()
        if self.tokens[self.position] != END:
            self.fail(f"unexpected {self.tokens[self.position]!r} after the module")
        if not self.funcs:
            self.fail("there is no function in the text")
        return Module(self.funcs)

    def skip_aliases(self) -> None:
        """Pass definitions of attributes' aliases, such as `#loc = ...`."""
        while self.tokens[self.position][0] == "#" and " = " in self.tokens[self.position]:
            self.position += 1

    def module_entry(self) -> None:
        """Take up one function of the module. Raises ParseError."""
        start = self.position
        if self.tokens[start] != "tt.func":
            self.fail(f"expected tt.func, found {self.tokens[start]!r}")
        self.position += 1
        self.values, self.forward = {}, {}
        func = function(self)
        for name, (_, index) in self.forward.items():
            self.fail(f"{name} is used but never defined", index)
        if func.name in self.funcs:
            self.fail(f"there are two functions @{func.name}", start)
        self.funcs[func.name] = func

    # ---- values and blocks ------------------------------------------------------------------------------

    def value(self, token: str) -> Value:
        """The value named `token`; it may be defined later, in a block that dominates this one."""
        value = self.values.get(token)
        if value is None:
            if token[0] != "%":
                self.fail(f"expected a value, found {token!r}", self.position - 1)
            found = self.forward.get(token)
            if found is None:
                found = self.forward[token] = (Value(_UNRESOLVED, token[1:]), self.position - 1)
            value = found[0]
        return value

    def operand(self) -> Value:
        """The value that the next token names."""
        return self.value(self.next())

    def operand_list(self, close: str) -> list[Value]:
        """Values up to the token `close`, which is passed."""
        found: list[Value] = []
        while not self.accept(close):
            if found:
                self.expect(",")
            found.append(self.operand())
        return found

    def define(self, token: str, type: Type, owner: Op | Block, index: int) -> Value:
        """A new value named `token`."""
        if token in self.values:
            self.fail(f"{token} is defined twice", self.position - 1)
        if self.forward and token in self.forward:
            value = self.forward.pop(token)[0]
            value.type, value.owner, value.index = type, owner, index
        else:
            value = Value(type, token[1:], owner, index)
        self.values[token] = value
        self.defined.append(token)
        return value

    def block_named(self, token: str) -> Block:
        """The block of a label such as `^bb1`, made where it is named first. Raises ParseError."""
        if token[0] != "^":
            self.fail(f"expected a block, found {token!r}", self.position - 1)
        block = self.blocks.get(token)
        if block is None:
            block = self.blocks[token] = Block(label=token[1:])
        return block

    def block_arguments(self, block: Block) -> None:
        """`(%a: type loc(...), ...)`, the cursor being behind the parenthesis."""
        while not self.accept(")"):
            if block.args:
                self.expect(",")
            token = self.expect_start("%", "a block argument")
            self.expect(":")
            block.args.append(self.define(token, self.type(), block, len(block.args)))
            self.location()

    def region(self, arguments: list[tuple[str, Type]] | None = None, implicit_end: str = "") -> Region:
        """`{ operations and blocks }`. `arguments` are those of the entry block when they are printed
        outside; `implicit_end` is the terminator that may be left out. Blocks that cannot be reached are
        dropped."""
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"regions are nested more than {_DEEPEST} deep")
        self.expect("{")
        outer_defined, outer_blocks = self.defined, self.blocks
        self.defined, self.blocks = [], {}
        block = Block()
        for index, (token, type) in enumerate(arguments or ()):
            block.args.append(self.define(token, type, block, index))
        region = Region([block])
        tokens = self.tokens
        while True:
            token = tokens[self.position]
            if token == "}":
                break
            if token[0] == "^":
                block = self.start_block(region, block)
            else:
                self.operation(block)
        self.position += 1
        for label, named in self.blocks.items():
            if named not in region.blocks:
                self.fail(f"the block {label} is used but never defined")
        if implicit_end and (not block.ops or block.ops[-1].name != implicit_end):
            block.ops.append(Op(implicit_end))
        if len(region.blocks) > 1:
            drop_unreachable(region)
        for token in self.defined:
            del self.values[token]
        self.defined, self.blocks = outer_defined, outer_blocks
        self.depth -= 1
        return region

    def start_block(self, region: Region, current: Block) -> Block:
        """The label at the cursor opens a block; the label of the entry block names the block at hand."""
        token = self.next()
        block = self.block_named(token)
        if block in region.blocks:
            self.fail(f"the block {token} is defined twice", self.position - 1)
        if len(region.blocks) == 1 and not current.ops and not current.args and not current.label:
            region.blocks[0] = block
        else:
            region.blocks.append(block)
        if self.accept("("):
            self.block_arguments(block)
        self.expect(":")
        return block

    # ---- operations -------------------------------------------------------------------------------------

    def operation(self, block: Block) -> None:
        """One operation with its results, appended to `block`."""
        tokens = self.tokens
        position = self.position
        token = tokens[position]
        names: list[str] = []
        if token[0] == "%":
            if tokens[position + 1] == "=":
                names.append(token)
                self.position = position = position + 2
            else:
                self.result_names(names)
                position = self.position
            token = tokens[position]
        self.position = position + 1
        syntax = SYNTAX.get(token)
        if syntax is not None:
            op, types = plain_operation(self, token, syntax, len(names))
        elif token in CONTROL:
            op, types = CONTROL[token](self, token)
        elif token[0] == '"':
            op, types = self.generic_operation(unquote(token))
        else:
            self.position = position
            self.refuse(token, f"unknown operation {token!r}")
        if len(types) != len(names):
            self.fail(f"{op.name} has {len(types)} results, {len(names)} are named", position)
        for index, name in enumerate(names):
            op.results.append(self.define(name, types[index], op, index))
        token = tokens[self.position]
        if token.startswith("loc("):
            self.position += 1
            op.location = self.locations.use(token, self)
        else:
            op.location = self.location() or UNKNOWN
        info = OPS.get(op.name)
        if info is not None and info.attrs:
            normalise(info, op, self.fail)
        block.ops.append(op)

    def result_names(self, names: list[str]) -> None:
        """`%a:2, %b =`: the names of several results, as they are used later."""
        while True:
            token = self.expect_start("%", "a result")
            if self.accept(":"):
                count = self.integer()
                if not 0 < count < 4096:
                    self.fail(f"{count} results", self.position - 1)
                names.extend(f"{token}#{index}" for index in range(count))
            else:
                names.append(token)
            if self.accept("="):
                return
            self.expect(",")

    def generic_operation(self, name: str) -> tuple[Op, list[Type]]:
        """`"name"(%a)[^bb1] <{properties}> ({region}, ...) {attributes} : (types) -> types`."""
        op = Op(name)
        self.expect("(")
        op.operands = self.operand_list(")")
        if self.accept("["):
            while not self.accept("]"):
                if op.successors:
                    self.expect(",")
                op.successors.append((self.block_named(self.next()), []))
        if self.accept("<"):
            op.attrs.update(self.attribute_dictionary())
            self.expect(">")
        if self.accept("("):
            while not self.accept(")"):
                if op.regions:
                    self.expect(",")
                region = self.region()
                if len(region.blocks) == 1 and not region.entry.ops and not region.entry.args:
                    region.blocks = []
                op.regions.append(region)
        if self.tokens[self.position] == "{":
            op.attrs.update(self.attribute_dictionary())
        self.expect(":")
        operand_types = self.type_list()
        if len(operand_types) != len(op.operands):
            self.fail(
                f"{len(op.operands)} operands, but {len(operand_types)} operand types", self.position - 1
            )
        self.expect("->")
        return op, self.type_list()
