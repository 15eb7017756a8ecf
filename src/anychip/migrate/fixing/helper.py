"""The helper that fixed files get: the device that PyTorch finds, under the names of `torch.cuda`.

Flows in: the name that a file knows PyTorch by, and a name for the helper. Flows out: the text of a class. With
CUDA each of its answers is torch.cuda's own, so that a fixed program does there what it did before.
"""

from __future__ import annotations

NAMES = ("Accelerator", "PortableAccelerator", "DetectedAccelerator", "AnychipAccelerator")
"""Names for the helper; the first that a file does not hold is taken."""

_TEXT = '''\
class {helper}:
    """The accelerator that PyTorch finds, under the names of torch.cuda; `anychip migrate` wrote this class."""

    @staticmethod
    def type():
        """"cuda", "xpu", "mps" or another; "cuda" where there is none."""
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
    """The class, with LF line ends. `torch` is what the file calls PyTorch, `helper` the name of the class."""
    return _TEXT.format(torch=torch, helper=helper)


def helper_name(text: str) -> str | None:
    """A name that a file does not hold; None if it holds all of them."""
    return next((name for name in NAMES if name not in text), None)
