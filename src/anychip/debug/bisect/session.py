"""Follows a process that `anychip debug bisect` started, from the end of PyTorch's import to the end of the
process. Flows in: the environment. Flows out: a trace; or, on a second run, verdicts on the steps that are
wanted, with their inputs. The second run ends once the last of these was judged."""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import json
import os
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ...environment import BISECT
from ...pytorch.policy import disabled, policy
from ...triton_backend import activate
from .calls import Kernel
from .emulated import EmulatedChip
from .judging import FAULT, Verdict, judge
from .reducing import Reduced, reduced
from .trace_file import Step, Writer
from .tracing import Captured, Tracer, tracing

TRACE, VERDICTS, PROBLEM = "run.trace", "verdicts.json", "problem.txt"
"""Files in the folder of a run: its trace, what became of wanted steps, and why there is neither."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a process is asked to do. `steps`: those to be judged; none: write a trace. `digests` of their
    results on the first run. `chip`: an emulated chip, "" for this machine. `modules`: names of modules and
    the files to import them from."""

    folder: str
    steps: tuple[int, ...] = ()
    digests: dict[str, list[int]] = field(default_factory=dict)
    compared: tuple[int, ...] = ()
    chip: str = ""
    modules: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text for the environment."""
        return json.dumps(asdict(self))


def follow() -> None:
    """Begin to follow this process. What goes wrong is written for whoever started it; the process goes
    on."""
    wanted = Wanted(**json.loads(os.environ.pop(BISECT)))
    folder = Path(wanted.folder)
    try:
        sys.meta_path.insert(0, _Replacing(wanted.modules))
        random.seed(0)
        torch.manual_seed(0)
        if torch.device("cpu") and not torch.cuda.is_available():
            activate()
        chip = EmulatedChip(wanted.chip) if wanted.chip else None
        _Session(wanted, folder, chip).begin()
    except Exception as error:
        _failed(folder, error)


def _failed(folder: Path, error: Exception) -> None:
    (folder / PROBLEM).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")


class _Replacing(importlib.abc.MetaPathFinder):
    """Imports modules by name from other files."""

    def __init__(self, files: Mapping[str, str]):
        self.files = files

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """The module of a file, if one is asked for."""
        file = self.files.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)


class _Session:
    """What goes on in the process until it ends."""

    def __init__(self, wanted: Wanted, folder: Path, chip: EmulatedChip | None):
        self.wanted, self.folder = wanted, folder
        self.left = set(wanted.steps)
        self.captured: list[Captured] = []
        self.changed: list[int] = []
        self.stack = ExitStack()
        self.writer = None if wanted.steps else Writer(folder / TRACE, _about(wanted))
        sink = self.writer.step if self.writer is not None else self._known
        self.tracer = Tracer(sink, wanted=frozenset(wanted.steps), on_captured=self._captured, chip=chip)

    def begin(self) -> None:
        """Follow from now on."""
        self.stack.enter_context(tracing(self.tracer))
        atexit.register(self.end)

    def end(self) -> None:
        """The process ends: what is left to be told is told."""
        try:
            self.stack.close()
            if self.writer is not None:
                self.writer.close()
            elif self.captured or self.left:
                self._judge()
        except Exception as error:
            _failed(self.folder, error)

    def _known(self, step: Step) -> None:
        """A step of the second run: does it give what it gave before?"""
        digests = self.wanted.digests.get(str(step.number))
        if digests is not None and digests != [x.digest for x in step.outputs]:
            self.changed.append(step.number)

    def _captured(self, captured: Captured) -> None:
        self.captured.append(captured)
        self.left.discard(captured.number)
        if not self.left:
            try:
                self._judge()
            except Exception as error:
                _failed(self.folder, error)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    def _judge(self) -> None:
        """Judge what was captured, the earliest first, up to the first fault, and keep its inputs."""
        verdicts: list[Verdict] = []
        small: Reduced | None = None
        with disabled():
            for captured in self.captured:
                if not captured.call.referenced or captured.number in self.wanted.compared:
                    torch.save(saved(captured), self.folder / file_of(captured.number))
                verdicts.append(judge(captured))
                if verdicts[-1].outcome == FAULT:
                    break
        found = self.captured[len(verdicts) - 1] if verdicts and verdicts[-1].outcome == FAULT else None
        if found is not None:
            small = reduced(found)
            torch.save(small.saved(), self.folder / file_of(found.number))
        told = {
            "verdicts": [verdict.to_json() for verdict in verdicts],
            "changed": self.changed,
            "missing": sorted(self.left),
            "reduced": None if small is None else small.to_json(),
        }
        (self.folder / VERDICTS).write_text(json.dumps(told), encoding="utf-8")


def file_of(step: int) -> str:
    """The file of a step's inputs and results."""
    return f"step-{step}.pt"


def saved(captured: Captured) -> dict[str, Any]:
    """What a step of a kernel or a custom operator was given and gave, also for numbers moved by a rounding;
    and how it is done again."""
    call = captured.call
    told = {"outputs": captured.outputs, "moved": call.moved(), "tensors": list(tree_leaves(call.inputs))}
    if not isinstance(call, Kernel):
        return told
    launch = call.launch
    places = {id(x): k for k, (_, x) in enumerate(launch.pointers)}
    return told | {
        "kernel": launch.kernel,
        "file": call.file,
        "grid": launch.grid,
        "arguments": [
            ("tensor", places[id(x)]) if id(x) in places else ("value", x) for x in launch.arguments
        ],
        "written": call.written,
    }


def _about(wanted: Wanted) -> dict[str, Any]:
    """Which run a trace is of."""
    now = policy()
    return {
        "program": sys.orig_argv[1:],
        "policy": "none" if now is None else now.name,
        "chip": wanted.chip,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def steps_of(steps: Sequence[Step]) -> dict[str, list[int]]:
    """What a second run is told of the first one's steps."""
    return {str(step.number): [x.digest for x in step.outputs] for step in steps}
