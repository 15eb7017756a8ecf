"""The script that repeats a wrong step alone. Flows in: a verdict, and the file of the step's inputs. Flows
out: a Python file beside it, which needs PyTorch and Anychip only (and the kernel's own file)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .judging import Verdict
from .sides import NONE, Side

NAME = "reproduce.py"

_OPERATOR = '''"""{title}

Written by `anychip debug bisect`. Inputs and the program's results are in {file}.
"""

from pathlib import Path

import torch
from torch.utils._pytree import tree_leaves, tree_map
{imports}
saved = torch.load(Path(__file__).with_name("{file}"), weights_only=False)


def exact(value):
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.double()
    return torch.float64 if value in (torch.float32, torch.float16, torch.bfloat16) else value


def results(convert):
    arguments, keywords = tree_map(convert, (saved["arguments"], saved["keywords"]))
    found = torch.ops.{overload}(*arguments, **keywords)
    return [x for x in tree_leaves(found) if isinstance(x, torch.Tensor)]


{enable}found = results(lambda value: value)
{disable}for number, (ours, right, seen) in enumerate(zip(found, results(exact), saved["results"])):
    print(f"result {{number}}: {{ours.dtype}} {{list(ours.shape)}}")
    print("  off from float64 by", float((ours.double() - right.double()).abs().max()))
    print("  equal to the program's:", torch.equal(ours, seen))
'''

_KERNEL = '''"""{title}

Written by `anychip debug bisect`. Tensors and what the program's kernel wrote are in {file}.
"""

import sys
from pathlib import Path

import torch

from anychip.inspect.kernel_file import load_kernel

saved = torch.load(Path(__file__).with_name("{file}"), weights_only=False)
file = sys.argv[1] if len(sys.argv) > 1 else saved["file"]  # another version of the kernel, or its own
kernel = load_kernel(Path(file), saved["kernel"])
arguments = [saved["tensors"][x] if kind == "tensor" else x for kind, x in saved["arguments"]]
kernel[saved["grid"]](*arguments)
for number, (place, seen) in enumerate(zip(saved["written"], saved["outputs"])):
    ours = saved["tensors"][place]
    print(f"result {{number}}: {{ours.dtype}} {{list(ours.shape)}}")
    print("  off from the program's by", float((ours.double() - seen.double()).abs().max()))
'''

_NOT_ALONE = (
    "Alone it is right: what is wrong is in the program around it, such as a stale cache or its own code."
)


def write(
    folder: Path, verdict: Verdict, side: Side | None, reduced: Mapping[str, Any] | None, file: str
) -> Path | None:
    """Write the script for an operator's step of `side`, or (None) for a kernel's; None for a custom
    operator, which only its own program has."""
    if side is None and "." in verdict.name:
        return None
    made = folder / NAME
    if side is None:
        text = _KERNEL.format(title=_title(verdict, None), file=file)
    else:
        ours = side.policy != NONE
        text = _OPERATOR.format(
            title=_title(verdict, reduced),
            file=file,
            overload=verdict.name,
            imports="\nimport anychip\n" if ours else "",
            enable=f'anychip.enable("{side.policy}")\n' if ours else "",
            disable="anychip.disable()\n" if ours else "",
        )
    made.write_text(text, encoding="utf-8")
    return made


def _title(verdict: Verdict, reduced: Mapping[str, Any] | None) -> str:
    words = f"{verdict.name} (step {verdict.number}): {verdict.text}."
    if reduced is not None and not reduced["alone"]:
        words += f"\n\n{_NOT_ALONE}"
    return words.replace('"', "'")
