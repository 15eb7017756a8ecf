"""Arguments of normalizations, losses and distances.

Flows in: a size. Flows out: arguments by overload.
"""

from __future__ import annotations

from typing import Any

import torch

from ...ops.registry import Sample
from .size import Size, Table, call, integers, normal, uniform

aten: Any = torch.ops.aten


def _ones(count: int) -> torch.Tensor:
    return torch.ones(count)


def _layer_norm(s: Size) -> Sample:
    return call(s.normal(), [s.columns], _ones(s.columns), torch.zeros(s.columns), 1e-5)


def _layer_norm_backward(s: Size) -> Sample:
    _, mean, rstd = aten.native_layer_norm(*_layer_norm(s).arguments)
    weight, bias = _ones(s.columns), torch.zeros(s.columns)
    return call(s.normal(seed=1), s.normal(), [s.columns], mean, rstd, weight, bias, [True, True, True])


def _channels(s: Size) -> int:
    return s.images[1]


def _statistics(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(_channels(s)), _ones(_channels(s))


def _affine(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    return _ones(_channels(s)), torch.zeros(_channels(s))


def _batch_norm_backward(s: Size) -> list[object]:
    x = s.image()
    _, mean, inverse = aten.native_batch_norm(x, *_affine(s), *_statistics(s), True, 0.1, 1e-5)
    return [s.image(seed=1), x, _affine(s)[0], *_statistics(s), mean, inverse, True, 1e-5, [True] * 3]


def _group_norm(s: Size) -> list[object]:
    batch, channels, height, width = s.images
    return [batch, channels, height * width, channels // 4]


def _group_norm_backward(s: Size) -> Sample:
    x = s.image()
    _, mean, rstd = aten.native_group_norm(x, *_affine(s), *_group_norm(s), 1e-5)
    return call(s.image(seed=1), x, mean, rstd, _affine(s)[0], *_group_norm(s), [True] * 3)


def _weight_norm_backward(s: Size) -> Sample:
    v, g = s.normal(), uniform(0.5, 2.0, s.rows, 1)
    _, norms = aten._weight_norm_interface(v, g, 0)
    return call(s.normal(seed=1), v, g, norms, 0)


def _classes(s: Size) -> torch.Tensor:
    return integers(0, s.columns, s.rows)


def _likelihoods(s: Size) -> torch.Tensor:
    return torch.log_softmax(s.normal(), -1)


def _weight(s: Size) -> torch.Tensor:
    return torch.tensor(float(s.rows))


def _pixels(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    batch, channels, height, width = s.images
    return s.image().log_softmax(1), integers(0, channels, batch, height, width)


def _ctc(s: Size, tensors: bool = False) -> list[object]:
    steps, batch, classes, length = (64, 4, 32, 16) if s.name == "small" else (256, 16, 256, 64)
    scores = normal(steps, batch, classes).log_softmax(-1)
    targets = integers(1, classes, batch, length, seed=1)
    steps_each, lengths = [steps] * batch, [length] * batch
    if tensors:
        return [scores, targets, torch.tensor(steps_each), torch.tensor(lengths)]
    return [scores, targets, steps_each, lengths]


def _ctc_backward(s: Size, tensors: bool = False) -> Sample:
    given = _ctc(s, tensors)
    overload = aten._ctc_loss.Tensor if tensors else aten._ctc_loss.default
    losses, alpha = overload(*given)
    return call(_ones(len(losses)), *given, losses, alpha, 0)


def _targets(s: Size) -> torch.Tensor:
    """Two labels in each row."""
    rows, columns = s.matrix(16)
    found = torch.full((rows, columns), -1)
    found[:, :2] = integers(0, columns // 2, rows, 2) * 2 + torch.tensor([0, 1])
    return found


def _multilabel_backward(s: Size) -> Sample:
    x, target = s.normal(16), _targets(s)
    is_target = aten.multilabel_margin_loss_forward(x, target, 1)[1]
    return call(torch.tensor(1.0), x, target, 1, is_target)


def _probabilities(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    return s.uniform(0.05, 0.95), s.uniform(0.0, 1.0, seed=1)


def _vectors(s: Size, seed: int = 0) -> torch.Tensor:
    return normal(64, 32, seed=seed) if s.name == "small" else normal(512, 64, seed=seed)


def _cdist_backward(s: Size) -> Sample:
    x, y = _vectors(s), _vectors(s, 1)
    distance = aten._cdist_forward(x, y, 1.0, 2)
    return call(torch.ones_like(distance), x, y, 1.0, distance)


def _pdist_backward(s: Size) -> Sample:
    x = _vectors(s)
    distance = aten._pdist_forward(x, 2.0)
    return call(torch.ones_like(distance), x, 2.0, distance)


def _softmax_backward(s: Size, function: Any) -> Sample:
    return call(s.normal(seed=1), function(s.normal(), -1), -1, torch.float32)


def _pair(s: Size, *more: object) -> Sample:
    return call(s.normal(), s.normal(seed=1), *more)


def _pair_backward(s: Size, *more: object) -> Sample:
    return call(torch.tensor(1.0), s.normal(), s.normal(seed=1), *more)


TABLE: Table = {
    "native_layer_norm": _layer_norm,
    "native_layer_norm_backward": _layer_norm_backward,
    "_softmax": lambda s: call(s.normal(), -1, False),
    "_log_softmax": lambda s: call(s.normal(), -1, False),
    "_softmax_backward_data": lambda s: _softmax_backward(s, torch.softmax),
    "_log_softmax_backward_data": lambda s: _softmax_backward(s, torch.log_softmax),
    "_masked_softmax": lambda s: call(s.normal(cost=2), s.coins(cost=2), -1, 2),
    "_masked_softmax_backward": lambda s: call(
        s.normal(cost=2, seed=1), torch.softmax(s.normal(cost=2), -1), s.coins(cost=2), -1
    ),
    "native_batch_norm": lambda s: call(s.image(), *_affine(s), *_statistics(s), True, 0.1, 1e-5),
    "_native_batch_norm_legit": lambda s: call(s.image(), *_affine(s), *_statistics(s), True, 0.1, 1e-5),
    "_native_batch_norm_legit.no_stats": lambda s: call(s.image(), *_affine(s), True, 0.1, 1e-5),
    "_batch_norm_with_update": lambda s: call(s.image(), *_affine(s), *_statistics(s), 0.1, 1e-5),
    "batch_norm_update_stats": lambda s: call(s.image(), *_statistics(s), 0.1),
    "native_batch_norm_backward": lambda s: call(*_batch_norm_backward(s)),
    "batch_norm_backward": lambda s: call(*_batch_norm_backward(s), torch.empty(0, dtype=torch.uint8)),
    "native_group_norm": lambda s: call(s.image(), *_affine(s), *_group_norm(s), 1e-5),
    "native_group_norm_backward": _group_norm_backward,
    "renorm": lambda s: call(s.normal(), 2, 0, 1.0),
    "embedding_renorm_": lambda s: call(s.normal(), integers(0, s.rows, s.rows // 4), 1.0, 2.0),
    "_weight_norm_interface": lambda s: call(s.normal(), uniform(0.5, 2.0, s.rows, 1), 0),
    "_weight_norm_interface_backward": _weight_norm_backward,
    "_ctc_loss": lambda s: call(*_ctc(s)),
    "_ctc_loss.Tensor": lambda s: call(*_ctc(s, True)),
    "_ctc_loss_backward": _ctc_backward,
    "_ctc_loss_backward.Tensor": lambda s: _ctc_backward(s, True),
    "multi_margin_loss": lambda s: call(s.normal(), _classes(s)),
    "multi_margin_loss_backward": lambda s: call(torch.tensor(1.0), s.normal(), _classes(s), 1, 1.0),
    "multilabel_margin_loss_forward": lambda s: call(s.normal(16), _targets(s), 1),
    "multilabel_margin_loss_backward": _multilabel_backward,
    "nll_loss_forward": lambda s: call(_likelihoods(s), _classes(s), None, 1, -100),
    "nll_loss_backward": lambda s: call(
        torch.tensor(1.0), _likelihoods(s), _classes(s), None, 1, -100, _weight(s)
    ),
    "nll_loss2d_forward": lambda s: call(*_pixels(s), None, 1, -100),
    "nll_loss2d_backward": lambda s: call(
        torch.tensor(1.0), *_pixels(s), None, 1, -100, torch.tensor(float(_pixels(s)[1].numel()))
    ),
    "mse_loss": _pair,
    "mse_loss_backward": lambda s: _pair_backward(s, 1),
    "smooth_l1_loss": lambda s: _pair(s, 1, 1.0),
    "smooth_l1_loss_backward": lambda s: _pair_backward(s, 1, 1.0),
    "huber_loss": lambda s: _pair(s, 1, 1.0),
    "huber_loss_backward": lambda s: _pair_backward(s, 1, 1.0),
    "binary_cross_entropy": lambda s: call(*_probabilities(s)),
    "binary_cross_entropy_backward": lambda s: call(torch.tensor(1.0), *_probabilities(s)),
    "_cdist_forward": lambda s: call(_vectors(s), _vectors(s, 1), 1.0, 2),
    "_cdist_backward": _cdist_backward,
    "_pdist_forward": lambda s: call(_vectors(s), 2.0),
    "_pdist_backward": _pdist_backward,
}
