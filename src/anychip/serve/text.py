"""Text of an answer that may be shown while it is written: whole characters only, and nothing that could turn
out to belong to a stop string. Flows in: tokens. Flows out: pieces of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BROKEN = "\ufffd"
LOOK_BACK = 8
"""Tokens before the new ones that are decoded again with them: decoders treat the first token differently."""


class Writer:
    """The text of one answer. `decode` gives the text of tokens; `stop` ends it where it stands complete."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()):
        self._decode, self._stop = decode, tuple(stop)
        self._tokens: list[int] = []
        self._first = self._shown = 0
        self._held = ""
        self.stopped_by: str | None = None

    def add(self, token: int) -> str:
        """The text that may be shown now. `stopped_by` is set once a stop string is complete."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._first : self._shown])
        after = self._decode(self._tokens[self._first :])
        if after.endswith(BROKEN) and len(self._tokens) - self._shown < 4:
            return ""
        self._first = max(self._first, len(self._tokens) - LOOK_BACK) if _is_clean(after) else self._first
        new = after[len(before) :]
        self._shown = len(self._tokens)
        self._first = min(self._first, self._shown)
        return self._through(new)

    def rest(self) -> str:
        """What was held back, when the answer ends without a stop string."""
        before = self._decode(self._tokens[self._first : self._shown])
        left = self._decode(self._tokens[self._first :])[len(before) :]
        shown = self._through(left)
        held, self._held = self._held, ""
        return shown if self.stopped_by is not None else shown + held

    def _through(self, new: str) -> str:
        text = self._held + new
        found = [(text.find(stop), stop) for stop in self._stop if stop in text]
        if found:
            at, self.stopped_by = min(found)
            self._held = ""
            return text[:at]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _is_clean(text: str) -> bool:
    return not text.endswith(BROKEN)


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text begin the stop string."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
