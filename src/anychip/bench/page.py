"""Tables inside a Markdown page, kept between marks so that the text around them is written by people.

Flows in: a page with lines `<!-- bench: NAME -->` and `<!-- end of bench: NAME -->`, and what to put
between them. Flows out: the page with that replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import BenchmarkError

_MARKED = r"(<!-- bench: {name} -->\n)(.*?)(<!-- end of bench: {name} -->)"


def names(text: str) -> list[str]:
    """The names of the page's marked sections, in order."""
    return re.findall(r"^<!-- bench: (.+) -->$", text, re.MULTILINE)


def replaced(text: str, sections: Mapping[str, str]) -> str:
    """The page with the content of the given sections replaced.

    Raises `BenchmarkError` when a section is not marked in the page, or its end is missing.
    """
    for name, content in sections.items():
        pattern = re.compile(_MARKED.format(name=re.escape(name)), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise BenchmarkError(
                f"the page has not exactly one section {name!r}; write `<!-- bench: {name} -->` and "
                f"`<!-- end of bench: {name} -->` where its tables shall be."
            )
        text = pattern.sub(
            lambda found, content=content: f"{found[1]}\n{content.strip()}\n\n{found[3]}", text
        )
    return text
