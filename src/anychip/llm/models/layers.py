"""Norms and feed-forward layers of transformers models on this room's operators. The library has no public
door to these, so a module's `forward` is replaced, and only where its parameters are the known ones and both
give the same numbers on a trial. Flows in: modules. Flows out: functions to put in place of `forward`."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F

from ...ops.errors import ArgumentError
from ...signatures import parameters
from ..activation.gated import Gated, PackedGated, gelu, gelu_tanh, relu, silu
from ..normalization.rms_norm import rms_norm
from ..registry import FLOATING

Forward = Callable[[Any, torch.Tensor], torch.Tensor]

KNOWN = (("self", "x"), ("self", "hidden_states"), ("self", "hidden_state"))
"""Parameters of a forward that can be replaced."""
ACTIVATIONS: tuple[tuple[Any, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (silu, F.silu),
    (gelu, F.gelu),
    (gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
    (relu, F.relu),
)
"""Activations of the kernels, and the same from PyTorch, which tell what a module's is."""


def replacement(module: torch.nn.Module) -> tuple[str, Forward] | None:
    """What kind of layer a module is and its new `forward`, or None for one that is not known here."""
    forward = type(module).forward
    for kind, candidates in (("norm", _norms), ("gated", _gated)):
        for candidate in candidates(module):
            if parameters(forward) in KNOWN and _agree(module, candidate):
                return kind, candidate
    return None


def put(module: torch.nn.Module, forward: Forward) -> None:
    """Bind a forward to its module, so that a copy of the module computes with its own weights. Raises
    ArgumentError where something else has replaced it, a hook of another library for instance."""
    there = vars(module).get("forward")
    if there is not None and not getattr(there, "__func__", there).__module__.startswith(__name__):
        raise ArgumentError(
            f"fuse: forward of a {type(module).__name__} is already replaced by {there!r}; call fuse() "
            f"before whatever did it"
        )
    module.forward = MethodType(forward, module)


# ---- norms ----------------------------------------------------------------------------------------


def _norms(module: Any) -> tuple[Forward, ...]:
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(
        getattr(module, "weight", None), torch.Tensor
    ):
        return ()
    for name in ("variance_epsilon", "eps"):
        if isinstance(getattr(module, name, None), float):
            return _norm(name, 0.0), _norm(name, 1.0)
    return ()


def _norm(epsilon: str, shift: float) -> Forward:
    def forward(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
        return rms_norm(hidden_states, self.weight, getattr(self, epsilon), shift)

    return forward


# ---- feed-forward layers --------------------------------------------------------------------------


def _gated(module: Any) -> tuple[Forward, ...]:
    for name in ("act_fn", "activation_fn"):
        activation = _activation(getattr(module, name, None))
        if activation is None:
            continue
        if all(hasattr(module, part) for part in ("gate_proj", "up_proj", "down_proj")):
            return (_apart(activation),)
        if all(hasattr(module, part) for part in ("gate_up_proj", "down_proj")):
            return (_packed(activation),)
    return ()


def _apart(activation: Any) -> Forward:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(Gated.apply(self.gate_proj(x), self.up_proj(x), activation))

    return forward


def _packed(activation: Any) -> Forward:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(PackedGated.apply(self.gate_up_proj(x), activation))

    return forward


def _activation(function: Any) -> Any:
    """The kernels' activation that gives the same numbers as a module's, or None."""
    if not callable(function):
        return None
    points = torch.linspace(-6.0, 6.0, 49)
    given = function(points.clone())
    for ours, plain in ACTIVATIONS:
        if isinstance(given, torch.Tensor) and torch.allclose(given, plain(points), rtol=1e-5, atol=1e-6):
            return ours
    return None


# ---- the trial ------------------------------------------------------------------------------------


def _agree(module: Any, forward: Forward) -> bool:
    """Whether both give the same for rows of usual and of small numbers, in shape, dtype and value."""
    weight = next(module.parameters())
    if weight.device.type == "meta":
        raise ArgumentError(f"fuse: a {type(module).__name__} has no weights yet; load them first")
    if weight.dtype not in FLOATING:
        return False
    width = getattr(getattr(module, "down_proj", None), "out_features", weight.shape[-1])
    rows = torch.randn((2, 3, width), generator=torch.Generator().manual_seed(0))
    rows[1] *= 1e-3
    given = rows.to(weight.device, weight.dtype)
    with torch.no_grad():
        want, got = type(module).forward(module, given.clone()), forward(module, given)
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    bound = 1e-4 if weight.dtype is torch.float32 else 3e-2
    return bool(((got - want).abs() <= bound * want.abs().amax(-1, keepdim=True)).all())
