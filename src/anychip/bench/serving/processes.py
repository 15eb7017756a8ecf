"""Processes of candidates. Flows in: which, with which model. Flows out: answers to tasks, one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BenchmarkError

PROGRAM = Path(__file__).with_name("candidates.py")
STREAMS = 16
"""Answers at once that candidates make room for."""
CONTEXT = 1024
"""Tokens of context of each."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A candidate's own word: its version, and what a step reads of weights (0: unknown)."""

    version: str
    weight_bytes: int


class Process:
    """A candidate that has its model loaded. `environment` is added to this process's own."""

    def __init__(self, name: str, model: Path, threads: int, environment: Mapping[str, str] | None = None):
        self.name = name
        self.begun = time.perf_counter()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), name, str(model), str(threads), str(STREAMS), str(CONTEXT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.ready = Ready(**self._answer())

    def ask(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """What `candidates.timed` gives. Raises BenchmarkError where the process ends instead."""
        assert self._process.stdin is not None
        try:
            print(json.dumps(task), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            self._ended()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._ended()
        return json.loads(line)

    def _ended(self) -> None:
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        self.close()
        said = lines[-1] if lines else "it said nothing"
        raise BenchmarkError(f"the process of {self.name} ended with status {status}: {said}.")


def imports() -> int:
    """Bytes of its own memory that a process takes which has imported what a server of models imports."""
    text = "import torch, transformers, fastapi; from candidates import memory; print(memory())"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=PROGRAM.parent, capture_output=True, text=True, check=True
    )
    return int(done.stdout)
