"""Errors of the targets room."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CompileError


class UnknownTarget(CompileError):
    """No target has this name. `meant`: known names that it probably stands for."""

    def __init__(self, name: str, known: Iterable[str], meant: Iterable[str] = ()):
        import difflib

        self.target_name = name
        known = sorted(set(known))
        near = [*meant] or difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.5)
        guess = f"Did you mean {', '.join(near)}? " if near else ""
        super().__init__(f"unknown target {name!r}", hint=f"{guess}Known: {', '.join(known)}.")


class UnusableTarget(CompileError):
    """This machine cannot run, or LLVM cannot make, code for the target that was asked for."""
