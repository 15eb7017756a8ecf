"""Arguments of reductions, scans, sorting and histograms.

Flows in: a size. Flows out: arguments by overload.
"""

from __future__ import annotations

import torch

from ...ops.registry import Sample
from .size import Size, Table, call


def _rows(s: Size, **keywords: object) -> Sample:
    return call(s.normal(), [-1], **keywords)


def _row(s: Size) -> Sample:
    return call(s.normal(), -1)


def _all(s: Size) -> Sample:
    return call(s.normal())


def _factors(s: Size) -> torch.Tensor:
    """Values whose products stay finite."""
    return s.uniform(0.9, 1.1)


def _segments(s: Size) -> torch.Tensor:
    """Lengths of the segments of the first dimension: pairs of rows."""
    return torch.full((s.matrix()[0] // 2,), 2)


def _extremes(s: Size) -> Sample:
    x = s.normal()
    return call(x, torch.empty_like(x), torch.empty(x.shape, dtype=torch.int64), 1)


def _points(s: Size) -> torch.Tensor:
    """Points of a plane."""
    return s.line(cost=8)[: s.line(cost=8).numel() // 2 * 2].reshape(-1, 2)


TABLE: Table = {
    "sum.dim_IntList": _rows,
    "sum": _all,
    "mean.dim": _rows,
    "mean": _all,
    "prod.dim_int": lambda s: call(_factors(s), -1),
    "prod": lambda s: call(_factors(s)),
    "any": lambda s: call(torch.zeros(s.matrix(), dtype=torch.bool)),
    "any.dim": lambda s: call(torch.zeros(s.matrix(), dtype=torch.bool), -1),
    "any.dims": lambda s: call(torch.zeros(s.matrix(), dtype=torch.bool), [-1]),
    "all": lambda s: call(torch.ones(s.matrix(), dtype=torch.bool)),
    "all.dim": lambda s: call(torch.ones(s.matrix(), dtype=torch.bool), -1),
    "all.dims": lambda s: call(torch.ones(s.matrix(), dtype=torch.bool), [-1]),
    "amax": _rows,
    "max": _all,
    "amin": _rows,
    "min": _all,
    "linalg_vector_norm": lambda s: call(s.normal(), 2, [-1]),
    "aminmax": lambda s: call(s.normal(), dim=-1),
    "_aminmax": _all,
    "_aminmax.dim": _row,
    "nansum": _rows,
    "count_nonzero.dim_IntList": lambda s: call(s.integers(0, 2), [-1]),
    "trace": _all,
    "norm.ScalarOpt_dim": lambda s: call(s.normal(), 2, [-1]),
    "norm.ScalarOpt_dim_dtype": lambda s: call(s.normal(), 2, [-1], False, dtype=torch.float32),
    "linalg__powsum": lambda s: call(s.normal(), 2, [-1]),
    "hash_tensor": _all,
    "max.dim": _row,
    "min.dim": _row,
    "argmax": _row,
    "argmin": _row,
    "segment_reduce": lambda s: call(s.normal(), "sum", lengths=_segments(s)),
    "_segment_reduce_backward": lambda s: call(
        s.normal()[::2].contiguous(), s.normal()[::2].contiguous(), s.normal(), "sum", lengths=_segments(s)
    ),
    "var.correction": _rows,
    "std.correction": _rows,
    "var_mean.correction": _rows,
    "std_mean.correction": _rows,
    "cumsum": _row,
    "cumprod": lambda s: call(_factors(s), -1),
    "_logcumsumexp": lambda s: call(s.normal(cost=4), -1),
    "_cummax_helper": _extremes,
    "_cummin_helper": _extremes,
    "searchsorted.Tensor": lambda s: call(s.line(cost=4).sort().values, s.line(cost=16, seed=1)),
    "searchsorted.Scalar": lambda s: call(torch.linspace(0, 1, s.rows * s.columns), 0.5),
    "bucketize.Tensor": lambda s: call(s.normal(cost=4), torch.linspace(-3, 3, 100)),
    "bucketize.Scalar": lambda s: call(0.5, torch.linspace(0, 1, s.rows * s.columns)),
    "repeat_interleave.Tensor": lambda s: call(s.integers(0, 3).flatten()),
    "sort.stable": lambda s: call(s.normal(cost=8), stable=True),
    "kthvalue": lambda s: call(s.normal(cost=8), 10),
    "median.dim": lambda s: call(s.normal(cost=8), -1),
    "median": lambda s: call(s.line(cost=4)),
    "nanmedian.dim": lambda s: call(s.normal(cost=8), -1),
    "nanmedian": lambda s: call(s.line(cost=4)),
    "mode": lambda s: call(s.integers(0, 100, cost=8), -1),
    "topk": lambda s: call(s.normal(cost=2), 10),
    "_unique2": lambda s: call(s.integers(0, 1000, cost=16)),
    "_unique": lambda s: call(s.integers(0, 1000, cost=16)),
    "unique_dim": lambda s: call(s.integers(0, 3, cost=64)[:, :4].contiguous(), 0),
    "unique_consecutive": lambda s: call(s.integers(0, 3, cost=4).flatten()),
    "unique_dim_consecutive": lambda s: call(s.integers(0, 2, cost=64)[:, :4].contiguous(), 0),
    "bincount": lambda s: call(s.integers(0, 1000).flatten()),
    "histc": lambda s: call(s.normal(), 100, -3, 3),
    "histogram.bin_ct": lambda s: call(s.normal(cost=2), 100, range=[-3.0, 3.0]),
    "histogram.bins_tensor": lambda s: call(s.normal(cost=4), torch.linspace(-3, 3, 101)),
    "_histogramdd_bin_edges": lambda s: call(_points(s), [10, 10]),
    "_histogramdd_from_bin_cts": lambda s: call(_points(s), [10, 10]),
    "_histogramdd_from_bin_tensors": lambda s: call(
        _points(s), [torch.linspace(-3, 3, 11), torch.linspace(-3, 3, 11)]
    ),
}
