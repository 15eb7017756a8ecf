"""Whether a fixed file is the file that it was, but for the helper. Flows in: a file before and after its
fixes. Flows out: two syntax trees as text that are equal where nothing else was changed.

Calls of the helper are put back as what they mean with CUDA: `Accelerator.device(x)` as `x`, and `x.cuda()`
of the file before as `x.to("cuda")`.
"""

from __future__ import annotations

import ast
from typing import Any

from anychip.migrate.device_class import NAMES, find


def before(text: str) -> str:
    """The tree of a file that was not fixed, moves to CUDA written as `to`."""
    return ast.dump(_Moves().visit(ast.parse(text)))


def after(text: str) -> str:
    """The tree of a fixed file without the helper."""
    tree = ast.parse(text)
    torch = "torch"
    if (its_helper := find(tree)) is not None:
        tree.body.remove(its_helper)
        torch = ast.unparse(its_helper).partition(".cuda.is_available()")[0].split()[-1]
    return ast.dump(_Moves().visit(_Helper(torch).visit(tree)))


class _Moves(ast.NodeTransformer):
    """`x.cuda(device, ...)` as `x.to(device, ...)`, and a device of CUDA by its name."""

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
            names = {keyword.arg for keyword in node.keywords}
            if not node.args and "device" not in names:
                node.args = [ast.Constant("cuda")]
            node.func.attr = "to"
        return node


class _Helper(ast.NodeTransformer):
    """What the helper answers with CUDA. `torch` is what the file calls PyTorch."""

    def __init__(self, torch: str):
        self._torch = torch

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(value=ast.Name(id=name), attr="device") if name in NAMES:
                return node.args[0] if node.args else ast.Constant("cuda")
            case ast.Attribute(value=ast.Name(id=name), attr="type") if name in NAMES:
                return ast.Constant("cuda")
            case ast.Attribute(value=ast.Name(id=name), attr="module") if name in NAMES:
                return self._torch_cuda()
            case _:
                return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id in NAMES and node.attr not in _OWN:
            return ast.Attribute(self._torch_cuda(), node.attr, node.ctx)
        return self.generic_visit(node)

    def _torch_cuda(self) -> ast.expr:
        return ast.Attribute(ast.Name(self._torch, ast.Load()), "cuda", ast.Load())


_OWN = ("device", "type", "module")
