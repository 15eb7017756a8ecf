"""Which expressions can be rewritten, and how. Flows in: a match with its expression. Flows out: the
changes, and how far they may be trusted, or None.

*Safe* is what does the same with CUDA, and the same in a program that ran on a CPU before. A default of a
parameter, a field or an option is part of what others call, so that it is never changed by a safe fix. Nor
is a comparison: on another accelerator it would begin to choose what was written for CUDA.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import Enum

from ..reading.match import Match
from ..reading.names import Names
from ..rules import devices, mixed_precision, streams, torch_cuda

DEVICE_KEYWORDS = frozenset({"device", "map_location"})
"""Arguments that are devices, whatever is called."""
AUTOCAST = frozenset(
    {"torch.autocast", "torch.amp.autocast", "torch.amp.autocast_mode.autocast", "torch.amp.GradScaler"}
    | {"torch.GradScaler", "torch.is_autocast_enabled", "torch.get_autocast_dtype"}
)
"""Callables that are turned off, with a warning, by the name of a device that is not there: on a CPU they go
on to be given "cuda"."""
WITH_HELPER = {
    "torch.cuda.is_available": "is_available",
    "torch.cuda.synchronize": "synchronize",
    "torch.cuda.get_device_name": "get_device_name",
}
"""Functions that the helper has itself."""
BY_MODULE = frozenset(
    {torch_cuda.COUNT.code, torch_cuda.CURRENT.code, torch_cuda.PROPERTIES.code, torch_cuda.MEMORY.code}
    | {torch_cuda.RANDOM.code, streams.STREAM.code, streams.EVENT.code}
)
"""Rules whose functions other devices' modules have under the same names, as far as they have them."""


class Trust(Enum):
    """How far a rewriting may be trusted."""

    SAFE = "safe"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Wrap:
    """`before` and `after` are put around an expression."""

    node: ast.expr
    before: str
    after: str = ")"


@dataclass(frozen=True, slots=True)
class Replace:
    """An expression becomes `text`."""

    node: ast.expr
    text: str


@dataclass(frozen=True, slots=True)
class Rename:
    """The last name of a chain of attributes becomes `text`."""

    node: ast.Attribute
    text: str


@dataclass(frozen=True, slots=True)
class FirstArgument:
    """`text` becomes the first argument of a call."""

    node: ast.Call
    text: str


Change = Wrap | Replace | Rename | FirstArgument


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What is changed for one match, and how far it may be trusted. `{}` in texts is the helper."""

    trust: Trust
    changes: tuple[Change, ...]


def rewriting(match: Match, names: Names, own_cuda: bool) -> Rewriting | None:
    """How a match is rewritten; None where a person has to. `own_cuda`: a class of the project has a method
    `cuda`, which a call may mean."""
    node = match.node
    if not isinstance(node, ast.expr) or _is_scripted(node, names):
        return None
    found: Rewriting | None = None
    if match.rule is devices.MOVE:
        found = _move(node, names, own_cuda)
    elif match.rule is devices.NAME:
        found = _name(node, names)
    elif match.rule is devices.TEST:
        found = _test(node, names)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        found = _function(node, match, names)
    if found is not None and _is_early(node, names):
        return Rewriting(Trust.UNSAFE, found.changes)
    return found


def _function(node: ast.Attribute, match: Match, names: Names) -> Rewriting | None:
    """A function of torch.cuda as the helper's, or as that of the device's own module."""
    if match.name in WITH_HELPER:
        return Rewriting(Trust.SAFE, (Replace(node, "{}." + WITH_HELPER[match.name]),))
    if match.rule.code in BY_MODULE and match.name.count(".") == 2:
        return Rewriting(Trust.UNSAFE, (Replace(node, f"{{}}.module().{node.attr}"),))
    if match.name in ("torch.cuda.amp.autocast", "torch.cuda.amp.GradScaler"):
        return _mixed_precision(node, match, names)
    return None


def _move(node: ast.expr, names: Names, own_cuda: bool) -> Rewriting | None:
    """`x.cuda(...)` as `x.to(device, ...)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    receiver = node.func.value
    if isinstance(receiver, ast.Call) and written(receiver.func) == "super":
        return None
    if any(isinstance(each, ast.Lambda) for each in names.ancestors(node)):
        return None  # storages, which map_location is called with, have another `to`
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if len(node.args) > 1 or not keywords.keys() <= {"device", "non_blocking"}:
        return None
    if node.args and (isinstance(node.args[0], ast.Starred) or "device" in keywords):
        return None
    device = node.args[0] if node.args else keywords.get("device")
    if isinstance(device, ast.Constant) and isinstance(device.value, bool):
        return None
    if device is None:
        moved: Change = FirstArgument(node, "{}.device()")
    else:
        moved = Wrap(device, "{}.device(")
    return Rewriting(Trust.UNSAFE if own_cuda else Trust.SAFE, (Rename(node.func, "to"), moved))


def _name(node: ast.expr, names: Names) -> Rewriting | None:
    """A string that names a device, with what completes it: `"cuda:%d" % index`,
    `"cuda:{}".format(index)`."""
    whole = _completed(node, names)
    parent = names.parents.get(whole)
    call = names.parents.get(parent) if isinstance(parent, ast.keyword) else parent
    callee = (names.qualified(call.func) or "") if isinstance(call, ast.Call) else ""
    if callee in AUTOCAST:
        return Rewriting(Trust.SAFE, (Replace(whole, "{}.type()"),)) if _is_bare(whole) else None
    if callee in WITH_HELPER or (isinstance(call, ast.Call) and written(call.func).endswith(".cuda")):
        return Rewriting(Trust.SAFE, ())  # what is called is rewritten, and takes the name
    safe = False
    match parent:
        case ast.Dict() | ast.List() | ast.Set() | ast.Tuple() | ast.Subscript():
            return None  # a table or a list of what is known
        case ast.keyword(arg=name):
            safe = name in DEVICE_KEYWORDS
        case ast.Call(func=ast.Attribute(attr="to"), args=[first, *_]):
            safe = first is whole
        case ast.Call():
            safe = callee in ("torch.device", "torch.load")
        case ast.IfExp(test=test):
            asks = any(names.qualified(each) == "torch.cuda.is_available" for each in ast.walk(test))
            safe = asks and whole is not test
        case ast.Assign(targets=[target]):
            safe = "device" in written(target).rpartition(".")[2].lower()
        case _:
            pass
    return Rewriting(Trust.SAFE if safe else Trust.UNSAFE, (Wrap(whole, "{}.device("),))


def _test(node: ast.expr, names: Names) -> Rewriting | None:
    """A string that a device's type is compared with, where it is compared by itself."""
    if _is_bare(node) and isinstance(names.parents.get(node), ast.Compare):
        return Rewriting(Trust.UNSAFE, (Replace(node, "{}.type()"),))
    return None


def _mixed_precision(node: ast.Attribute, match: Match, names: Names) -> Rewriting | None:
    """`torch.cuda.amp.autocast(...)` as `torch.amp.autocast(type, ...)`; its arguments have another order."""
    call = names.parents.get(node)
    if not isinstance(call, ast.Call) or call.func is not node:
        return None
    if match.rule is mixed_precision.AUTOCAST and call.args:
        return None
    torch = written(node).partition(".")[0]
    if torch not in names.module_names("torch"):
        return None
    changes = Replace(node, f"{torch}.amp.{node.attr}"), FirstArgument(call, "{}.type()")
    return Rewriting(Trust.UNSAFE, changes)


def _completed(node: ast.expr, names: Names) -> ast.expr:
    """The expression that a string is the beginning of."""
    parent = names.parents.get(node)
    if isinstance(parent, ast.BinOp) and parent.left is node and isinstance(parent.op, ast.Add | ast.Mod):
        return _completed(parent, names)
    if isinstance(parent, ast.Attribute) and parent.attr == "format":
        call = names.parents.get(parent)
        if isinstance(call, ast.Call) and call.func is parent:
            return call
    return node


def _is_bare(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "cuda"


def _is_early(node: ast.expr, names: Names) -> bool:
    """Whether an expression is computed when a function or class is defined: a default, a decorator, a
    field."""
    child: ast.AST = node
    for parent in names.ancestors(node):
        match parent:
            case ast.arguments():
                return True
            case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
                return child in decorators
            case ast.ClassDef():
                return True
            case ast.Lambda():
                return False
            case _:
                child = parent
    return False


def _is_scripted(node: ast.expr, names: Names) -> bool:
    """Whether an expression is in a function or class that TorchScript compiles, or in a kernel."""
    for parent in names.ancestors(node):
        for decorator in getattr(parent, "decorator_list", ()):
            callee = decorator.func if isinstance(decorator, ast.Call) else decorator
            if (names.qualified(callee) or "").startswith(("torch.jit.", "triton.jit", "triton.autotune")):
                return True
    return False


def written(node: ast.AST) -> str:
    """A name or a chain of attributes as it is written; "" for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
