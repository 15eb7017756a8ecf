"""Arguments of operators that move, index, embed, pad, or fill memory.

Flows in: a size. Flows out: arguments by overload.
"""

from __future__ import annotations

from typing import Any

import torch

from ...ops.registry import Sample
from .size import Size, Table, call, integers, normal


def _some_rows(s: Size) -> torch.Tensor:
    """Places of rows, each row once."""
    return torch.randperm(s.rows, generator=torch.Generator().manual_seed(0))


def _places(s: Size) -> torch.Tensor:
    """For each element the place of one in its row."""
    return s.integers(0, s.columns)


def _scatter(s: Size, *more: object, **keywords: object) -> Sample:
    return call(s.normal(), 1, _places(s), s.normal(seed=1), *more, **keywords)


def _index(s: Size, *more: object) -> Sample:
    return call(s.normal(), 0, _some_rows(s), s.normal(seed=1), *more)


def _words(s: Size) -> torch.Tensor:
    return integers(0, s.rows, s.rows)


BAG = 8


def _bags(s: Size) -> torch.Tensor:
    return torch.arange(0, s.rows, BAG)


def _of_bag(s: Size) -> torch.Tensor:
    return torch.arange(s.rows) // BAG


def _bag(s: Size) -> list[torch.Tensor]:
    return [s.normal(), _words(s), _bags(s)]


def _bag_backward(s: Size, dense: bool = False) -> Sample:
    words, bags = _words(s), _bags(s)
    of_bag, sizes, largest = _of_bag(s), torch.full((len(bags),), BAG), torch.empty(0, dtype=torch.int64)
    gradient = normal(len(_bags(s)), s.columns, seed=1)
    if dense:
        return call(gradient, words, of_bag, sizes, largest, s.rows, False, 0, None)
    return call(gradient, words, bags, of_bag, sizes, largest, s.rows, False, 0, False, None)


def _per_sample_backward(s: Size) -> Sample:
    weight, words, bags = _bag(s)
    return call(normal(len(bags), s.columns, seed=1), weight, words, bags, _of_bag(s), 0)


def _elements(s: Size) -> int:
    return s.rows * s.columns


def _padded(s: Size, rank: int, backward: bool) -> Sample:
    """One element more on every side; of lines the rows of a matrix."""
    x = {1: s.normal()[None], 2: s.image(), 3: s.volume()}[rank]
    margins = [1] * (2 * rank)
    if not backward:
        return call(x, margins)
    wider = [size + 2 for size in x.shape[-rank:]]
    return call(normal(*x.shape[:-rank], *wider, seed=1), x, margins)


def _paddings() -> dict[str, Any]:
    return {
        f"{kind}_pad{rank}d{'_backward' if backward else ''}": (
            lambda s, rank=rank, backward=backward: _padded(s, rank, backward)
        )
        for kind in ("reflection", "replication")
        for rank in (1, 2, 3)
        for backward in (False, True)
    }


TABLE: Table = {
    "copy_": lambda s: call(torch.empty(s.matrix()), s.normal()),
    "fill_.Scalar": lambda s: call(torch.empty(s.matrix()), 0.5),
    "fill_.Tensor": lambda s: call(torch.empty(s.matrix()), torch.tensor(0.5)),
    "zero_": lambda s: call(torch.empty(s.matrix())),
    "cat": lambda s: call([s.normal(cost=2), s.normal(cost=2, seed=1)], 1),
    "_stack": lambda s: call([s.normal(cost=2), s.normal(cost=2, seed=1)], 1),
    "linspace.out": lambda s: call(-3, 3, _elements(s), out=torch.empty(_elements(s))),
    "logspace.out": lambda s: call(-1, 2, _elements(s), 2.0, out=torch.empty(_elements(s))),
    "range.out": lambda s: call(0, _elements(s) - 1, 1, out=torch.empty(_elements(s))),
    "arange.start_out": lambda s: call(0, _elements(s), 1, out=torch.empty(_elements(s), dtype=torch.int64)),
    "flip": lambda s: call(s.normal(), [1]),
    "roll": lambda s: call(s.normal(), [3], [1]),
    "narrow_copy": lambda s: call(s.normal(), 1, 1, s.columns // 2),
    "tril": lambda s: call(s.normal()),
    "triu": lambda s: call(s.normal()),
    "tril_indices": lambda s: call(s.side * 2, s.side * 2, 0),
    "triu_indices": lambda s: call(s.side * 2, s.side * 2, 0),
    "eye.m_out": lambda s: call(*s.matrix(), out=torch.empty(s.matrix())),
    "eye.out": lambda s: call(s.side * 2, out=torch.empty(s.side * 2, s.side * 2)),
    "pixel_shuffle": lambda s: call(s.image(), 2),
    "pixel_unshuffle": lambda s: call(s.image(), 2),
    "channel_shuffle": lambda s: call(s.image(), 4),
    "native_channel_shuffle": lambda s: call(s.image(), 4),
    "embedding": lambda s: call(s.normal(), _words(s)),
    "embedding_dense_backward": lambda s: call(s.normal(), _words(s), s.rows, -1, False),
    "_embedding_bag": lambda s: call(*_bag(s)),
    "_embedding_bag_forward_only": lambda s: call(*_bag(s)),
    "_embedding_bag_backward": _bag_backward,
    "_embedding_bag_dense_backward": lambda s: _bag_backward(s, True),
    "_embedding_bag_per_sample_weights_backward": _per_sample_backward,
    "index_select": lambda s: call(s.normal(), 0, _words(s)),
    "index_add": _index,
    "index_copy": _index,
    "index_reduce": lambda s: _index(s, "amax"),
    "index_fill_.int_Scalar": lambda s: call(s.normal(), 0, _some_rows(s)[::2].clone(), 0.5),
    "index_fill_.int_Tensor": lambda s: call(s.normal(), 0, _some_rows(s)[::2].clone(), torch.tensor(0.5)),
    "index.Tensor": lambda s: call(s.normal(), [_words(s)]),
    "_index_put_impl_": lambda s: call(s.normal(), [_some_rows(s)], s.normal(seed=1)),
    "nonzero": lambda s: call(s.coins(cost=2)),
    "nonzero_static": lambda s: call(s.coins(cost=4), size=s.coins(cost=4).numel() // 4),
    "masked_select": lambda s: call(s.normal(), s.coins()),
    "masked_scatter_": lambda s: call(s.normal(cost=2), s.coins(cost=2), s.normal(cost=2, seed=1)),
    "gather": lambda s: call(s.normal(), 1, _places(s)),
    "take": lambda s: call(s.normal(), s.integers(0, _elements(s), cost=4)),
    "put_": lambda s: call(s.normal(), s.integers(0, _elements(s), cost=4), s.normal(cost=4, seed=1), True),
    "scatter.src": lambda s: _scatter(s),
    "scatter.value": lambda s: call(s.normal(), 1, _places(s), 0.5),
    "scatter_add": lambda s: _scatter(s),
    "scatter_reduce.two": lambda s: _scatter(s, "amax"),
    "scatter.reduce": lambda s: _scatter(s, reduce="multiply"),
    "scatter.value_reduce": lambda s: call(s.normal(), 1, _places(s), 1.01, reduce="multiply"),
    **_paddings(),
}
