"""The page of fused operators, `docs/llm.md`. Flows in: the room's registry and the records of runs. Flows
out: Markdown; also the rows that `anychip ops --llm` shows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..llm.other_names import OTHER_NAMES
from ..llm.registry import Fused, operators
from ..markdown import table
from . import fused_record
from .page import ABBREVIATED

COMMAND = "anychip ops --llm --page docs/llm.md"
PYTORCH = "aten::"


@dataclass(frozen=True, slots=True)
class FusedRow:
    """One fused operator. `what` is the first sentence of its documentation; `evidence` says, for each chip,
    what a run found."""

    name: str
    family: str
    signature: str
    what: str
    kernels: tuple[str, ...]
    dtypes: tuple[str, ...]
    differentiable: bool
    evidence: Mapping[str, str]

    def matches(self, words: str) -> bool:
        """Whether every word is in the name, the family or what it does."""
        text = " ".join((self.name, self.family, self.what))
        return all(word in text for word in words.split())


def rows(records: Sequence[Mapping[str, Any]] = ()) -> list[FusedRow]:
    """Every fused operator, by family and name."""
    ordered = sorted(operators().values(), key=lambda operator: (operator.family, operator.name))
    return [_row(operator, records) for operator in ordered]


def _row(operator: Fused, records: Sequence[Mapping[str, Any]]) -> FusedRow:
    return FusedRow(
        name=operator.name,
        family=operator.family,
        signature=", ".join(_parameter(p) for p in inspect.signature(operator.function).parameters.values()),
        what=_first_sentence(operator.function.__doc__ or ""),
        kernels=tuple(dict.fromkeys(kernel.__name__ for kernel in operator.kernels)),
        dtypes=tuple(str(dtype).removeprefix("torch.") for dtype in operator.dtypes),
        differentiable=operator.differentiable,
        evidence={record["chip"]: fused_record.found(record["results"], operator.name) for record in records},
    )


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default!r}"


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, without line breaks."""
    joined = " ".join(text.split("\n\n")[0].split())
    head, found, _ = joined.partition(". ")
    return head + "." if found else joined


def sentence(listed: Sequence[FusedRow]) -> str:
    """The counts in words."""
    families = len({row.family for row in listed})
    differentiable = sum(row.differentiable for row in listed)
    return (
        f"{len(listed)} fused operators in {families} families, {differentiable} of them with gradients of "
        f"their own."
    )


INTRODUCTION = """# Fused operators for language models

Operators that PyTorch has no name for, or has only as several. They are functions of `anychip.llm`, on
tensors of any chip, and differentiable where the table says so:

```python
from anychip import llm

hidden, residual = llm.add_rms_norm(hidden, residual, weight)
query, key = llm.rotary_embedding(query, key, cos, sin, positions)
out = llm.flash_attention(query, key, value, causal=True)
loss = llm.linear_cross_entropy(hidden, head, labels)
```

`help(anychip.llm.rms_norm)` tells shapes, dtypes and errors. `torch.func` works through all of them: a
batch of `vmap` is a loop, `jacrev` takes the kernels, `jvp` and `jacfwd` a plain composition in float64;
what has no derivative, or writes into its arguments, raises there. Causal language models of the
`transformers` library (4.56 and 5.24 are tried) take them without a change of their code:

```python
from anychip.llm.models import fuse

fuse(model)  # norms, gated feed-forward layers, attention, and the loss
```

Attention and its masks join through the library's own tables (`AttentionInterface`,
`AttentionMaskInterface`), so that caches of every kind, sliding windows, padding on both sides and packed
sequences give what they give without `fuse`. A layer's `forward` is replaced only where it takes one tensor
and both give the same numbers on a trial; call `fuse` before hooks of other libraries. Attention weights are
not kept, dropout inside attention is not served, and a keyword that is not known and could change a result
raises `ArgumentError`.
"""


def page(records: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    listed = rows(records)
    lines = [
        INTRODUCTION,
        f"{sentence(listed)} This page is written by `{COMMAND}` from the registry and the records in "
        f"`evidence/fused/`, which `{fused_record.COMMAND}` writes: samples of an operator against a "
        "plain PyTorch composition in float64, with gradients where there are any, and with our kernels "
        "launched.",
        "",
        _evidence(records),
    ]
    for family in sorted({row.family for row in listed}):
        lines += ["", f"## {family.replace('_', ' ')}", ""]
        lines.append(_table([row for row in listed if row.family == family], records))
    lines += ["", "## Under other names", "", *_other_names()]
    return "\n".join(lines) + "\n"


def _evidence(records: Sequence[Mapping[str, Any]]) -> str:
    if not records:
        return "No run is recorded yet."
    rows = []
    for record in records:
        of = record["operators"]
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        rows.append(
            (
                record["chip"],
                record["tier"],
                f"{of['passed']} / {of['tried']} / {of['total']}",
                f"{record['date']}, {record['commit']}, {versions}",
            )
        )
    return table(("chip", "tier", ("passed / tried / total", "right"), "date, commit, versions"), rows)


def _table(listed: Sequence[FusedRow], records: Sequence[Mapping[str, Any]]) -> str:
    chips = [record["chip"] for record in records]
    heads = ["operator", "what", "element types", "differentiable", *chips]
    rows = (
        [
            f"`{row.name}({row.signature})`",
            row.what,
            " ".join(ABBREVIATED.get(name, name) for name in row.dtypes),
            "yes" if row.differentiable else "no",
            *(row.evidence[chip] for chip in chips),
        ]
        for row in listed
    )
    return table(heads, rows)


def _other_names() -> list[str]:
    rows = ((f"`{there}`", ", ".join(f"`{name}`" for name in here)) for there, here in OTHER_NAMES.items())
    return [
        "What other libraries of kernels call it, and what it is here; `aten::` is PyTorch's own name, which "
        "the operator library serves.",
        "",
        table(("there", "here"), rows),
    ]
