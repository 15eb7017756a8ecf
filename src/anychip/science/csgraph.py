"""Graphs as sparse matrices under the names of `scipy.sparse.csgraph`: distances, components and orders, and
the weights of PageRank. Flows in: a matrix whose elements are the lengths of edges from rows to columns.
Flows out: arrays over its vertices. Every vertex takes the least of what its neighbours offer, in rounds, so
that no two programs write to one place."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ..ops.distinct import distinct
from ..ops.launching import cdiv, launch
from .arrays import Restore
from .errors import InvalidValue, NotProvided
from .sparse.matrix import Rows, coordinates, matrix
from .sparse.products import multiply

BLOCK = 16
NOWHERE = -9999
"""SciPy's number for a vertex without a predecessor."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["n"])
def relax_kernel(
    out, before, changed, value, starts, columns, lengths, n, WEIGHTED: tl.constexpr, BLOCK: tl.constexpr
):
    """out [sources, n] = the least of value and of what edges from columns offer, value plus length
    (WEIGHTED; otherwise value); before [sources, n] becomes the vertex whose offer was less, changed
    [sources, programs] whether any was. A program takes BLOCK vertices of a source."""
    distinct(out, value)
    distinct(before, value)
    source = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    own = tl.load(value + source * n + i, mask=mask, other=0)
    first = tl.load(starts + i, mask=mask, other=0).to(tl.int64)
    count = tl.load(starts + i + 1, mask=mask, other=0).to(tl.int64) - first
    best = own
    through = tl.load(before + source * n + i, mask=mask, other=0)
    for k in range(tl.max(count, 0)):
        here = mask & (k < count)
        other = tl.load(columns + first + k, mask=here, other=0).to(tl.int64)
        offer = tl.load(value + source * n + other, mask=here, other=float("inf"))
        if WEIGHTED:
            offer += tl.load(lengths + first + k, mask=here, other=0)
        less = here & (offer < best)
        best = tl.where(less, offer, best)
        through = tl.where(less, other, through)
    tl.store(out + source * n + i, best, mask=mask)
    tl.store(before + source * n + i, through, mask=mask)
    any_less = tl.max((mask & (best < own)).to(tl.int32), 0)
    tl.store(changed + source * tl.num_programs(0) + tl.program_id(0), any_less)


@triton.jit
def breadth_kernel(order, before, seen, count, starts, columns, start):
    """order, before: vertices in the order in which they are reached from `start`, and through which; seen
    [n] is zero; count[0] how many. One program."""
    distinct(order, columns)
    distinct(before, columns)
    zero = tl.zeros((), tl.int64)
    tl.store(order, zero + start)
    tl.store(seen + start, 1)
    head = zero
    tail = zero + 1
    while head < tail:
        vertex = tl.load(order + head)
        head += 1
        for k in range(tl.load(starts + vertex), tl.load(starts + vertex + 1)):
            other = tl.load(columns + k).to(tl.int64)
            if tl.load(seen + other) == 0:
                tl.store(seen + other, 1)
                tl.store(before + other, vertex)
                tl.store(order + tail, other)
                tail += 1
    tl.store(count, tail)


# ---- names ----------------------------------------------------------------------------------------


def _graph(csgraph: Any, directed: bool = True) -> tuple[Rows, Restore]:
    """Edges in compressed rows, those of both ways if not `directed`, in double precision."""
    a, restore = matrix(csgraph, "csgraph")
    if a.shape[0] != a.shape[1]:
        raise InvalidValue(f"compressed-sparse graph must be a square matrix, not {a.shape}")
    a = Rows(a.shape, a.starts.to(torch.int64), a.columns.to(torch.int64), a.values.detach().double())
    if directed:
        return a, restore
    row = a.rows()
    both = torch.cat([row, a.columns]), torch.cat([a.columns, row])
    return coordinates(a.shape, both[0], both[1], a.values.repeat(2)), restore


def _relaxed(
    edges: Rows, value: torch.Tensor, weighted: bool, rounds: int
) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """(the least values [sources, n] that edges into each vertex allow, through which vertex, whether they
    still changed after `rounds`)."""
    sources, n = value.shape
    before = torch.full((sources, n), NOWHERE, dtype=torch.int64, device=value.device)
    programs = cdiv(n, BLOCK)
    changed = torch.empty((sources, programs), dtype=torch.int32, device=value.device)
    for _ in range(rounds):
        out = torch.empty_like(value)
        launch(
            relax_kernel, (programs, sources), out, before, changed, value, edges.starts, edges.columns,
            edges.values, n, WEIGHTED=weighted, BLOCK=BLOCK,
        )  # fmt: skip
        value = out
        if not bool(changed.any()):
            return value, before, False
    return value, before, True


def shortest_path(
    csgraph: Any, method: str = "auto", directed: bool = True, return_predecessors: bool = False,
    unweighted: bool = False, overwrite: bool = False, indices: Any = None,
) -> Any:  # fmt: skip
    """Distances [sources, n] along edges of csgraph [n, n] from `indices` (every vertex), infinite where
    there is no way, and with `return_predecessors` the vertices [sources, n] before each, -9999 where there
    is none; of one index without the first axis. By rounds over all edges (Bellman and Ford), whatever
    `method`; lengths may be negative. Not differentiable. Raises InvalidValue, also where a round trip has a
    negative length."""
    if method not in ("auto", "FW", "D", "BF", "J"):
        raise InvalidValue(f"unrecognized method {method!r}")
    a, restore = _graph(csgraph, directed)
    n = a.shape[0]
    edges = a.transposed()
    if unweighted:
        edges = Rows(edges.shape, edges.starts, edges.columns, torch.ones_like(edges.values))
    given = torch.arange(n) if indices is None else torch.as_tensor(indices)
    listed = given.reshape(-1).to(torch.int64).to(a.values.device)
    if bool(((listed < -n) | (listed >= n)).any()):
        raise InvalidValue(f"indices out of range 0...{n - 1}")
    listed = listed % max(n, 1)
    value = torch.full((len(listed), n), torch.inf, dtype=torch.float64, device=a.values.device)
    value[torch.arange(len(listed)), listed] = 0
    value, before, going = (
        _relaxed(edges, value, True, n + 1) if value.numel() else (value, value.long(), False)
    )
    if going:
        raise InvalidValue("Negative cycle in the graph: distances have no least value.")
    shape = (*given.shape, n)
    distance = restore(value.reshape(shape))
    if not return_predecessors:
        return distance
    return distance, restore(before.to(torch.int32).reshape(shape))


def connected_components(
    csgraph: Any, directed: bool = True, connection: str = "weak", return_labels: bool = True
) -> Any:
    """(how many parts csgraph [n, n] has between which there are no edges, of which each vertex is [n]),
    parts in the order of their first vertices; without `return_labels` the number alone. Raises InvalidValue,
    and NotProvided for strong connection."""
    if connection.lower() not in ("weak", "strong"):
        raise InvalidValue("connection must be 'weak' or 'strong'")
    if directed and connection.lower() == "strong":
        raise NotProvided("strongly connected components are not served", 'Use "weak", or directed=False.')
    a, restore = _graph(csgraph, False)
    n = a.shape[0]
    value = torch.arange(n, dtype=torch.float64, device=a.values.device)[None]
    first = _relaxed(a, value, False, n + 1)[0][0].to(torch.int64) if n else value[0].long()
    roots, labels = torch.unique(first, return_inverse=True)
    return (len(roots), restore(labels.to(torch.int32))) if return_labels else len(roots)


def breadth_first_order(
    csgraph: Any, i_start: int, directed: bool = True, return_predecessors: bool = True
) -> Any:
    """(the vertices in the order in which a search in breadth from `i_start` reaches them, the vertex [n]
    before each, -9999 where there is none); without `return_predecessors` the order alone. Raises
    InvalidValue."""
    a, restore = _graph(csgraph, directed)
    n = a.shape[0]
    if not 0 <= i_start < n:
        raise InvalidValue(f"i_start must be within 0 and {n - 1}, not {i_start}")
    order, seen, count = (torch.zeros(size, dtype=torch.int64, device=a.values.device) for size in (n, n, 1))
    before = torch.full_like(order, NOWHERE)
    launch(breadth_kernel, 1, order, before, seen, count, a.starts, a.columns, i_start)
    found = restore(order[: int(count)].to(torch.int32))
    return (found, restore(before.to(torch.int32))) if return_predecessors else found


def pagerank(csgraph: Any, damping: float = 0.85, tol: float = 1e-12, maxiter: int = 1000) -> Any:
    """The weights [n], of sum one, of the vertices of csgraph [n, n] under a walk that takes an edge by its
    length with the probability `damping`, and else, or where there is none, goes anywhere (Page, Brin,
    Motwani and Winograd, 1999); ends when a round changes less than `tol` in sum. Raises InvalidValue."""
    if not 0 <= damping < 1:
        raise InvalidValue(f"damping must be at least 0 and below 1, not {damping}")
    a, restore = _graph(csgraph)
    n = a.shape[0]
    if bool((a.values < 0).any()):
        raise InvalidValue("lengths of edges must not be negative")
    row = a.rows()
    sums = torch.zeros(n, dtype=torch.float64, device=a.values.device).index_add_(0, row, a.values)
    walk = Rows(a.shape, a.starts, a.columns, a.values / sums[row]).transposed()
    weights = torch.full_like(sums, 1 / max(n, 1))
    for _ in range(maxiter):
        lost = float(weights[sums == 0].sum())
        new = damping * multiply(walk, weights) + (damping * lost + 1 - damping) / n
        change = float((new - weights).abs().sum())
        weights = new
        if change < tol:
            break
    return restore(weights)
