"""Errors of the judge: what was asked wrongly, and what keeps it from judging. A kernel that is refused is no
error but a verdict."""

from __future__ import annotations

from ..errors import AnychipError


class AuthorError(AnychipError):
    """Base of this room's errors."""


class TaskError(AuthorError):
    """A task that is not there, or that does not say what it should."""


class CandidateError(AuthorError):
    """The file or function to be judged is not there."""


class RecordError(AuthorError):
    """A record that cannot be read, or a key that cannot be used."""


class JudgeError(AuthorError):
    """The judge itself cannot work here."""


class ProcessEnded(AuthorError):
    """A confined process ended, took too long, or said what it may not."""
