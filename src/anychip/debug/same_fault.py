"""The questions of `debug reduce`: does a smaller file still fail in the same way?

Flows in: a file, and how its fault shows: the compiler's error, or a command of the user's. Flows out: a
question for `reducing`."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..compiler import pipeline, targets
from ..inspect.kernels import in_file
from .reducing import NothingToReduce, Question

SECONDS = 120


def compile_error(text: str, kernel: str, sig: Sequence[str], const: Sequence[str], target: str) -> Question:
    """Whether a file's kernel fails to compile with the error of `text`: its class, and its words without
    numbers, names and places. Raises NothingToReduce where it compiles."""
    chosen = targets.get(target)

    def fault(candidate: str) -> str:
        with tempfile.TemporaryDirectory(prefix="anychip-reduce-") as folder:
            file = Path(folder) / "kernel.py"
            file.write_text(candidate, encoding="utf-8")
            try:
                pipeline.compile_ttir(in_file(file, kernel, sig, const).ttir, chosen)
            except Exception as error:  # whatever Triton's front end or our compiler raises
                return _kind(error)
        return ""

    wanted = fault(text)
    if not wanted:
        raise NothingToReduce(f"{kernel} compiles for {target}; for a wrong result give a command: --test")
    return lambda candidate: fault(candidate) == wanted


def by_command(command: str) -> Question:
    """Whether a command of the user's ends with status 0; `{}` in it is the file, which is put at the end
    else."""

    def asks(candidate: str) -> bool:
        with tempfile.TemporaryDirectory(prefix="anychip-reduce-") as folder:
            file = Path(folder) / "kernel.py"
            file.write_text(candidate, encoding="utf-8")
            words = [word.replace("{}", str(file)) for word in shlex.split(command)]
            if "{}" not in command:
                words.append(str(file))
            try:
                done = subprocess.run(words, capture_output=True, timeout=SECONDS, check=False)
            except subprocess.TimeoutExpired:
                return False
        return done.returncode == 0

    return asks


def _kind(error: Exception) -> str:
    """An error's class and words, without what changes when the source shrinks."""
    innermost: BaseException = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    words = re.sub(r"\S*kernel\.py\S*|%\w+|\d+", "", str(innermost).strip().splitlines()[-1])
    return f"{type(innermost).__name__}: {words}"
