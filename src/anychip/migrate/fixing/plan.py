"""What is changed in a file, together or not at all. Flows in: a file that was read, and the matches that
count. Flows out: the new bytes, and why a file is left as it is.

`--fix` rewrites a file only if nothing is left in it that would not work on the accelerator that the
rewritten lines find: "cuda:0" beside a test for any accelerator is worse than both as they were.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..device_class import helper_name, helper_text
from ..reading.match import Match
from ..reading.python import PythonFile, end, start
from ..reading.source import Edit, Position, SourceText
from .sites import Change, FirstArgument, Rename, Replace, Rewriting, Trust, Wrap, rewriting

BLOCKING = ("AC1", "AC2", "AC3", "AC4", "AC5")
"""Families of what must not stay beside rewritten lines, unless its rule says that it is harmless."""


class NotRewritable(Exception):
    """A place in a file cannot be rewritten, for the reason given."""


@dataclass(slots=True)
class FixPlan:
    """The rewritings of a file. `held_back` says why safe fixes are not made, where there are any."""

    file: PythonFile
    rewritings: dict[Match, Rewriting] = field(default_factory=dict)
    held_back: str = ""

    def applies(self, match: Match) -> str:
        """ "safe" or "unsafe" for what `--fix` or `--unsafe-fixes` rewrites, else ""."""
        found = self.rewritings.get(match)
        if found is None:
            return ""
        return found.trust.value if not self.held_back else Trust.UNSAFE.value

    def fixed(self, unsafe: bool = False) -> bytes:
        """The file after its safe fixes, or after all."""
        source = self.file.source
        if unsafe:
            chosen = list(self.rewritings.values())
        else:
            chosen = [] if self.held_back else self._safe()
        return (
            source.edited(_edits(self.file, chosen)) if any(each.changes for each in chosen) else source.data
        )

    def _safe(self) -> list[Rewriting]:
        return [each for each in self.rewritings.values() if each.trust is Trust.SAFE]


def plan(file: PythonFile, kept: Iterable[Match], own_cuda: bool) -> FixPlan:
    """The plan of a file. `kept` are the matches that are reported; only these are rewritten. `own_cuda`: a
    class of the project has a method `cuda`."""
    made = FixPlan(file)
    if file.names is None or file.tree is None:
        return made
    for match in kept:
        found = rewriting(match, file.names, own_cuda)
        if found is not None:
            made.rewritings[match] = found
    if not made.rewritings:
        return made
    made.rewritings = _possible(file, made.rewritings)
    safe = {match for match, each in made.rewritings.items() if each.trust is Trust.SAFE}
    if safe:
        made.held_back = _blocked(file.matches, safe)
    return made


def _possible(file: PythonFile, rewritings: dict[Match, Rewriting]) -> dict[Match, Rewriting]:
    """Those that can be made in this file's text."""
    try:
        line, _ = _place(file)
    except NotRewritable:
        return {}
    possible = {}
    for match, each in rewritings.items():
        try:
            for change in each.changes:
                _edits_of(file.source, change, "", [])
        except NotRewritable:
            continue
        if match.at[0] > line:
            possible[match] = each
    return possible


def _blocked(matches: Iterable[Match], safe: set[Match]) -> str:
    """Why the safe fixes of a file are held back: the first thing that would be left beside them."""
    for match in matches:
        rule = match.rule
        if match not in safe and rule.code.startswith(BLOCKING) and not rule.harmless_elsewhere:
            return f"line {match.at[0]}: {match.found} ({rule.code}) would be left beside what is fixed"
    return ""


# ---- edits ------------------------------------------------------------------------------------------


def _edits(file: PythonFile, rewritings: Iterable[Rewriting]) -> list[Edit]:
    """The edits of some rewritings and of the helper that they call."""
    source = file.source
    name = file.helper.name if file.helper is not None else helper_name(source.text)
    assert name is not None
    opening: list[Edit] = []
    for each in rewritings:
        for change in each.changes:
            _edits_of(source, change, name, opening)
    if file.helper is not None:
        return opening
    line, torch = _place(file)
    return [_helper_edit(source, line, torch, name), *opening]


def _edits_of(source: SourceText, change: Change, helper: str, edits: list[Edit]) -> None:
    """Add the edits of a change. Raises NotRewritable where the parser's positions are not those of the text,
    which is so inside f-strings before Python 3.12, or where the text is written in a way that is not
    handled."""
    node = change.node
    first, last = start(source, node), end(source, node)
    _require_same(source, node, first, last)
    match change:
        case Wrap(before=before, after=after):
            edits.append(Edit(first, first, before.replace("{}", helper)))
            edits.insert(0, Edit(last, last, after))
        case Replace(text=text):
            edits.append(Edit(first, last, text.replace("{}", helper)))
        case Rename(text=text):
            edits.append(Edit((last[0], last[1] - len(change.node.attr)), last, text))
        case FirstArgument(node=call, text=text):
            after_name = end(source, call.func)
            rest = source.line(after_name[0])[after_name[1] :]
            if not rest.startswith("("):
                raise NotRewritable
            inside = (after_name[0], after_name[1] + 1)
            follows = ", " if call.args or call.keywords else ""
            edits.append(Edit(inside, inside, text.replace("{}", helper) + follows))


def _require_same(source: SourceText, node: ast.expr, first: Position, last: Position) -> None:
    try:
        again = ast.parse(f"({source.between(first, last)}\n)", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise NotRewritable from error
    if ast.dump(again) != ast.dump(node):
        raise NotRewritable


# ---- the helper's place -----------------------------------------------------------------------------


def _place(file: PythonFile) -> tuple[int, str]:
    """The line below which the helper goes, and what PyTorch is called there ("" where it has to be
    imported).

    It is below the imports at the top of the file, the one of PyTorch included. Raises NotRewritable where
    PyTorch is not imported there, since a program may want to do without it."""
    assert file.tree is not None
    assert file.names is not None
    if file.helper is not None:
        return file.helper.end_lineno or 0, ""
    if helper_name(file.source.text) is None:
        raise NotRewritable
    body = file.tree.body
    first = next((i for i, statement in enumerate(body) if _imports_torch(statement)), None)
    if first is None:
        raise NotRewritable
    while first + 1 < len(body) and _continues(body[first], body[first + 1]):
        first += 1
    line = body[first].end_lineno or 0
    torch = _alias(body[: first + 1])
    if not torch and file.names.is_bound("torch"):
        raise NotRewritable
    return line, torch


def _alias(body: Iterable[ast.stmt]) -> str:
    """What the imports at the top of a file call PyTorch."""
    for statement in body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.name == "torch" or (alias.name.startswith("torch.") and alias.asname is None):
                    return alias.asname or "torch"
    return ""


def _imports_torch(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import(names=names):
            return any(alias.name.partition(".")[0] == "torch" for alias in names)
        case ast.ImportFrom(module=str(module), level=0):
            return module.partition(".")[0] == "torch"
        case _:
            return False


def _continues(statement: ast.stmt, following: ast.stmt) -> bool:
    """Whether the helper goes below the following statement, too: a further import, or one on the same
    line."""
    same_line = following.lineno == statement.end_lineno
    return same_line or isinstance(following, ast.Import | ast.ImportFrom)


def _helper_edit(source: SourceText, line: int, torch: str, name: str) -> Edit:
    """The helper between two empty lines above and below, with the line ends of its place."""
    newline = source.line_end(line)
    text = "" if torch else "import torch\n"
    text += "\n\n" + helper_text(torch or "torch", name)
    below = 0
    while below < 2 and line + 1 + below <= len(source.lines) and not source.line(line + 1 + below).strip():
        below += 1
    if line < len(source.lines):
        text += "\n" * (2 - below)
    ends = source.lines[line - 1] != source.line(line) if line <= len(source.lines) else True
    place = (line + 1, 0) if ends else (line, len(source.line(line)))
    return Edit(place, place, ("" if ends else newline) + text.replace("\n", newline))
