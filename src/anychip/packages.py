"""Packages that parts of Anychip need and that may be missing.

Flows in: a part, and the modules that it imports. Flows out: nothing, or an error that names what is missing,
only that, and a command that installs it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Sequence

from .errors import AnychipError

TITLES = {"torch": "PyTorch", "numpy": "NumPy", "matplotlib": "Matplotlib"}
"""Modules whose packages people call by another name. A module is called as the package that has it."""


class MissingPackage(AnychipError, ModuleNotFoundError):
    """A part of Anychip needs packages that are not installed.

    Code that may do without such a part can catch `ImportError`, as for any module.
    """

    def __init__(self, part: str, modules: Sequence[str]):
        titles = " and ".join(TITLES.get(module, module) for module in modules)
        are, them = ("is", "it") if len(modules) == 1 else ("are", "them")
        super().__init__(
            f"{part} needs {titles}, which {are} not installed.\n"
            f"  Install {them}: pip install {' '.join(modules)}"
        )
        self.name = modules[0]


def is_installed(module: str) -> bool:
    """Whether `module` can be found. It is not imported."""
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None


def require(part: str, modules: Sequence[str]) -> None:
    """Raise MissingPackage for those of `modules` that are missing."""
    missing = [module for module in modules if not is_installed(module)]
    if missing:
        raise MissingPackage(part, missing)


def reinstallation() -> str:
    """The command that installs Anychip again from where this installation came, as pip has written down: a
    wheel, a folder, a repository or an index."""
    try:
        record = importlib.metadata.distribution("anychip").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return "pip install -e ."
    if record is None:
        return "pip install --force-reinstall --no-deps anychip"
    origin = json.loads(record)
    if origin.get("dir_info", {}).get("editable"):
        return f"pip install -e {origin['url'].removeprefix('file://')}"
    version_control = origin.get("vcs_info", {}).get("vcs")
    source = (
        f"{version_control}+{origin['url']}" if version_control else origin["url"].removeprefix("file://")
    )
    return f"pip install --force-reinstall --no-deps {source}"
