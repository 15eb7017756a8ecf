"""Arguments of linear algebra, Fourier transforms, attention, recurrent layers and quantization.

Flows in: a size. Flows out: arguments by overload.
"""

from __future__ import annotations

from typing import Any

import torch

from ...ops.registry import Sample
from .size import Size, Table, call, integers, normal, uniform

aten: Any = torch.ops.aten
LSTM = 2
"""PyTorch's number for the kind of a recurrent layer."""

# ---- products -------------------------------------------------------------------------------------


def _batches(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    side = s.side // 4
    return normal(8, side, side), normal(8, side, side, seed=1)


def _halves(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix in the type of a model's activations, and weights in 8 bits with a scale for each row."""
    x = s.square().bfloat16()[: s.side // 4]
    return x, integers(-127, 128, s.side, s.side, seed=1).to(torch.int8)


def _scaled(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    kind = torch.float8_e4m3fn
    side = s.side // 2
    return normal(side, side).to(kind), normal(side, side, seed=1).to(kind).t()


def _triples(s: Size, seed: int = 0) -> torch.Tensor:
    x = s.line(cost=2, seed=seed)
    return x[: len(x) // 3 * 3].view(-1, 3)


def _one() -> torch.Tensor:
    return torch.tensor(1.0)


PRODUCTS: Table = {
    "mm": lambda s: call(s.square(), s.square(seed=1)),
    "addmm": lambda s: call(normal(s.side), s.square(), s.square(seed=1)),
    "bmm": lambda s: call(*_batches(s)),
    "baddbmm": lambda s: call(normal(s.side // 4), *_batches(s)),
    "addbmm": lambda s: call(normal(s.side // 4), *_batches(s)),
    "addmv": lambda s: call(normal(s.rows), s.normal(), normal(s.columns, seed=1)),
    "dot": lambda s: call(s.line(), s.line(seed=1)),
    "vdot": lambda s: call(s.line(), s.line(seed=1)),
    "_addmm_activation": lambda s: call(normal(s.side), s.square(), s.square(seed=1)),
    "_int_mm": lambda s: call(
        integers(-127, 128, s.side, s.side).to(torch.int8),
        integers(-127, 128, s.side, s.side, seed=1).to(torch.int8),
    ),
    "_weight_int8pack_mm": lambda s: call(*_halves(s), uniform(0.01, 0.02, s.side).bfloat16()),
    "_scaled_mm": lambda s: call(*_scaled(s), _one(), _one(), out_dtype=torch.float32),
    "_scaled_mm_v2": lambda s: call(*_scaled(s), [_one()], [0], [0], [_one()], [0], [0], None, torch.float32),
    "linalg_cross": lambda s: call(_triples(s), _triples(s, 1)),
    "_compute_linear_combination": lambda s: call(s.normal(cost=4).reshape(8, -1), normal(4, 8, seed=1)),
}

# ---- factorizations -------------------------------------------------------------------------------


def _triangle(s: Size) -> torch.Tensor:
    return s.square(2).tril() + 4 * torch.eye(s.side // 2)


def _right(s: Size) -> torch.Tensor:
    return normal(s.side // 2, s.side // 4, seed=1)


def _regular(s: Size) -> torch.Tensor:
    """A matrix that is far from singular."""
    return s.square(2) / (s.side // 2) ** 0.5 + 2 * torch.eye(s.side // 2)


def _reflectors(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.geqrf(s.square(2))


def _ldl(s: Size) -> Sample:
    factors, pivots = torch.linalg.ldl_factor(s.positive(2))
    return call(factors, pivots, _right(s))


def _lu(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.linalg.lu_factor(_regular(s))


def _symmetric(s: Size) -> torch.Tensor:
    x = s.square(4)
    return x + x.T


def _least_squares(s: Size) -> Sample:
    results = {name: torch.empty(0) for name in ("solution", "residuals", "singular_values")}
    rank = torch.empty(0, dtype=torch.int64)
    x = normal(s.side // 2, s.side // 4)
    return call(x, _right(s)[:, :8].contiguous(), None, driver="gels", rank=rank, **results)


FACTORIZATIONS: Table = {
    "linalg_solve_triangular": lambda s: call(_triangle(s), _right(s), upper=False),
    "triangular_solve": lambda s: call(_right(s), _triangle(s), False),
    "linalg_cholesky_ex": lambda s: call(s.positive(2)),
    "cholesky": lambda s: call(s.positive(2)),
    "cholesky_inverse": lambda s: call(torch.linalg.cholesky(s.positive(2))),
    "_cholesky_solve_helper": lambda s: call(_right(s), torch.linalg.cholesky(s.positive(2)), False),
    "geqrf": lambda s: call(s.square(2)),
    "linalg_qr": lambda s: call(s.square(2)),
    "linalg_householder_product": lambda s: call(*_reflectors(s)),
    "ormqr": lambda s: call(*_reflectors(s), _right(s)),
    "_linalg_svd": lambda s: call(s.square(4)),
    "_linalg_eigh": lambda s: call(_symmetric(s)),
    "linalg_eig": lambda s: call(s.square(4)),
    "_linalg_eigvals": lambda s: call(s.square(4)),
    "linalg_eigvals.out": lambda s: call(s.square(4), out=torch.empty(s.side // 4, dtype=torch.complex64)),
    "linalg_ldl_factor_ex": lambda s: call(s.positive(2)),
    "linalg_ldl_solve": _ldl,
    "linalg_lstsq.out": _least_squares,
    "linalg_lu_factor_ex": lambda s: call(_regular(s)),
    "linalg_lu": lambda s: call(_regular(s)),
    "lu_unpack": lambda s: call(*_lu(s)),
    "linalg_lu_solve": lambda s: call(*_lu(s), _right(s)),
    "_linalg_solve_ex": lambda s: call(_regular(s), _right(s)),
    "linalg_inv_ex": lambda s: call(_regular(s)),
    "_linalg_det": lambda s: call(_regular(s) / 2),
    "_linalg_slogdet": lambda s: call(_regular(s)),
    "linalg_matrix_exp": lambda s: call(s.square(2) / s.side),
}

# ---- transforms -----------------------------------------------------------------------------------


def _half_spectrum(s: Size) -> torch.Tensor:
    return torch.fft.rfft(s.normal(cost=4))


FOURIER: Table = {
    "_fft_c2c": lambda s: call(torch.complex(s.normal(cost=4), s.normal(cost=4, seed=1)), [1], 0, True),
    "_fft_r2c": lambda s: call(s.normal(cost=4), [1], 0, True),
    "_fft_c2r": lambda s: call(_half_spectrum(s), [1], 2, s.columns),
}

# ---- layers ---------------------------------------------------------------------------------------


def _heads(s: Size) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = (1, 2, 64, 32) if s.name == "small" else (2, 4, 512, 64)
    query, key, value = (normal(*shape, seed=k) for k in range(3))
    return query, key, value


def _attention_backward(s: Size) -> Sample:
    heads = _heads(s)
    out, total = aten._scaled_dot_product_flash_attention_for_cpu(*heads)
    return call(normal(*out.shape, seed=3), *heads, out, total, 0.0, False)


def _width(s: Size) -> int:
    return 32 if s.name == "small" else 256


def _tokens(s: Size) -> torch.Tensor:
    return normal(2, 16, 32) if s.name == "small" else normal(4, 128, 256)


def _projections(s: Size) -> tuple[torch.Tensor, ...]:
    width = _width(s)
    return (
        normal(3 * width, width, seed=1) / width**0.5,
        torch.zeros(3 * width),
        normal(width, width, seed=2) / width**0.5,
        torch.zeros(width),
    )


def _encoder(s: Size) -> Sample:
    width = _width(s)
    ones, zeros = torch.ones(width), torch.zeros(width)
    inner = normal(4 * width, width, seed=3) / width**0.5
    outer = normal(width, 4 * width, seed=4) / (2 * width**0.5)
    return call(
        _tokens(s),
        width,
        4,
        *_projections(s),
        True,
        False,
        1e-5,
        ones,
        zeros,
        ones,
        zeros,
        inner,
        torch.zeros(4 * width),
        outer,
        zeros,
    )


def _lstm(s: Size, train: bool) -> list[Any]:
    steps, batch, width = (4, 4, 32) if s.name == "small" else (32, 16, 256)
    weights = [normal(4 * width, width, seed=k) / width**0.5 for k in (1, 2)]
    biases = [torch.zeros(4 * width), torch.zeros(4 * width)]
    states = [torch.zeros(1, batch, width), torch.zeros(1, batch, width)]
    rest = [False, [], LSTM, width, 1, True, False, False, train]
    return [normal(steps, batch, width), *weights, *biases, *states, *rest]


def lstm_gradient(s: Size, forward: Any) -> Sample:
    """For the workspace that `forward` leaves, which is each implementation's own."""
    given = _lstm(s, True)
    output, hidden, cell, workspace = forward(*given)
    gradients = [torch.ones_like(output), torch.ones_like(hidden), torch.ones_like(cell)]
    settings = [False, LSTM, given[10], 1, True, True, False, [], False, workspace]
    return call(*given[:7], output, hidden, cell, *gradients, *settings)


def _our_lstm_gradient(s: Size) -> Sample:
    from ...ops.activation.lstm import rnn_layer

    return lstm_gradient(s, rnn_layer)


LAYERS: Table = {
    "_scaled_dot_product_flash_attention_for_cpu": lambda s: call(*_heads(s)),
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "_transform_bias_rescale_qkv": lambda s: call(
        normal(2, 64, 3 * _width(s)) if s.name == "small" else normal(8, 256, 3 * _width(s)),
        torch.zeros(3 * _width(s)),
        4,
    ),
    "_native_multi_head_attention": lambda s: call(
        *[_tokens(s)] * 3, _width(s), 4, *_projections(s), None, False
    ),
    "_transformer_encoder_layer_fwd": _encoder,
    "mkldnn_rnn_layer": lambda s: call(*_lstm(s, False)),
    "mkldnn_rnn_layer_backward": _our_lstm_gradient,
}

# ---- quantization ---------------------------------------------------------------------------------

_RANGE = (-128, 127)


def _by_tensor() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([0.05]), torch.tensor([3.0])


def _by_row(s: Size) -> tuple[torch.Tensor, torch.Tensor]:
    return uniform(0.02, 0.05, s.rows), torch.zeros(s.rows)


def _observed(s: Size) -> Sample:
    """A grid that follows the data."""
    switches = torch.tensor([1]), torch.tensor([1])
    grid = torch.tensor([-3.0]), torch.tensor([3.0]), torch.tensor([0.05])
    return call(s.normal(), *switches, *grid, torch.tensor([3], dtype=torch.int32), 0.01, 0, 255, 0)


QUANTIZATION: Table = {
    "_fused_moving_avg_obs_fq_helper": _observed,
    "fake_quantize_per_tensor_affine_cachemask": lambda s: call(s.normal(), 0.05, 3, *_RANGE),
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": lambda s: call(
        s.normal(), torch.tensor([0.05]), torch.tensor([3], dtype=torch.int32), torch.tensor([1]), *_RANGE
    ),
    "fake_quantize_per_channel_affine_cachemask": lambda s: call(
        s.normal(), _by_row(s)[0], torch.zeros(s.rows, dtype=torch.int32), 0, *_RANGE
    ),
    "_fake_quantize_learnable_per_tensor_affine": lambda s: call(s.normal(), *_by_tensor(), *_RANGE),
    "_fake_quantize_learnable_per_tensor_affine_backward": lambda s: call(
        s.normal(seed=1), s.normal(), *_by_tensor(), *_RANGE
    ),
    "_fake_quantize_learnable_per_channel_affine": lambda s: call(s.normal(), *_by_row(s), 0, *_RANGE),
    "_fake_quantize_learnable_per_channel_affine_backward": lambda s: call(
        s.normal(seed=1), s.normal(), *_by_row(s), 0, *_RANGE
    ),
}

TABLE: Table = {**PRODUCTS, **FACTORIZATIONS, **FOURIER, **LAYERS, **QUANTIZATION}
NATIVE: Table = {"mkldnn_rnn_layer_backward": lambda s: lstm_gradient(s, aten.mkldnn_rnn_layer)}
"""Arguments for PyTorch's own kernel where they are not ours."""
