"""Reads assembly text: its blocks, its loops, and what kinds of instructions are in them.

In: the assembly of a kernel and the instruction set it is for. Out: `Code`. What an instruction is comes
from a small table of patterns for each instruction set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Patterns:
    """How one instruction set writes what the tests count; patterns search one instruction."""

    vector_multiply_add: str
    """A fused multiply-add of whole vectors of f32 (or a multiplication, where there is none)."""
    vector_arithmetic: str
    """Any floating-point arithmetic of whole vectors."""
    vector_load: str
    lane: str
    """A lane moved between a vector and a scalar register or memory."""
    spill: str
    """A vector stored to the stack."""
    reload: str
    """A vector loaded from the stack: a spill, or a constant that a loop keeps there."""
    call: str
    dot_product: str = r"\b\B"


PATTERNS: dict[str, Patterns] = {
    "x86_64": Patterns(
        vector_multiply_add=r"^vfn?m(add|sub)\d+ps\b|^mulps\b",
        vector_arithmetic=r"^v?(fn?m(add|sub)\d+|add|sub|mul|div|max|min|scalef)ps\b",
        vector_load=r"^v?movu?a?ps\s+[^%]*\(",
        lane=r"^v?p?(extract|extr[bwdq]|insr[bwdq]|insert)(ps|[bwdq])?\b",
        spill=r"[xyz]mm\d+, [^,]*\(%r[sb]p\)$",
        reload=r"\(%r[sb]p\),.*[xyz]mm",
        call=r"^callq?\b",
        dot_product=r"^vdpbf16ps\b|^vpdpbusd\b",
    ),
    "aarch64": Patterns(
        vector_multiply_add=r"^fml[as]\s+v\d+\.4s",
        vector_arithmetic=r"^f(ml[as]|add|sub|mul|div|max(nm)?|min(nm)?)\s+v\d+\.4s",
        vector_load=r"^ld(r|ur|p)\s+q|^ld1",
        lane=r"^(umov|smov|ins)\b|^mov\s+(v\d+\.[bhsd]\[|[wxshd]\d+, v\d+\.)|^ld1\s+\{ ?v\d+\.[bhsd] ?\}\[",
        spill=r"^st\S*\s+q\d+.*\[sp\b",
        reload=r"^ld\S*\s+q\d+.*\[sp\b",
        call=r"^blr?\b",
        dot_product=r"^bfdot\b|^[su]dot\b",
    ),
    "riscv64": Patterns(
        vector_multiply_add=r"^vfn?m(acc|add|sac|sub)\.v",
        vector_arithmetic=r"^vf(n?m(acc|add|sac|sub)|add|sub|rsub|mul|div|max|min)\.v",
        vector_load=r"^vle32",
        lane=r"^vslidedown|^vslide1|^vmv\.x\.s|^vfmv\.f\.s",
        spill=r"^vs\d+r|^vse\d+\S*\s.*\(sp\)",
        reload=r"^vl\d+r|^vle\d+\S*\s.*\(sp\)",
        call=r"^(call|jalr)\b",
    ),
    "loongarch64": Patterns(
        vector_multiply_add=r"^x?vfn?m(add|sub)\.s",
        vector_arithmetic=r"^x?vf(n?m(add|sub)|add|sub|mul|div|max|min)\.s",
        vector_load=r"^x?vldx?\b",
        lane=r"^x?v(pickve2gr|insgr2vr|insve0|pickve\.|stelm)",
        spill=r"^x?vst\b.*\$(sp|fp)\b",
        reload=r"^x?vld\b.*\$(sp|fp)\b",
        call=r"^(bl|pcaddu18i|jirl \$ra)\b",
    ),
    "wasm32": Patterns(
        vector_multiply_add=r"^f32x4\.mul\b",
        vector_arithmetic=r"^f32x4\.(add|sub|mul|div|p?max|p?min)\b",
        vector_load=r"^v128\.load\b",
        lane=r"^[if]\d+x\d+\.(extract|replace)_lane|^v128\.(load|store)\d+_lane",
        spill=r"__stack_pointer",
        reload=r"__stack_pointer",
        call=r"^call\b",
    ),
    "ppc64le": Patterns(
        vector_multiply_add=r"^xvn?m(add|sub)[am]sp\b",
        vector_arithmetic=r"^xv(n?m(add|sub)[am]|add|sub|mul|div|max|min)sp\b",
        vector_load=r"^lxv|^lxvx|^lvx",
        lane=r"^(mf|mt)vsr|^(vextu|vins|xxinsertw|xxextractuw)",
        spill=r"^(stxv|stvx)\b.*(\(1\)|, 1, \d+)$",
        reload=r"^(lxv|lvx)\b.*(\(1\)|, 1, \d+)$",
        call=r"^bl\b",
    ),
    "s390x": Patterns(
        vector_multiply_add=r"^vfm[as]sb\b",
        vector_arithmetic=r"^vf(m[as]?|a|s|d|max|min)sb\b",
        vector_load=r"^vlm?\b|^vlrep",
        lane=r"^vl[gv]e?[bhfg]|^vle[bhfg]|^vste[bhfg]",
        spill=r"^vst\b.*%r15\)",
        reload=r"^vl\b.*%r15\)",
        call=r"^brasl\b",
    ),
}


@dataclass(frozen=True)
class Block:
    """A straight line of instructions, and the blocks that may follow it."""

    instructions: tuple[str, ...]
    following: tuple[int, ...]

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, text)) for text in self.instructions)


@dataclass(frozen=True)
class Code:
    """The blocks of a kernel and the patterns of its instruction set."""

    blocks: tuple[Block, ...]
    patterns: Patterns

    def count(self, kind: str, blocks: Iterable[int] | None = None) -> int:
        """Instructions of a kind of the table, in some blocks or in all."""
        chosen = range(len(self.blocks)) if blocks is None else blocks
        return sum(self.blocks[k].count(getattr(self.patterns, kind)) for k in chosen)

    def loops(self, *without: str) -> list[frozenset[int]]:
        """The sets of blocks that can be gone round and round, avoiding every block that has an
        instruction of one of the kinds `without`."""
        clean = [k for k in range(len(self.blocks)) if not any(self.count(kind, [k]) for kind in without)]
        edges = {k: [f for f in self.blocks[k].following if f in set(clean)] for k in clean}
        return [c for c in _components(edges) if len(c) > 1 or any(k in edges[k] for k in c)]

    def innermost(self, kind: str) -> Block:
        """The block that loops to itself with most instructions of a kind."""
        selfish = [b for k, b in enumerate(self.blocks) if k in b.following]
        return max(selfish, key=lambda b: b.count(getattr(self.patterns, kind)))


def read(text: str, isa: str) -> Code:
    """The control flow of an assembly text."""
    lines = _instructions(text)
    if isa == "wasm32":
        lines = _with_labels(lines)
    starts, at = [0], {}
    for k, line in enumerate(lines):
        if _LABEL.match(line):
            starts.append(k)
        elif _is_jump(line, lines):
            starts.append(k + 1)
    starts = [*sorted(set(starts)), len(lines)]
    spans = [(a, b) for a, b in pairwise(starts) if a < b]
    for number, (a, _) in enumerate(spans):
        if found := _LABEL.match(lines[a]):
            at[found.group(1)] = number
    blocks = []
    for number, (a, b) in enumerate(spans):
        last = lines[b - 1]
        following = [at[target] for target in _targets(last) if target in at]
        if not _LEAVES.match(last) and number + 1 < len(spans):
            following.append(number + 1)
        blocks.append(Block(tuple(x for x in lines[a:b] if not _LABEL.match(x)), tuple(following)))
    return Code(tuple(blocks), PATTERNS[isa])


_LABEL = re.compile(r"^(\.?[\w$.]+):")
_LEAVES = re.compile(
    r"^(jmpq?|b|j|jr|br|br\.uncond|ret|retq|blr|unreachable|return|vzeroupper;ret|ud2)(\s|$)"
)
"""Instructions after which the next one does not run."""


def _targets(line: str) -> list[str]:
    return [word for word in line.replace(",", " ").split()[1:] if word.startswith((".L", "wasm."))]


def _is_jump(line: str, lines: list[str]) -> bool:
    return bool(_LEAVES.match(line)) or bool(re.match(r"^(b|j|c|t)", line) and _targets(line))


def _instructions(text: str) -> list[str]:
    """Labels and instructions, without directives and comments."""
    found = []
    for line in text.splitlines():
        stripped = re.split(r"\s+#|\s+//|\t#", line)[0].strip().replace("\t", " ")
        if stripped and (_LABEL.match(stripped) or not stripped.startswith((".", "#"))):
            found.append(stripped)
    return found


def _with_labels(lines: list[str]) -> list[str]:
    """WebAssembly's nested blocks as labels and branches to them."""
    found: list[str] = []
    open_blocks: list[str] = []
    for number, line in enumerate(lines):
        word, *rest = line.split()
        if word in ("block", "loop"):
            open_blocks.append(f"wasm.{word}.{number}")
            found += [f"{open_blocks[-1]}:"] if word == "loop" else []
        elif word in ("end_block", "end_loop"):
            label = open_blocks.pop()
            found += [f"{label}:"] if word == "end_block" else []
        elif word in ("br", "br_if"):
            found.append(f"{word} {open_blocks[-1 - int(rest[0])]}")
        else:
            found.append(line)
    return found


def _components(edges: dict[int, list[int]]) -> list[frozenset[int]]:
    """The strongly connected components of a graph (Tarjan's algorithm, SIAM J. Comput. 1972)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[frozenset[int]] = []

    def visit(k: int) -> None:
        index[k] = low[k] = len(index)
        stack.append(k)
        for f in edges[k]:
            if f not in index:
                visit(f)
                low[k] = min(low[k], low[f])
            elif f in stack:
                low[k] = min(low[k], index[f])
        if low[k] == index[k]:
            component = stack[stack.index(k) :]
            del stack[stack.index(k) :]
            found.append(frozenset(component))

    for k in edges:
        if k not in index:
            visit(k)
    return found
