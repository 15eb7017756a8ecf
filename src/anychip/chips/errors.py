"""Errors of the chip registry."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import AnychipError


class UnknownChip(AnychipError):
    """No chip has this identifier. `carried`: chips of products that go by it."""

    def __init__(self, identifier: str, known: Iterable[str], carried: Iterable[str] = ()):
        import difflib

        self.identifier = identifier
        known = sorted(known)
        near = [*carried] or difflib.get_close_matches(identifier.lower(), known, n=4, cutoff=0.5)
        guess = f"Did you mean {', '.join(near)}? " if near else ""
        super().__init__(f"unknown chip {identifier!r}\n  {guess}Known: {', '.join(known)}.")


class ChipFileError(AnychipError):
    """A file of chips breaks a rule. `file` and `key` say where."""

    def __init__(self, file: str, key: str, problem: str, hint: str):
        self.file = file
        self.key = key
        super().__init__(f"{file}: {key}: {problem}\n  {hint}")
