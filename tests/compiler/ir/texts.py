"""Small TTIR modules around a few operations, for tests of the parser and the verifier."""

from __future__ import annotations

from anychip.compiler.ir.core import Op
from anychip.compiler.ir.parser import parse

ARGUMENTS = (
    "%p: !tt.ptr<f32>, %q: !tt.ptr<i32>, %i: i32, %j: i32, %l: i64, %b: i1, %f: f32, %g: f32, %d: f64, "
    "%ti: tensor<8xi32>, %tj: tensor<8xi32>, %tl: tensor<8xi64>, %tb: tensor<8xi1>, %tf: tensor<8xf32>, "
    "%tg: tensor<8xf32>, %th: tensor<8xf16>, %tp: tensor<8x!tt.ptr<f32>>, %tq: tensor<8x!tt.ptr<i32>>, "
    "%one: tensor<1xf32>, %m: tensor<4x8xf32>, %mh: tensor<16x32xf16>, %nh: tensor<32x16xf16>, "
    "%acc: tensor<16x16xf32>, %me: tensor<16x32xf8E5M2>, %ne: tensor<32x16xf8E4M3FN>, "
    "%sa: tensor<16x1xi8>, %sb: tensor<16x1xi8>"
)


def module_text(body: str, arguments: str = ARGUMENTS) -> str:
    """A module whose kernel has the operations of `body` and then returns."""
    return f"module {{\n  tt.func public @kernel({arguments}) {{\n{body}\n    tt.return\n  }}\n}}\n"


def ops_of(body: str, arguments: str = ARGUMENTS) -> list[Op]:
    """The operations that `body` is parsed to, without the return."""
    return parse(module_text(body, arguments)).kernel.body.entry.ops[:-1]


def op_of(line: str, arguments: str = ARGUMENTS) -> Op:
    """The one operation that `line` is parsed to."""
    (op,) = ops_of(line, arguments)
    return op
