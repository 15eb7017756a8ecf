"""The file that a run writes, a line of JSON a step: what each operator gave. Flows in: steps, as they
happen. Flows out: the same, in this process or another one, on this machine or elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ...errors import AnychipError
from .fingerprint import Fingerprint

VERSION = 1

OPERATOR, KERNEL, INPUT, DRAW = "operator", "kernel", "input", "draw"
"""Kinds of steps: a call of an ATen or custom operator; a launch of a Triton kernel outside of any; a tensor
that no step made, when it is first used; an operator that draws random numbers."""


class UnreadableTrace(AnychipError):
    """A file is no trace, or one of another version."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `inputs` are the numbers of the steps that wrote last to the memory of its arguments."""

    number: int
    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[Fingerprint, ...]

    def to_json(self) -> list[Any]:
        """A list for the file; the number is that of the line."""
        return [self.kind, self.name, list(self.inputs), [x.to_json() for x in self.outputs]]

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


class Writer:
    """Writes steps into a file; after each, the file is a trace that can be read."""

    def __init__(self, file: Path, about: dict[str, Any]):
        self._file: TextIO = file.open("w", encoding="utf-8")
        self._write({"trace": VERSION, **about})
        self._open = True

    def step(self, step: Step) -> None:
        """Write a step."""
        if self._open:
            self._write(step.to_json())

    def close(self) -> None:
        """The run has come to its end."""
        if self._open:
            self._write({"end": True})
            self._file.close()
            self._open = False

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
