"""Pages of the cache: who has them, and which hold a prefix that another prompt may begin with. Flows in:
tokens of sequences. Flows out: numbers of pages. A page that no sequence has keeps its content until it is
taken for another; the one that was given back first is taken first."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence

Key = tuple[int, tuple[int, ...]]
"""The number of what is before a page (for nothing 0, or less the number of an adapter), and the page's
tokens: all that its content depends on. Numbers are never used again, so that what follows on a page whose
content is gone is not found any more."""


class Pages:
    """`count` pages of `size` tokens. Page 0 is never given away."""

    def __init__(self, count: int, size: int):
        self.size, self.count = size, count - 1
        self._users = [0] * count
        self._free: OrderedDict[int, None] = OrderedDict((page, None) for page in range(1, count))
        self._known: dict[Key, tuple[int, int]] = {}
        self._keys: dict[int, Key] = {}
        self._numbers = itertools.count(1)

    @property
    def free(self) -> int:
        """Pages that no sequence has."""
        return len(self._free)

    def take(self) -> int | None:
        """A page for new tokens; None where there is none."""
        if not self._free:
            return None
        page, _ = self._free.popitem(last=False)
        self._forget(page)
        self._users[page] = 1
        return page

    def give_back(self, pages: Sequence[int]) -> None:
        """A sequence lets go of its pages; later ones are taken for others first."""
        for page in reversed(pages):
            self._users[page] -= 1
            if not self._users[page]:
                self._free[page] = None

    def found(self, tokens: Sequence[int], adapter: int = 0) -> list[int]:
        """Pages that hold the beginning of these tokens as an adapter computes it, for one more sequence. At
        least one token is left out, so that there is something to compute."""
        pages: list[int] = []
        number = -adapter
        for first in range(0, len(tokens) - self.size, self.size):
            page, number = self._known.get((number, tuple(tokens[first : first + self.size])), (0, 0))
            if not page:
                break
            pages.append(page)
        for page in pages:
            if not self._users[page]:
                del self._free[page]
            self._users[page] += 1
        return pages

    def keep(self, tokens: Sequence[int], pages: Sequence[int], adapter: int = 0) -> None:
        """Remember full pages of a sequence as prefixes. Where another page holds the same, that one is."""
        number = -adapter
        for k in range(min(len(tokens) // self.size, len(pages))):
            key = (number, tuple(tokens[k * self.size : (k + 1) * self.size]))
            if key not in self._known:
                self._forget(pages[k])
                self._known[key] = pages[k], next(self._numbers)
                self._keys[pages[k]] = key
            number = self._known[key][1]

    def _forget(self, page: int) -> None:
        """A page gets other content."""
        key = self._keys.pop(page, None)
        if key is not None:
            del self._known[key]
