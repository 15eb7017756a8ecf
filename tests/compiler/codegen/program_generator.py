"""Random tile programs, each as the source of a Triton kernel and of a NumPy function.

In: a seed and a number of statements. Out: two texts that say the same, line by line: expressions over
integer and float tiles, loads and stores at affine and at odd indices, reductions, scans, movements of
elements, loops that carry tiles, conditions. Every float is a small integer, so that sums are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

Option = TypeVar("Option")

MIDDLE = 1 << 18
"""Where in a buffer of `2 * MIDDLE` elements all addresses of a program are centred."""

LIMIT = 2048
"""Most elements of a tile."""

SCALARS = ("n0", "n1", "s0", "s1")
INTEGERS = ("int8", "int16", "int32", "int64")
KERNEL_HEAD = (
    "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef kernel(x, y, z, n0, n1, s0, s1):\n"
)
NUMPY_HEAD = "def reference(x, y, z, n0, n1, s0, s1):\n"


@dataclass(frozen=True)
class Tile:
    """A variable of the program: its name, shape and element type."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass
class ProgramGenerator:
    """Makes statements at random; `kernel` and `reference` are the texts so far."""

    random: Random
    kernel: list[str] = field(default_factory=list)
    reference: list[str] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    depth: int = 1
    names: int = 0
    loop_indices: list[str] = field(default_factory=list)
    stored: int = 0

    # --- texts -----------------------------------------------------------------------------------
    def line(self, kernel: str, reference: str | None = None) -> None:
        pad = "    " * self.depth
        self.kernel.append(pad + kernel)
        self.reference.append(pad + (kernel if reference is None else reference))

    def pick(self, options: Iterable[Option]) -> Option:
        return self.random.choice(list(options))

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def maybe(self) -> bool:
        return self.random.random() < 0.5

    def permutation(self, items: Iterable[Option]) -> list[Option]:
        shuffled = list(items)
        self.random.shuffle(shuffled)
        return shuffled

    def fresh(self) -> str:
        self.names += 1
        return f"v{self.names}"

    def define(self, shape: tuple[int, ...], dtype: str, kernel: str, reference: str) -> Tile:
        tile = Tile(self.fresh(), shape, dtype)
        self.line(f"{tile.name} = {kernel}", f"{tile.name} = {reference}")
        self.tiles.append(tile)
        return tile

    def any_tile(self, *, minimum_rank: int = 0, dtypes: tuple[str, ...] | None = None) -> Tile:
        fitting = [
            t for t in self.tiles if len(t.shape) >= minimum_rank and (dtypes is None or t.dtype in dtypes)
        ]
        if not fitting:
            return self.load(minimum_rank, dtypes[0] if dtypes else "int32")
        return self.pick(fitting)

    def shape(self, minimum_rank: int = 1) -> tuple[int, ...]:
        rank = self.pick([r for r in (1, 1, 2, 2, 2, 3, 4, 5) if r >= minimum_rank])
        sizes = []
        for _ in range(rank):
            room = LIMIT // math.prod(sizes)
            sizes.append(self.pick([n for n in (1, 2, 4, 8, 16, 16, 32, 64, 256) if n <= room]))
        return tuple(sizes)

    # --- indices ---------------------------------------------------------------------------------
    def axis(self, shape: tuple[int, ...], axis: int) -> tuple[str, str]:
        """The index along one axis, spread over `shape`."""
        selector = ", ".join(":" if a == axis else "None" for a in range(len(shape)))
        n = shape[axis]
        return f"tl.arange(0, {n})[{selector}]", f"arange(0, {n})[{selector}]"

    def scalar(self) -> str:
        return self.pick([*SCALARS, *self.loop_indices, str(self.number(-5, 5))])

    def odd_index(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """Any index into a buffer: strides constant or not, negative, zero; remainders, quotients."""
        kernel, reference = [f"{MIDDLE}"], [f"{MIDDLE}"]
        for a in range(len(shape)):
            k, r = self.axis(shape, a)
            kind = self.pick(["plain"] * 4 + ["scalar"] * 2 + ["modulo", "quotient", "shifted", "narrow"])
            if kind == "plain":
                stride = self.pick([0, 1, 1, 1, -1, 2, 3, min(shape[-1], 64), 64])
                k, r = f"{k} * {stride}", f"{r} * {stride}"
            elif kind == "scalar":
                s = self.scalar()
                k, r = f"{k} * ({s})", f"{r} * ({s})"
            elif kind == "narrow":
                s, wide = self.pick(["1", "7", "16"]), self.pick(["int32", "int64"])
                k, r = f"({k} * {s}).to(tl.int8).to(tl.{wide})", f"cast(cast({r} * {s}, 'int8'), '{wide}')"
            elif kind == "shifted":
                s, stride = self.scalar(), self.pick([1, 1, 2])
                k, r = f"({k} + {s}) * {stride}", f"({r} + {s}) * {stride}"
            else:
                by = self.pick(["3", "7", "16", "n1 + 5"])
                s = self.scalar()
                if kind == "modulo":
                    k, r = f"({k} + {s}) % ({by})", f"rem({r} + {s}, {by})"
                else:
                    k, r = f"({k} + {s}) // ({by})", f"quo({r} + {s}, {by})"
            kernel.append(k)
            reference.append(r)
        s = self.scalar()
        return " + ".join([*kernel, s]), " + ".join([*reference, s])

    def injective_index(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """An index that is different for each element: the axes in some order, apart by a gap."""
        order = self.permutation(range(len(shape))) if self.maybe() else range(len(shape))
        step = self.pick([1, 1, 1, 2, -1])
        kernel, reference = [f"{MIDDLE} + {self.scalar()}"], []
        reference.append(kernel[0])
        for a in reversed(list(order)):
            k, r = self.axis(shape, a)
            kernel.append(f"{k} * {step}")
            reference.append(f"{r} * {step}")
            step *= shape[a]
        return " + ".join(kernel), " + ".join(reference)

    def mask(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """A condition: bounds of an index, or of a value."""
        fitting = [t for t in self.tiles if t.shape == shape and t.dtype == "int32"]
        kernel, reference = [], []
        for _ in range(self.number(1, 2)):
            if fitting and self.maybe():
                tile = self.pick(fitting)
                k = r = f"{tile.name} % 5" if self.maybe() else tile.name
                if "%" in k:
                    r = f"rem({tile.name}, 5)"
            else:
                k, r = self.axis(shape, self.number(0, len(shape) - 1))
                if self.maybe():
                    s, t = self.pick([1, 1, -1, 3, -2, 716177407]), self.scalar()
                    k, r = f"({k} * {s} + {t})", f"({r} * int32({s}) + {t})"
                if self.random.random() < 0.1:
                    k, r = f"({k}).to(tl.int8)", f"cast({r}, 'int8')"
                elif self.random.random() < 0.1:
                    k, r = f"({k}).to(tl.int64)", f"cast({r}, 'int64')"
            compare, bound = (
                self.pick(["<", "<=", ">", ">=", "==", "!="]),
                self.pick(["n0", "n1", "0", "7", "n0 * 3"]),
            )
            kernel.append(f"(({k}) {compare} {bound})")
            reference.append(f"(({r}) {compare} {bound})")
        both = self.pick([" & ", " | "])
        return both.join(kernel), both.join(reference)

    # --- statements ------------------------------------------------------------------------------
    def load(self, minimum_rank: int = 1, dtype: str | None = None) -> Tile:
        shape = self.shape(minimum_rank)
        dtype = dtype or self.pick(["int32", "int32", "float32"])
        buffer = "z" if dtype == "float32" else self.pick(["x", "y", "y"])
        k, r = self.odd_index(shape) if self.maybe() else self.injective_index(shape)
        if not self.maybe():
            tile = self.define(
                shape,
                "float32" if buffer == "z" else "int32",
                f"tl.load({buffer} + ({k}))",
                f"load({buffer}, {r}, {shape})",
            )
        else:
            mk, mr = self.mask(shape)
            other = self.pick(["0", "3", "-1"])
            tile = self.define(
                shape,
                "float32" if buffer == "z" else "int32",
                f"tl.load({buffer} + ({k}), mask={mk}, other={other})",
                f"load({buffer}, {r}, {shape}, {mr}, {other})",
            )
        return tile if dtype in ("int32", "float32") else self.cast(tile, dtype)

    def store(self, tile: Tile | None = None) -> None:
        tile = tile or self.any_tile(minimum_rank=1)
        if not tile.shape:
            tile = self.spread(tile)
        if tile.dtype == "float32":
            buffer, value, numpy_value = "z", tile.name, tile.name
        else:
            buffer, value = "y", f"{tile.name}.to(tl.int32)"
            numpy_value = f"cast({tile.name}, 'int32')"
        k, r = self.injective_index(tile.shape)
        self.stored += 1
        if self.maybe():
            mk, mr = self.mask(tile.shape)
            mk = f"tl.broadcast_to({mk}, {list(tile.shape)})"
            self.line(
                f"tl.store({buffer} + ({k}), {value}, mask={mk})",
                f"store({buffer}, {r}, {numpy_value}, {mr})",
            )
        else:
            self.line(f"tl.store({buffer} + ({k}), {value})", f"store({buffer}, {r}, {numpy_value})")

    def cast(self, tile: Tile, dtype: str) -> Tile:
        if tile.dtype == dtype:
            return tile
        if tile.dtype == "float32":
            return self.define(
                tile.shape,
                dtype,
                f"{tile.name}.to(tl.int32).to(tl.{dtype})",
                f"cast(cast({tile.name}, 'int32'), '{dtype}')",
            )
        if dtype == "float32":
            narrow = f"({tile.name} % 16)" if tile.dtype != "int1" else tile.name
            numpy = f"rem({tile.name}, 16)" if tile.dtype != "int1" else tile.name
            return self.define(tile.shape, dtype, f"{narrow}.to(tl.float32)", f"cast({numpy}, 'float32')")
        return self.define(tile.shape, dtype, f"{tile.name}.to(tl.{dtype})", f"cast({tile.name}, '{dtype}')")

    def convert(self) -> None:
        self.cast(self.any_tile(), self.pick(["int32", "int64", "int16", "int8", "float32"]))

    def like(self, tile: Tile) -> Tile:
        """Another tile of the same shape and type."""
        fitting = [t for t in self.tiles if t.shape == tile.shape and t.dtype == tile.dtype]
        if len(fitting) > 1 and self.maybe():
            return self.pick(fitting)
        if not tile.shape:
            return tile
        k, r = self.odd_index(tile.shape)
        if tile.dtype == "float32":
            return self.define(tile.shape, "float32", f"tl.load(z + ({k}))", f"load(z, {r}, {tile.shape})")
        loaded = self.define(tile.shape, "int32", f"tl.load(y + ({k}))", f"load(y, {r}, {tile.shape})")
        return self.cast(loaded, tile.dtype)

    def arithmetic(self) -> None:
        self.combine(self.any_tile())

    def combine(self, a: Tile) -> Tile:
        b = self.like(a)
        if a.dtype == "float32":
            name = self.pick(["+", "-", "minimum", "maximum", "where"])
        elif a.dtype == "int1":
            name = self.pick(["&", "|", "^"])
        else:
            name = self.pick(["+", "-", "*", "&", "|", "^", "minimum", "maximum", "where"])
        if name == "where":
            c = self.pick(["<", ">=", "=="])
            text = f"where({a.name} {c} {b.name}, {b.name}, {a.name})"
            return self.define(a.shape, a.dtype, f"tl.{text}", text)
        if name.isidentifier():
            text = f"{name}({a.name}, {b.name})"
            return self.define(a.shape, a.dtype, f"tl.{text}", text)
        text = f"{a.name} {name} {b.name}"
        if a.dtype == "float32":
            return self.define(a.shape, a.dtype, text, f"cast({text}, 'float32')")
        return self.define(a.shape, a.dtype, text, text)

    def index_tile(self) -> None:
        shape = self.shape()
        k, r = self.odd_index(shape)
        k, r = f"({k} - {MIDDLE})", f"({r} - {MIDDLE})"
        zero = self.define(
            shape,
            "int32",
            f"(tl.zeros({list(shape)}, tl.int32) + {k}).to(tl.int32)",
            f"cast(spread({r}, {shape}), 'int32')",
        )
        if self.maybe():
            self.define(
                shape, "int32", f"{zero.name} * 40503 * 65599", f"{zero.name} * int32(40503) * int32(65599)"
            )

    def spread(self, tile: Tile | None = None) -> Tile:
        """A tile broadcast along a new axis, or a scalar over a tile."""
        tile = tile or self.any_tile()
        if not tile.shape:
            shape = self.shape()
            return self.define(
                shape,
                tile.dtype,
                f"tl.broadcast_to({tile.name}, {list(shape)})",
                f"spread({tile.name}, {shape})",
            )
        room = [n for n in (1, 2, 4, 8, 16, 32) if n * tile.size <= LIMIT]
        if len(tile.shape) > 4:
            return tile
        axis, n = self.number(0, len(tile.shape)), self.pick(room)
        shape = (*tile.shape[:axis], n, *tile.shape[axis:])
        return self.define(
            shape,
            tile.dtype,
            f"tl.broadcast_to(tl.expand_dims({tile.name}, {axis}), {list(shape)})",
            f"spread(expand_dims({tile.name}, {axis}), {shape})",
        )

    def move(self) -> None:
        tile = self.any_tile(minimum_rank=1)
        kind = self.pick(["trans", "reshape", "ravel", "join", "split", "flip"])
        if kind == "trans" and len(tile.shape) > 1:
            order = self.permutation(range(len(tile.shape)))
            shape = tuple(tile.shape[a] for a in order)
            self.define(
                shape,
                tile.dtype,
                f"tl.permute({tile.name}, {list(order)})",
                f"transpose({tile.name}, {order})",
            )
        elif kind == "reshape":
            bits, shape = tile.size.bit_length() - 1, []
            for _ in range(self.number(0, 3)):
                part = self.number(0, bits)
                bits -= part
                shape.append(1 << part)
            shape = tuple(self.permutation([*shape, 1 << bits]))
            self.define(
                shape, tile.dtype, f"tl.reshape({tile.name}, {list(shape)})", f"reshape({tile.name}, {shape})"
            )
        elif kind == "join" and tile.size < LIMIT and len(tile.shape) < 5:
            other = self.like(tile)
            self.define(
                (*tile.shape, 2),
                tile.dtype,
                f"tl.join({tile.name}, {other.name})",
                f"stack([{tile.name}, {other.name}], -1)",
            )
        elif kind == "split" and len(tile.shape) > 1 and tile.shape[-1] == 2:
            a, b = (
                Tile(self.fresh(), tile.shape[:-1], tile.dtype),
                Tile(self.fresh(), tile.shape[:-1], tile.dtype),
            )
            self.line(
                f"{a.name}, {b.name} = tl.split({tile.name})",
                f"{a.name}, {b.name} = {tile.name}[..., 0], {tile.name}[..., 1]",
            )
            self.tiles += [a, b]
        elif kind == "flip" and tile.size > 1:
            axis = self.pick([a for a, n in enumerate(tile.shape) if n > 1])
            self.define(tile.shape, tile.dtype, f"tl.flip({tile.name}, {axis})", f"flip({tile.name}, {axis})")
        else:
            self.define(
                (tile.size,), tile.dtype, f"tl.ravel({tile.name})", f"reshape({tile.name}, {tile.size})"
            )

    def reduce(self) -> None:
        tile = self.any_tile(minimum_rank=1, dtypes=("int32", "float32"))
        axis = self.number(0, len(tile.shape) - 1)
        shape = (*tile.shape[:axis], *tile.shape[axis + 1 :])
        if tile.dtype == "float32":
            self.define(shape, "float32", f"tl.max({tile.name}, {axis})", f"{tile.name}.max({axis})")
            return
        name = self.pick(["sum", "max", "min", "xor_sum", "argmax", "argmin"])
        numpy = {"xor_sum": f"bitwise_xor.reduce({tile.name}, {axis})"}.get(
            name, f"cast({tile.name}.{name}({axis}), 'int32')"
        )
        self.define(shape, "int32", f"tl.{name}({tile.name}, {axis})", numpy)

    def scan(self) -> None:
        tile = self.any_tile(minimum_rank=1, dtypes=("int32",))
        axis, reverse = self.number(0, len(tile.shape) - 1), self.maybe()
        self.define(
            tile.shape,
            "int32",
            f"tl.cumsum({tile.name}, {axis}, reverse={reverse})",
            f"cumsum({tile.name}, {axis}, {reverse})",
        )

    def sort(self) -> None:
        tile = self.any_tile(minimum_rank=1, dtypes=("int32",))
        if tile.size <= 512:
            self.define(tile.shape, "int32", f"tl.sort({tile.name})", f"sort({tile.name}, -1)")

    def gather(self) -> None:
        tile = self.any_tile(minimum_rank=1, dtypes=("int32", "float32"))
        axis = self.number(0, len(tile.shape) - 1)
        index = self.like(Tile("", tile.shape, "int32"))
        n = tile.shape[axis]
        self.define(
            tile.shape,
            tile.dtype,
            f"tl.gather({tile.name}, {index.name} & {n - 1}, {axis})",
            f"take_along_axis({tile.name}, {index.name} & {n - 1}, {axis})",
        )

    def _inner(self, count: int) -> None:
        for _ in range(count):
            self.statement(nested=True)

    def loop(self) -> None:
        """A loop that carries one to three tiles, which may change places. They begin different: MLIR's
        canonicalizer takes tiles that begin alike for tiles that stay alike."""
        carried = []
        first = self.any_tile(minimum_rank=1)
        for k in range(self.number(1, 3)):
            source = first if k == 0 else self.like(first) if self.maybe() else self.any_tile(minimum_rank=1)
            start = f"{source.name} + {k}"
            carried.append(self.define(source.shape, source.dtype, start, start))
        bound = self.pick(["n1", "3", "0", "n1 + 1"])
        index = f"k{self.names}"
        self.line(f"for {index} in range(0, {bound}):")
        known = list(self.tiles)
        self.depth += 1
        self.loop_indices.append(index)
        self._inner(self.number(0, 3))
        following = []
        for tile in carried:
            fitting = [t for t in self.tiles if t.shape == tile.shape and t.dtype == tile.dtype]
            following.append(self.pick(fitting) if self.maybe() else self.combine(self.pick(fitting)))
        left, right = ", ".join(t.name for t in carried), ", ".join(t.name for t in following)
        self.line(f"{left} = {right}")
        self.loop_indices.pop()
        self.depth -= 1
        self.tiles = known

    def condition(self) -> None:
        tile = self.any_tile(minimum_rank=1)
        result = self.define(tile.shape, tile.dtype, tile.name, tile.name)
        test = self.pick(["n0 > 7", "n1 == 2", "s0 < s1", *(f"{k} % 2 == 1" for k in self.loop_indices)])
        for number, head in enumerate((f"if {test}:", "else:")):
            if number and self.maybe():
                break
            self.line(head)
            known = list(self.tiles)
            self.depth += 1
            self._inner(self.number(0, 2))
            fitting = [t for t in self.tiles if t.shape == tile.shape and t.dtype == tile.dtype]
            chosen = self.pick(fitting)
            self.line(f"{result.name} = {chosen.name}")
            self.depth -= 1
            self.tiles = known

    def statement(self, nested: bool = False) -> None:
        kinds = (
            ["load"] * 3 + ["store"] * 2 + ["arithmetic"] * 4 + ["spread", "move", "move", "reduce", "reduce"]
        )
        kinds += ["scan", "index_tile", "convert", "gather", "sort"]
        if not nested or self.depth < 3:
            kinds += ["loop", "condition"]
        getattr(self, self.pick(kinds))()

    def finish(self) -> tuple[str, str]:
        """Store what is left and give both texts."""
        for tile in self.tiles[-2:]:
            self.store(tile)
        return KERNEL_HEAD + "\n".join(self.kernel) + "\n", NUMPY_HEAD + "\n".join(self.reference) + "\n"


def program(seed: int, statements: int) -> tuple[str, str]:
    """The source of a kernel and of the NumPy function that it must agree with."""
    generator = ProgramGenerator(Random(seed))
    generator.load()
    for _ in range(statements):
        generator.statement()
    return generator.finish()
