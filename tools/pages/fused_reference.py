"""The reference of the fused operators: which functions of `anychip.llm` are documented where. Flows in: the
registry. Flows out: a page that Sphinx fills with their docstrings."""

from __future__ import annotations

from anychip.llm.registry import operators

HEAD = """\
# Fused operators

The functions of `anychip.llm`, by family. This page is written by `anychip pages --write fused-reference`
from the registry; the site has each function's docstring in its place. [What was shown of each](../llm.md) is
on a page of its own.
"""


def written(text: str) -> str:
    """docs/reference/llm.md, of the registry; `text` is the page as it stands."""
    families: dict[str, list[str]] = {}
    for name, operator in sorted(operators().items()):
        families.setdefault(operator.family, []).append(name)
    parts = [HEAD]
    for family, names in sorted(families.items()):
        functions = "\n".join(f".. autofunction:: anychip.llm.{name}" for name in names)
        parts.append(f"## {family}\n```{{eval-rst}}\n{functions}\n```\n")
    parts.append(
        "## Models\n```{eval-rst}\n.. autofunction:: anychip.llm.models.fuse\n"
        ".. autofunction:: anychip.llm.models.causal_loss\n```\n"
    )
    return "\n".join(parts)
