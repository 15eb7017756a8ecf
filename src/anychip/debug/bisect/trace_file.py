"""The file that a run writes, a line of JSON a step: what each operator gave. Flows in: steps, as they
happen. Flows out: the same, in this process or another one, on this machine or elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ...errors import AnychipError
from .fingerprint import Fingerprint

VERSION = 2
"""Of the file, and of what its hashes and sketches are made by."""

OPERATOR, KERNEL, INPUT, DRAW = "operator", "kernel", "input", "draw"
"""Kinds of steps: a call of an ATen or custom operator; a launch of a Triton kernel outside of any; a tensor
that no step made, when it is first used; an operator that draws random numbers."""


class UnreadableTrace(AnychipError):
    """A file is no trace, or one of another version."""


_quoted = functools.cache(json.dumps)
"""The name of an operator in JSON."""


class Step(NamedTuple):
    """One step. `inputs` are the numbers of the steps that wrote last to the memory of its arguments."""

    number: int
    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[Fingerprint, ...]

    def line(self) -> str:
        """The list for the file, as text; the number is that of the line."""
        inputs = ",".join(map(str, self.inputs))
        outputs = ",".join([x.line() for x in self.outputs])
        return f'["{self.kind}",{_quoted(self.name)},[{inputs}],[{outputs}]]'

    @classmethod
    def from_json(cls, number: int, told: list[Any]) -> Step:
        """The step of such a list."""
        kind, name, inputs, outputs = told
        return cls(number, kind, name, tuple(inputs), tuple(Fingerprint.from_json(x) for x in outputs))


@dataclass(slots=True)
class Trace:
    """What one run did. `about` says which run: policy, chip, versions. `whole`: it came to its end."""

    steps: list[Step] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    whole: bool = True


BATCH = 64
"""Steps that are made text together, which takes less time than one by one between a program's operators."""


class Writer:
    """Writes steps into a file, which can be read at any time; a process that is killed loses the last
    BATCH steps at most."""

    def __init__(self, file: Path, about: dict[str, Any]):
        self._file: TextIO = file.open("w", encoding="utf-8")
        self._waiting: list[Step] = []
        self._write({"trace": VERSION, **about})
        self._open = True

    def step(self, step: Step) -> None:
        """Write a step."""
        if self._open:
            self._waiting.append(step)
            if len(self._waiting) == BATCH:
                self._flush()

    def close(self) -> None:
        """The run has come to its end."""
        if self._open:
            self._flush()
            self._write({"end": True})
            self._file.close()
            self._open = False

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._file.writelines([step.line() + "\n" for step in waiting])
        self._file.flush()

    def _write(self, told: Any) -> None:
        self._file.write(json.dumps(told, separators=(",", ":")) + "\n")


def read(file: Path) -> Trace:
    """The trace in a file. Raises UnreadableTrace."""
    try:
        lines = list(_lines(file))
        about = lines[0]
        if about["trace"] != VERSION:
            raise UnreadableTrace(f"{file} is a trace of version {about['trace']}, this reads {VERSION}")
        whole = isinstance(lines[-1], dict) and "end" in lines[-1]
        steps = [Step.from_json(k, told) for k, told in enumerate(x for x in lines if isinstance(x, list))]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableTrace(f"{file} is no trace: {type(error).__name__}: {error}") from None
    return Trace(steps, about, whole)


def _lines(file: Path) -> Iterator[Any]:
    """What each whole line holds: the last one may have been cut by the end of the process."""
    with file.open(encoding="utf-8") as text:
        for line in text:
            if line.endswith("\n"):
                yield json.loads(line)
