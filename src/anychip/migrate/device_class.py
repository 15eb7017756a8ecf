"""The helper that fixed files get: the device that PyTorch finds, under the names of `torch.cuda`.

Flows in: the name that a file knows PyTorch by, and a name for the helper. Flows out: the text of a class.
With CUDA each of its answers is torch.cuda's own, so that a fixed program does there what it did before.
"""

from __future__ import annotations

import ast

NAMES = ("Accelerator", "DetectedDevices", "PortableDevices", "AnychipDevices")
"""Names for the helper; the first that a file does not hold is taken."""
MARK = "written by `anychip migrate`"
"""What the helper's first line ends with."""
OWN = ("device", "synchronize", "get_device_name")
"""Functions of the helper that take a device of CUDA."""

_TEXT = '''\
class {helper}:
    """The accelerator that PyTorch finds, under the names of torch.cuda; written by `anychip migrate`."""

    @staticmethod
    def type():
        """Such as "cuda", "xpu" or "mps"; "cuda" where there is none."""
        found = getattr({torch}, "accelerator", None)
        if {torch}.cuda.is_available() or found is None or not found.is_available():
            return "cuda"
        return found.current_accelerator().type

    @staticmethod
    def module():
        """The module of PyTorch for that type: torch.cuda, torch.xpu, torch.mps or another."""
        return getattr({torch}, {helper}.type())

    @staticmethod
    def is_available():
        return {helper}.module().is_available()

    @staticmethod
    def device(cuda=None):
        """A device of CUDA (a name, an index or None) on this accelerator; "cpu" where there is none."""
        if cuda is None:
            name = "cuda"
        else:
            name = f"cuda:{{int(cuda)}}" if hasattr(cuda, "__index__") else str(cuda)
        if not name.startswith("cuda"):
            return name
        return name.replace("cuda", {helper}.type(), 1) if {helper}.is_available() else "cpu"

    @staticmethod
    def synchronize(device=None):
        if {helper}.is_available():
            {helper}.module().synchronize(*() if device is None else ({helper}.device(device),))

    @staticmethod
    def get_device_name(device=None):
        ask = getattr({helper}.module(), "get_device_name", None)
        if ask is None or not {helper}.is_available():
            return {helper}.device(device)
        return ask(None if device is None else {helper}.device(device))
'''


def helper_text(torch: str, helper: str) -> str:
    """The class, with LF line ends. `torch` is what the file calls PyTorch, `helper` the name of the
    class."""
    return _TEXT.format(torch=torch, helper=helper)


def find(tree: ast.Module) -> ast.ClassDef | None:
    """The helper of a file that was fixed before."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in NAMES and MARK in (ast.get_docstring(node) or ""):
            return node
    return None


def helper_name(text: str) -> str | None:
    """A name that a file does not hold; None if it holds all of them."""
    return next((name for name in NAMES if name not in text), None)
