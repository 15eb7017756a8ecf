"""What one side of a comparison is. Flows in: words such as `policy=portable,chip=cortex-a76`, a command, or
a trace. Flows out: the command, environment and folder in which that side runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...environment import BISECT, EXCLUDE, POLICY
from ...errors import AnychipError
from ...suggestions import did_you_mean

SETTINGS = ("policy", "chip", "commit", "module", "python")
"""What a side may set, beside environment variables, which are in capitals."""

NONE = "none"
"""The policy of PyTorch's own operators."""

DRAWS = "random"
"""The domain that is left to PyTorch on both sides: the library draws other numbers than PyTorch by
design."""


class UnknownSide(AnychipError):
    """Words that name no side."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side. `trace`: it ran already, and this is what it wrote."""

    words: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    chip: str = ""
    commit: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    trace: Path | None = None

    @property
    def policy(self) -> str:
        """The policy that the environment asks for."""
        return self.environment.get(POLICY, "") or NONE

    def folder(self, checkouts: Path) -> Path:
        """Where it runs: here, or in a checkout of its commit, which is made under `checkouts`. Raises
        UnknownSide."""
        if not self.commit:
            return Path.cwd()
        top = Path(_git("rev-parse", "--show-toplevel"))
        revision = _git("rev-parse", "--verify", f"{self.commit}^{{commit}}")
        made = checkouts / revision
        if not made.exists():
            _git("worktree", "add", "--detach", str(made), revision)
        return made / Path.cwd().resolve().relative_to(top)

    def environment_for(self, wanted: str) -> dict[str, str]:
        """The environment of its process, which follows itself as `wanted` says."""
        made = {name: value for name, value in os.environ.items() if name not in (POLICY, BISECT)}
        made |= self.environment
        if POLICY in self.environment:
            made[EXCLUDE] = ",".join(filter(None, (made.get(EXCLUDE), DRAWS)))
        made.setdefault("TORCHDYNAMO_DISABLE", "1")
        made[BISECT] = wanted
        return made


def parse(words: str, program: Sequence[str]) -> Side:
    """A side by its words: settings of `program`, or a trace's file, or a whole command. Raises
    UnknownSide."""
    name, equals, _ = words.partition("=")
    if equals and " " not in name and (name in SETTINGS or name.isupper() or "/" not in name):
        return _of_settings(words, program)
    if Path(words).suffix == ".trace":
        if not Path(words).is_file():
            raise UnknownSide(f"there is no trace {words}")
        return Side(words, trace=Path(words))
    command = shlex.split(words)
    if not command:
        raise UnknownSide("a side is empty\n  Name a setting (policy=portable), a command, or a trace.")
    if command[0].endswith(".py"):
        command = [sys.executable, *command]
    elif command[0] in ("python", "python3"):
        command[0] = sys.executable
    return Side(words, tuple(command))


def _of_settings(words: str, program: Sequence[str]) -> Side:
    if not program:
        raise UnknownSide(
            f"{words} says how a program runs, but not which\n  Name it behind --: ... -- script.py"
        )
    environment: dict[str, str] = {}
    modules: dict[str, str] = {}
    values = {"chip": "", "commit": "", "python": sys.executable}
    for word in words.split(","):
        name, _, value = word.partition("=")
        if name == "policy":
            environment[POLICY] = "" if value == NONE else value
        elif name == "module":
            module, _, file = value.partition(":")
            if not Path(file).is_file():
                raise UnknownSide(f"{word}: there is no file {file!r}\n  Write module=NAME:FILE.py.")
            modules[module] = str(Path(file).absolute())
        elif name in values:
            values[name] = value
        elif name and name.isupper():
            environment[name] = value
        else:
            hint = did_you_mean(name, SETTINGS)
            raise UnknownSide(f"a side has no setting {name!r}; there are {', '.join(SETTINGS)}\n  {hint}")
    command = (values["python"], *program)
    return Side(words, command, environment, values["chip"], values["commit"], modules)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnknownSide(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


class Checkouts:
    """Checkouts of commits, for as long as the context is open."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anychip-bisect-commits-")
        self.path = Path(self._folder.name)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        for checkout in self.path.iterdir():
            _git("worktree", "remove", "--force", str(checkout))
        self._folder.cleanup()
