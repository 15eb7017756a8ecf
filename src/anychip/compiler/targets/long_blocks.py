"""Divides basic blocks of thousands of instructions, such as fully unrolled kernels have.

LLVM 22 selects and orders the instructions of a block together, in a time that grows faster than the block:
9 s for the 80,000 instructions of an unrolled singular value decomposition, 2 s for the same in parts. Flows
in: LLVM IR as LLVM prints it, after the passes that would join the parts again. Flows out: the same with
blocks of bounded length, which end by asking for what never is: that a pointer the launcher passes is null.
"""

from __future__ import annotations

import re

LONG = 4000
"""Instructions from which on a block is divided. Shorter ones, as most kernels have, stay as they are."""
PART = 1000
"""Instructions of a part: a comparison and a branch more for these."""
LONG_TEXT = 20 * LONG
"""Characters that a module with a long block has at least."""

_LABEL = re.compile(r'([-\w.$]+|"[^"]*"):')
_POINTER = re.compile(r"\bptr [^,%)]*(%[-\w.$]+)")
_INCOMING = re.compile(r"%([-\w.$]+) \]")
_PHI = " = phi "
_INSEPARABLE = ("   ", "  br ", "  ret ", "  switch ", "  unreachable", "  ]")
ENTRY = "0"
"""The name of an entry block without a label, in a function whose arguments have names."""


def divide_long_blocks(text: str) -> str:
    """The module `text` with its long blocks divided; `text` itself where there is none."""
    lines = text.split("\n")
    out: list[str] = []
    position, divided = 0, False
    while position < len(lines):
        if not lines[position].startswith("define void "):
            out.append(lines[position])
            position += 1
            continue
        end = lines.index("}", position)
        function = _divided(lines[position:end])
        divided = divided or len(function) > end - position
        out += function
        position = end
    return "\n".join(out) if divided else text


def _divided(function: list[str]) -> list[str]:
    """The lines of a function, up to its closing brace."""
    pointer = _POINTER.search(function[0])
    blocks = _blocks(function[1:])
    if pointer is None or all(len(block) < LONG for block in blocks):
        return function
    out = [function[0]]
    last: dict[str, str] = {}
    for block in blocks:
        labelled = _LABEL.match(block[0])
        name = labelled.group(1) if labelled else ENTRY
        since = 0
        for left, line in zip(range(len(block), 0, -1), block, strict=True):
            if len(block) >= LONG and since >= PART and left > PART and _may_start(line):
                part = f"part.{len(last)}.{left}"
                out += [
                    f"  %never.{part} = icmp eq ptr {pointer.group(1)}, null",
                    f"  br i1 %never.{part}, label %never, label %{part}",
                    f"{part}:",
                ]
                last[name] = part
                since = 0
            out.append(line)
            since += 1
    out += ["never:", "  ret void"]
    return [_renamed(line, last) if _PHI in line else line for line in out]


def _may_start(line: str) -> bool:
    """Whether a block may start with this line of another: no phi, and no part of a longer instruction."""
    return line.startswith("  ") and not line.startswith(_INSEPARABLE) and _PHI not in line


def _blocks(lines: list[str]) -> list[list[str]]:
    """The lines of each block, its label first; the entry block may have none."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _LABEL.match(line) and blocks[-1]:
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _renamed(phi: str, last: dict[str, str]) -> str:
    """A phi whose values come from the last parts of blocks."""
    return _INCOMING.sub(lambda found: f"%{last.get(found.group(1), found.group(1))} ]", phi)
