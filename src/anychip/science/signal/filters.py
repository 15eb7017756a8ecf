"""Filters under the names of `scipy.signal`: upsampled convolutions, changes of the rate, recursive filters
in second-order sections, and wavelets of Daubechies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from ...ops.samples import tensor
from ..arrays import inexact, taken
from ..errors import InvalidType, InvalidValue, NotProvided
from ..registry import PRECISE, Fused, Sample, register
from .filters_kernels import filter_kernel, sections_kernel, weights_kernel

BLOCK, LANES = 256, 8

# ---- forward and backward -------------------------------------------------------------------------


def _filtered(x: torch.Tensor, h: torch.Tensor, up: int, down: int, offset: int, width: int) -> torch.Tensor:
    out = x.new_empty((x.shape[0], width))
    if out.numel():
        grid = (cdiv(width, BLOCK), x.shape[0])
        launch(filter_kernel, grid, out, x, h, x.shape[1], len(h), width, up, down, offset, BLOCK=BLOCK)
    return out


class Upfirdn(torch.autograd.Function):
    """x [rows, n], with up - 1 zeros after each element, through h; every `down`-th element of that."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, h: torch.Tensor, up: int, down: int, offset: int, width: int
    ) -> torch.Tensor:
        """[rows, width], from element `offset` on."""
        x, h = x.contiguous(), h.contiguous()
        ctx.plan = up, down, offset
        ctx.save_for_backward(x, h)
        return _filtered(x, h, up, down, offset, width)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient through the reversed filter with the rates exchanged; its products with x."""
        up, down, offset = ctx.plan
        x, h = ctx.saved_tensors
        g = grad_outputs[0].contiguous()
        of_x = of_h = None
        if ctx.needs_input_grad[0]:
            turned = h.flip(0)
            of_x = Upfirdn.apply(g, turned, down, up, len(h) - 1 - offset, x.shape[1])
        if ctx.needs_input_grad[1]:
            of_h = x.new_empty(len(h))
            if offset:
                raise NotProvided("this filter has no gradient in its weights", "Use upfirdn.")
            launch(weights_kernel, len(h), of_h, x, g, *x.shape, g.shape[1], up, down, BLOCK=BLOCK)
        return of_x, of_h, None, None, None, None


class Sections(torch.autograd.Function):
    """Rows through second-order sections."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, sos: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(the result [rows, n], the final state [rows, sections, 2])."""
        x, state = x.contiguous(), state.clone()
        out, rows = torch.empty_like(x), x.shape[0]
        ctx.save_for_backward(sos)
        if out.numel():
            lanes = min(LANES, power_of_two(rows))
            launch(sections_kernel, cdiv(rows, lanes), out, state, x, sos, *x.shape, len(sos), LANES=lanes)
        ctx.mark_non_differentiable(state)
        return out, state

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The same filter, backward in time, from rest."""
        (sos,) = ctx.saved_tensors
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            raise NotProvided("sosfilt has no gradient in sos and zi", "Detach them.")
        g = grad_outputs[0].flip(1)
        return Sections.apply(g, sos, g.new_zeros((len(g), len(sos), 2)))[0].flip(1), None, None


# ---- names ----------------------------------------------------------------------------------------


def real(x: Any, name: str) -> tuple[torch.Tensor, Any]:
    """A real tensor of float32 or float64, and the way back. Raises InvalidType."""
    given, restore = taken(x, name)
    found = inexact(given)
    if found.is_complex():
        raise InvalidType(f"{name} is complex, which is not served", "Filter both parts by themselves.")
    return found, restore


def along(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Rows [rows, n] of the elements along an axis."""
    if not x.ndim or not -x.ndim <= axis < x.ndim:
        raise InvalidValue(f"axis {axis} is out of bounds for an array of dimension {x.ndim}")
    moved = x.movedim(axis, -1)
    return moved.reshape(-1, moved.shape[-1])


def back(rows: torch.Tensor, like: torch.Tensor, axis: int) -> torch.Tensor:
    """Rows as they were before `along`, of another length."""
    lead = list(like.movedim(axis, -1).shape[:-1])
    return rows.reshape([*lead, rows.shape[-1]]).movedim(-1, axis)


def upfirdn(
    h: Any,
    x: Any,
    up: int = 1,
    down: int = 1,
    axis: int = -1,
    mode: str = "constant",
    cval: float = 0.0,
) -> Any:
    """x along `axis`, with up - 1 zeros after each element, through the filter h [length], and every
    `down`-th element of the result. Differentiable in x and h. float32, float64. Raises InvalidValue, and
    NotProvided for other values beyond the ends than zeros."""
    if mode != "constant" or cval:
        raise NotProvided("upfirdn continues signals by zeros only", "Pad x first.")
    if up < 1 or down < 1:
        raise InvalidValue("Both up and down must be >= 1")
    signal, restore = real(x, "x")
    weights = real(h, "h")[0].to(signal.device)
    if weights.ndim != 1 or not len(weights):
        raise InvalidValue("h must be 1-D with non-zero length")
    dtype = torch.promote_types(signal.dtype, weights.dtype)
    rows = along(signal.to(dtype), axis)
    length = (rows.shape[1] - 1) * up + len(weights) if rows.shape[1] else 0
    out = Upfirdn.apply(rows, weights.to(dtype), up, down, 0, cdiv(length, down))
    return restore(back(out, signal, axis))


def _low_pass(up: int, down: int, beta: float) -> np.ndarray:
    """SciPy's filter for a change of the rate: a windowed sinc of ten zeros to either side of the slower."""
    most = max(up, down)
    half = 10 * most
    place = np.arange(2 * half + 1) - half
    h = np.sinc(place / most) / most * np.kaiser(2 * half + 1, beta)
    return h / h.sum()


def resample_poly(
    x: Any,
    up: int,
    down: int,
    axis: int = 0,
    window: Any = ("kaiser", 5.0),
    padtype: str = "constant",
    cval: float | None = None,
) -> Any:
    """x at up / down times its rate along `axis`, by a filter: a window of Kaiser's, ("kaiser", beta), or the
    weights themselves. Differentiable in x. float32, float64. Raises InvalidValue, and NotProvided for other
    windows and other values beyond the ends than zeros."""
    if padtype != "constant" or cval:
        raise NotProvided("resample_poly continues signals by zeros only", "Pad x first.")
    if up < 1 or down < 1:
        raise InvalidValue("up and down must be >= 1")
    signal, restore = real(x, "x")
    shared = math.gcd(up, down)
    up, down = up // shared, down // shared
    if up == down == 1:
        return restore(signal.clone())
    if isinstance(window, tuple):
        if len(window) != 2 or window[0] != "kaiser":
            raise NotProvided(f"the window {window!r} is not served", "Give the weights of the filter.")
        h = torch.from_numpy(_low_pass(up, down, float(window[1])))
    elif isinstance(window, str):
        raise NotProvided(f"the window {window!r} is not served", "Give the weights of the filter.")
    else:
        h = real(window, "window")[0]
    rows = along(signal, axis)
    width = cdiv(rows.shape[1] * up, down)
    h = (h.detach() * up).to(rows)
    out = Upfirdn.apply(rows, h, up, down, (len(h) - 1) // 2, width)
    return restore(back(out, signal, axis))


def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """x along `axis` through second-order sections sos [sections, 6] with sos[:, 3] = 1; with `zi` [sections,
    ..., 2, ...], what they start with, also what they end with. Differentiable in x. float32, float64. Raises
    InvalidValue, and NotProvided at gradients in sos and zi."""
    signal, restore = real(x, "x")
    filters = real(sos, "sos")[0]
    if filters.ndim != 2 or filters.shape[1] != 6 or not len(filters):
        raise InvalidValue("sos array must be shape (n_sections, 6)")
    if not bool((filters[:, 3] == 1).all()):
        raise InvalidValue("sos[:, 3] should be all ones")
    dtype = torch.promote_types(signal.dtype, filters.dtype)
    rows, filters = along(signal.to(dtype), axis), filters.to(dtype).contiguous()
    shape = list(signal.shape)
    shape[axis] = 2
    if zi is None:
        state = rows.new_zeros((rows.shape[0], len(filters), 2))
    else:
        given = real(zi, "zi")[0].to(dtype)
        if list(given.shape) != [len(filters), *shape]:
            raise InvalidValue(f"Invalid zi shape: {tuple(given.shape)}, not {(len(filters), *shape)}")
        moved = given.movedim(axis if axis < 0 else axis + 1, -1)
        state = moved.reshape(len(filters), -1, 2).movedim(0, 1).contiguous()
    out, final = Sections.apply(rows, filters, state)
    out = restore(back(out, signal, axis))
    if zi is None:
        return out
    lead = list(signal.movedim(axis, -1).shape[:-1])
    final = final.movedim(1, 0).reshape([len(filters), *lead, 2])
    return out, restore(final.movedim(-1, axis if axis < 0 else axis + 1))


# ---- wavelets -------------------------------------------------------------------------------------


def daubechies(moments: int) -> np.ndarray:
    """The low-pass filter [2 moments] of Daubechies' orthogonal wavelet with that many vanishing moments, by
    spectral factorisation (Daubechies, "Ten lectures on wavelets", 1992, 6.1). Raises InvalidValue."""
    if not 1 <= moments <= 20:
        raise InvalidValue(f"moments must be from 1 to 20, not {moments}")
    binomials = [math.comb(moments - 1 + k, k) for k in range(moments)]
    roots = []
    for y in np.roots(binomials[::-1]) if moments > 1 else ():
        z = np.roots([1, 4 * y - 2, 1])
        roots.append(z[np.argmin(abs(z))])
    h = np.real(np.poly([*roots, *([-1.0] * moments)]))
    return h * (math.sqrt(2) / h.sum())


def dwt(x: Any, moments: int = 1) -> tuple[Any, Any]:
    """The approximation and the detail [..., n / 2] of x [..., n], n even and continued as a period, by
    Daubechies' wavelet. Differentiable. float32, float64. Raises InvalidValue."""
    signal, restore = real(x, "x")
    n = signal.shape[-1] if signal.ndim else 0
    if n < 2 or n % 2:
        raise InvalidValue(f"dwt needs an even number of elements, not {n}")
    low = torch.from_numpy(daubechies(moments)).to(signal)
    high = low.flip(0) * torch.tensor([1.0, -1.0], dtype=low.dtype).repeat(moments).to(low)
    whole = torch.cat([signal, *[signal] * cdiv(len(low), n)], -1)[..., : n + len(low) - 2 + n % 2]
    rows = along(whole, -1)
    found = [Upfirdn.apply(rows, one.flip(0), 1, 2, len(one) - 1, n // 2) for one in (low, high)]
    first, second = (restore(back(one, signal, -1)) for one in found)
    return first, second


def idwt(approximation: Any, detail: Any, moments: int = 1) -> Any:
    """The signal [..., n] of which `dwt` gives these [..., n / 2]. Differentiable. float32, float64. Raises
    InvalidValue."""
    first, restore = real(approximation, "approximation")
    second = real(detail, "detail")[0]
    if first.shape != second.shape or not first.ndim or not first.shape[-1]:
        raise InvalidValue(f"the shapes {tuple(first.shape)} and {tuple(second.shape)} do not match")
    low = torch.from_numpy(daubechies(moments)).to(first)
    high = low.flip(0) * torch.tensor([1.0, -1.0], dtype=low.dtype).repeat(moments).to(low)
    n = 2 * first.shape[-1]
    length = n + len(low)
    parts = [
        Upfirdn.apply(along(x, -1), h, 2, 1, 0, length) for x, h in ((first, low), (second.to(first), high))
    ]
    whole = parts[0] + parts[1]
    out = whole[:, :n].clone()
    for start in range(n, length, n):
        piece = whole[:, start : start + n]
        out = out + torch.nn.functional.pad(piece, (0, n - piece.shape[1]))
    return restore(back(out, first, -1))


# ---- records --------------------------------------------------------------------------------------


def _upfirdn(h: torch.Tensor, x: torch.Tensor, up: int, down: int) -> torch.Tensor:
    spread = x.new_zeros((*x.shape, up))
    spread[..., 0] = x
    spread = spread.reshape(-1, 1, x.shape[-1] * up)[..., : (x.shape[-1] - 1) * up + 1]
    out = torch.nn.functional.conv1d(spread, h.flip(0)[None, None], padding=len(h) - 1)
    return out[..., ::down].reshape(*x.shape[:-1], -1)


def _sosfilt(sos: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    for b0, b1, b2, _, a1, a2 in [section.unbind(0) for section in sos.unbind(0)]:
        first = second = torch.zeros_like(x[..., 0])
        out = []
        for value in x.unbind(-1):
            y = b0 * value + first
            first, second = b1 * value - a1 * y + second, b2 * value - a2 * y
            out.append(y)
        x = torch.stack(out, -1)
    return x


def _filters(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, length, up, down in (((3, 20), 7, 1, 1), ((31,), 6, 3, 2), ((2, 2, 9), 12, 2, 5)):
        yield Sample((tensor((length,), dtype), tensor(shape, dtype, seed=1), up, down))


def _recursive(dtype: torch.dtype) -> Iterable[Sample]:
    sos = torch.tensor([[0.2, 0.4, 0.2, 1.0, -0.5, 0.3], [1.0, -0.5, 0.1, 1.0, 0.4, 0.2]], dtype=dtype)
    for shape in ((30,), (3, 17), (2, 5, 9)):
        yield Sample((sos, tensor(shape, dtype)))
    # A mean of three ones, the roundings of whose terms move it by less than a wrong element.
    mean = torch.tensor([[0.25, 0.5, 0.25, 1.0, 0.0, 0.0]], dtype=dtype)
    yield Sample((mean, torch.ones(3, dtype=dtype)))


for _name, _call, _reference, _drawn, _kernels in (
    ("upfirdn", upfirdn, _upfirdn, _filters, (filter_kernel, weights_kernel)),
    ("sosfilt", sosfilt, _sosfilt, _recursive, (sections_kernel,)),
):
    register(
        Fused(
            _name,
            "filters",
            _call,
            _reference,
            _drawn,
            _kernels,
            dtypes=PRECISE,
            differentiable=_name == "upfirdn",
        )
    )
