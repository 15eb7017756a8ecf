"""A page followed to the letter: files are written where it says, its examples and commands run, and what it
shows of their output is compared with what comes out.

A fenced block after a line that ends in a file's name and a colon is that file's text, or a change of it
where the block is a `diff`; after "says:", it is a quotation, which has to stand in that file of the
repository. In a block `console`, lines that begin with `$ ` are commands (`anychip` and `python`), and what
follows is their output; blocks `pycon` are Python's own examples. In what is shown, `...` stands for any
text, on a line of its own for any lines; blanks count as one, and empty lines as none.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import anychip
from anychip.cli.application import application

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:`(?P<file>[\w./-]+)`(?P<says> says)?:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

Command = Callable[[list[str]], str]
"""Runs a command and gives what it prints; raises AssertionError where it fails."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page. `file` is the file that it is, or, if it is `quoted`, that it stands in."""

    kind: str
    text: str
    file: str = ""
    quoted: bool = False


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page that have a language."""
    for found in BLOCK.finditer(page):
        yield Block(found["kind"], found["text"], found["file"] or "", bool(found["says"]))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a block `console`, each with the output that is shown."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def plain(text: str) -> str:
    """Text whose blanks count as one, and empty lines as none."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def pattern(shown: str) -> re.Pattern[str]:
    """What output is that is shown so."""
    lines = (
        r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + r"\n"
        for line in plain(shown).splitlines()
    )
    return re.compile("".join(lines))


def compare(command: str, shown: str, printed: str) -> None:
    """Fail where a command printed something else than is shown."""
    assert pattern(shown).fullmatch(plain(printed)), f"$ {command}\n{plain(printed)}\nis shown as\n{shown}"


def changed(text: str, diff: str) -> str:
    """A file's text after the change that a block `diff` shows."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"what is changed is not there, or more than once:\n{before}"
    return text.replace(before, after)


def follow(page: Path, folder: Path, run: Command) -> None:
    """Do what a page says in a folder, by `run`. Raises AssertionError where something else comes out."""
    names: dict[str, Any] = {}
    anychip.report(reset=True)  # pages show reports of what they do themselves
    for block in blocks(page.read_text(encoding="utf-8")):
        file = folder / block.file
        if block.quoted:
            source = plain((ROOT / block.file).read_text(encoding="utf-8"))
            assert pattern(block.text).search(source), f"{block.file} does not say\n{block.text}"
        elif block.file and block.kind == "diff":
            text = changed(file.read_text(encoding="utf-8"), block.text)
            file.unlink()  # it may be a link
            file.write_text(text, encoding="utf-8")
        elif block.file:
            assert not file.exists()
            file.write_text(block.text, encoding="utf-8")
        elif block.kind == "console":
            for command, shown in commands(block.text):
                compare(command, shown, run(shlex.split(command)))
        elif block.kind == "pycon":
            _examples(block.text, names, page.name)


def _examples(text: str, names: dict[str, Any], page: str) -> None:
    example = doctest.DocTestParser().get_doctest(text, names, page, page, 0)
    printed: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=printed.append, clear_globs=False)
    names.update(example.globs)
    assert outcome.failed == 0, "".join(printed)


def here(words: list[str]) -> str:
    """Run `anychip` in this process."""
    assert words[0] == "anychip", words
    done = CliRunner().invoke(application, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the repository, of links, to which files can be added."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Copy:
        """A copy in an empty folder."""
        (folder / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
        for part in ("src", "tools", "evidence"):
            shutil.copytree(
                ROOT / part,
                folder / part,
                copy_function=os.symlink,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        (folder / "docs").mkdir()
        return cls(folder)

    def run(self, words: list[str]) -> str:
        """Run `anychip` or `python` of the copy in a process."""
        program = {"anychip": ["-m", "anychip"], "python": []}[words[0]]
        done = subprocess.run(
            [sys.executable, *program, *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            env={**os.environ, "PYTHONPATH": str(self.folder / "src"), "COLUMNS": "160"},
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout
