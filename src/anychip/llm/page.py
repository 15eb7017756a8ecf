"""What docs/llm.md says beside the table of operators."""

from __future__ import annotations

from ..markdown import table
from ..ops.rooms import RoomPage
from .other_names import OTHER_NAMES

PYTORCH = "aten::"
"""What an operator of PyTorch's is marked by in the table of other names."""

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


def _sections() -> list[str]:
    rows = ((f"`{there}`", ", ".join(f"`{name}`" for name in here)) for there, here in OTHER_NAMES.items())
    return [
        "",
        "## Under other names",
        "",
        "What other libraries of kernels call it, and what it is here; `aten::` is PyTorch's own name, which "
        "the operator library serves.",
        "",
        table(("there", "here"), rows),
    ]


PAGE = RoomPage(INTRODUCTION, _sections)
