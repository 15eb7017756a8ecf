"""The sanitizer in a process that the environment asks to check its kernels, from the end of PyTorch's import
to the end of the process."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path

from ..compiler.codegen.check_table import Check
from ..environment import SANITIZE_REPORT
from ..runtime import checks
from ..triton_backend import sanitizer
from .collecting import Collector
from .written import following


def start() -> None:
    """Follow what is written, where that is to be checked; gather what is found for a report, where one is
    asked for. Raises UnknownCheck."""
    wanted = sanitizer.wanted()
    if not wanted:
        return
    stack = ExitStack()
    folder = os.environ.get(SANITIZE_REPORT)
    if folder:
        collector = Collector()
        stack.enter_context(checks.listening(collector.add))
        atexit.register(collector.write, Path(folder))
    if Check.UNINITIALISED in wanted:
        stack.enter_context(following())
    atexit.register(stack.close)
