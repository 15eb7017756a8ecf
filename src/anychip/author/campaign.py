"""Many candidates, one after another, in a run that goes on where it was interrupted. Flows in: a list of
candidates with their tasks, a file that keeps signed records. Flows out: outcomes, as they come."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import AnychipError
from . import record
from .arena import DTYPES
from .errors import CandidateError, RecordError
from .judgement import Terms
from .judging import judge
from .processes.confined import Nursery
from .tasks import find


class Entry(NamedTuple):
    """A candidate and its task."""

    path: Path
    function: str
    task: str
    dtype: str = "float32"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a record knows it by: the file's content, not its name."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest() if self.path.is_file() else ""
        return digest, self.function, self.task, self.dtype


class Outcome(NamedTuple):
    """What came of an entry. `signed`: its record, empty where the judge could not judge, as `line` says
    then."""

    entry: Entry
    line: str
    signed: Mapping[str, Any] = {}

    @property
    def accepted(self) -> bool:
        """Whether the candidate was accepted."""
        return bool(self.signed) and self.signed["record"]["verdict"] == "accepted"


def entry(subject: str, task: str, dtype: str = "float32", folder: Path | None = None) -> Entry:
    """The entry of FILE.py:function. Raises CandidateError."""
    path, colon, function = subject.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        raise CandidateError(f"{subject!r} names no candidate: write FILE.py:function.")
    if dtype not in DTYPES:
        raise CandidateError(f"there is no element type {dtype!r}; those known are {', '.join(DTYPES)}.")
    return Entry((folder or Path()) / path, function, task, dtype)


def read(path: Path) -> list[Entry]:
    """The entries of a set: a line each, FILE.py:function TASK [DTYPE], files being searched from the set's
    folder; # begins a remark. Raises CandidateError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CandidateError(f"the set {path} cannot be read: {error}") from None
    found = []
    for number, line in enumerate(lines, 1):
        words = shlex.split(line, comments=True)
        if words:
            if len(words) not in (2, 3):
                raise CandidateError(
                    f"{path}:{number}: write FILE.py:function TASK [DTYPE], not {line.strip()!r}."
                )
            subject, task, *dtype = words
            task = str(path.parent / task) if task.endswith(".py") else task
            found.append(entry(subject, task, *dtype, folder=path.parent))
    return found


def known(kept: Path, key: Any) -> dict[tuple[str, str, str, str], Mapping[str, Any]]:
    """The records in a file that this judge has signed, by what they are of. A line that another has signed,
    or that was cut off, is left out."""
    found: dict[tuple[str, str, str, str], Mapping[str, Any]] = {}
    public = record.public_text(key)
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        try:
            signed = json.loads(line)
            content = record.verify(signed, public)
        except (ValueError, RecordError):
            continue
        function = content["candidate"].rpartition(":")[2]
        found[content["candidate_sha256"], function, content["task"], content["dtype"]] = signed
    return found


def run(
    nursery: Nursery, entries: Sequence[Entry], terms: Terms, kept: Path | None, key: Any
) -> Iterator[Outcome]:
    """Judge every entry that is not in the file of records, and add it there. What the judge cannot judge is
    an outcome without a record, and is tried again the next time."""
    done = known(kept, key) if kept is not None else {}
    for one in entries:
        signed = done.get(one.key)
        if signed is not None:
            yield Outcome(one, signed["record"]["line"], signed)
            continue
        yield _judged(nursery, one, terms, kept, key)


def _judged(nursery: Nursery, one: Entry, terms: Terms, kept: Path | None, key: Any) -> Outcome:
    try:
        task = find(one.task)
        own = dataclasses.replace(terms, dtype=DTYPES[one.dtype])
        verdict = judge(nursery, task, one.path, one.function, own)
    except AnychipError as error:
        return Outcome(one, f"not judged: {error}")
    content = record.compose(verdict, task, one.path) | {"task": one.task}
    signed = record.sign(content, key)
    if kept is not None:
        with kept.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(signed, sort_keys=True) + "\n")
    return Outcome(one, verdict.line, signed)
