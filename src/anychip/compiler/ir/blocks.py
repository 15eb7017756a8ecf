"""The control-flow graph of a region: which blocks are reached, in which order, and which dominate which.

In: a region of several blocks. Out: lists of its blocks. Nothing here looks into operations other than the
terminators.
"""

from __future__ import annotations

from .core import Block, Region


def postorder(region: Region) -> list[Block]:
    """The blocks that can be reached from the entry; each comes after its successors where there is no
    cycle, so the entry is the last."""
    order: list[Block] = []
    seen = {id(region.entry)}
    stack = [(region.entry, iter(_targets(region.entry)))]
    while stack:
        block, targets = stack[-1]
        for target in targets:
            if id(target) not in seen:
                seen.add(id(target))
                stack.append((target, iter(_targets(target))))
                break
        else:
            order.append(block)
            stack.pop()
    return order


def drop_unreachable(region: Region) -> None:
    """Remove the blocks that no branch leads to: Triton's front end leaves them behind a `return`."""
    reached = {id(block) for block in postorder(region)}
    region.blocks = [block for block in region.blocks if id(block) in reached]


def dominated(region: Region) -> dict[int, list[Block]]:
    """For the `id` of each block the blocks that it immediately dominates.

    The iterative algorithm of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
    Blocks that cannot be reached are left out.
    """
    order = postorder(region)
    number = {id(block): index for index, block in enumerate(order)}
    predecessors: list[list[int]] = [[] for _ in order]
    for block in order:
        for target in _targets(block):
            predecessors[number[id(target)]].append(number[id(block)])
    entry = len(order) - 1
    above: dict[int, int] = {entry: entry}
    changed = True
    while changed:
        changed = False
        for index in range(entry - 1, -1, -1):
            known = [p for p in predecessors[index] if p in above]
            closest = known[0]
            for other in known[1:]:
                closest = _meet(closest, other, above)
            if above.get(index) != closest:
                above[index] = closest
                changed = True
    children: dict[int, list[Block]] = {}
    for index in range(entry):
        children.setdefault(id(order[above[index]]), []).append(order[index])
    return children


def _meet(a: int, b: int, above: dict[int, int]) -> int:
    """The closest block that dominates both; numbers grow towards the entry."""
    while a != b:
        while a < b:
            a = above[a]
        while b < a:
            b = above[b]
    return a


def _targets(block: Block) -> list[Block]:
    return [target for target, _ in block.ops[-1].successors] if block.ops else []
