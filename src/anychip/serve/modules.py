"""Modules that stand in for those of a model of the transformers library: products with weights as they are
stored, embeddings, norms and gates that round their rows for the product that follows, and attention over the
engine's cache. The library's own modelling code calls them. Flows in: activations in float32."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any

import torch

from ..llm.adapter.lora import grouped_lora_expand, grouped_lora_shrink
from ..llm.attention.transposed_pages import (
    EVERYTHING,
    attention_of_chunk,
    attention_of_newest,
    turn_and_write,
)
from ..llm.packed.dense import dense_matmul
from ..llm.packed.products import RoundedRows, packed_matmul, rounded_rows, unpacked_rows
from ..llm.packed.rounding import gate_and_round, norm_and_round
from ..llm.packed.scaled import ScaledWeight, scaled_matmul
from ..llm.packed.weights import PackedWeight
from .errors import ModelError
from .latent import Latent
from .sources import Weight

# ---- what was computed of a tensor ----------------------------------------------------------------


def _once(x: torch.Tensor, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives, kept with `x` for others who ask by the same key until it is written to."""
    kept: dict[Any, Any] = vars(x).setdefault("_anychip_made", {})
    at = key, x._version
    if at not in kept:
        kept[at] = make()
    return kept[at]


def rounded(x: torch.Tensor) -> RoundedRows:
    """x rounded to 8 bits, once for all products that it goes into."""
    return _once(x, "rounded", lambda: rounded_rows(x))


def product(x: torch.Tensor, weight: Weight, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x weight^T + bias for x [..., columns]."""
    if isinstance(weight, PackedWeight):
        out = packed_matmul(rounded(x), weight, bias)
    elif isinstance(weight, ScaledWeight):
        out = scaled_matmul(x.reshape(-1, weight.columns).contiguous(), weight, bias)
    else:
        out = dense_matmul(x.reshape(-1, weight.columns).contiguous(), weight, bias)
    return out.view(*x.shape[:-1], weight.rows)


# ---- linear layers --------------------------------------------------------------------------------


class PackedLinear(torch.nn.Module):
    """A linear layer on a weight as it is stored, whose columns are those of activations in an `order`, and
    filled up where they do not make whole blocks. `adapters` are down [adapters, ranks, columns] and up
    [adapters, rows, ranks] float32; the step says which each row has."""

    adapters: tuple[torch.Tensor, torch.Tensor] | None = None

    def __init__(self, weight: Weight, bias: torch.Tensor | None, order: torch.Tensor | None = None):
        super().__init__()
        self.packed, self.bias, self.order = weight, bias, order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., columns] float32 to [..., rows of the weight]."""
        given = x
        order = self.order
        if order is not None:
            x = _once(given, ("ordered", id(order)), lambda: given.index_select(-1, order))
        missing = self.packed.columns - x.shape[-1]
        if missing:
            x = _once(x, ("filled", missing), lambda: torch.nn.functional.pad(x, (0, missing)))
        out = product(x, self.packed, self.bias)
        return out if self.adapters is None else self._adapted(given, out)

    def _adapted(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """`out` with each row's adapter; rows without one keep their bits."""
        ids = current.get().adapters
        if self.adapters is None or ids is None:
            return out
        down, up = self.adapters
        rows = grouped_lora_shrink(x.reshape(-1, x.shape[-1]), down, ids)
        return grouped_lora_expand(rows, up, ids, out.view(-1, out.shape[-1])).view(out.shape)


class Part(torch.nn.Module):
    """Some columns of a product that several layers with the same input share."""

    def __init__(self, whole: PackedLinear, first: int, last: int):
        super().__init__()
        self.whole = [whole]
        self.first, self.last = first, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """This layer's columns of the product, which is computed once for all layers."""
        whole = self.whole[0]
        return _once(x, whole, lambda: whole(x))[..., self.first : self.last]


class PackedEmbedding(torch.nn.Module):
    """Rows of a weight as it is stored, times `scale`."""

    def __init__(self, weight: PackedWeight | torch.Tensor, scale: float):
        super().__init__()
        self.packed, self.scale = weight, scale

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [...] to float32 rows [..., columns]."""
        if isinstance(self.packed, PackedWeight):
            rows = unpacked_rows(self.packed, tokens)
        else:
            rows = self.packed[tokens].float()
        return rows if self.scale == 1.0 else rows * self.scale


# ---- norms and feed-forward layers ----------------------------------------------------------------


def norm_forward(epsilon: str, shift: float) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """A forward for an RMS norm whose epsilon is the attribute of that name."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        out, rounded = norm_and_round(x, self.weight, getattr(self, epsilon), shift)
        _once(out, "rounded", lambda: rounded)
        return out

    return forward


def gated_forward(activation: str) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """A forward for a gated layer with a packed product `gate_and_up`."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        both = self.gate_and_up(x)
        rows = gate_and_round(both.view(-1, both.shape[-1]), activation)
        return packed_matmul(rows, self.down_proj.packed, self.down_proj.bias).view(x.shape)

    return forward


# ---- attention ------------------------------------------------------------------------------------

IMPLEMENTATION = "anychip_pages"
"""Under which name the transformers library knows this attention."""


@dataclass(slots=True)
class Step:
    """What layers must know of a step. Layers' pages as `transposed_pages` has them; slots [tokens], tables
    [sequences, most pages], starts and lengths [sequences] of integers. Without starts each sequence has one
    token. `adapters` [tokens] int32 are numbers of adapters, -1 for none. `angles` and `turned` pass the
    rotation on from where a model asks for it."""

    pages: Sequence[tuple[torch.Tensor, ...]]
    slots: torch.Tensor
    tables: torch.Tensor
    lengths: torch.Tensor
    starts: torch.Tensor | None
    adapters: torch.Tensor | None = None
    turned: torch.Tensor | None = None
    angles: tuple[torch.Tensor, torch.Tensor] | None = field(default=None)


current: ContextVar[Step] = ContextVar("step")
"""The step that is being computed."""


def register() -> None:
    """Tell the transformers library this attention's name."""
    from transformers import AttentionInterface

    AttentionInterface.register(IMPLEMENTATION, attention)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of the library: writes keys and values [batch, heads, tokens, width] into the
    step's pages and attends to what its tables name. The mask is in lengths and windows."""
    step = current.get()
    keys, values, *rest = step.pages[module.layer_idx]  # type: ignore[index]
    scales = (rest[0], rest[1]) if rest else None
    batch, heads, tokens, width = query.shape
    latent: Latent | None = getattr(module, "latent", None)
    if step.turned is query and step.angles is not None:
        cosine, sine = (x.reshape(batch * tokens, -1) for x in step.angles)
    else:
        cosine = sine = query.new_zeros((batch * tokens, 0))
    if latent is None:
        rows = [x.transpose(1, 2).flatten(0, 1) for x in (query, key, value)]
    else:
        rows = [latent.queries(query), latent.stored(key), latent.stored(value)]
        scaling, width = scaling or width**-0.5, latent.width
    turned = turn_and_write(*rows, cosine, sine, step.slots, keys, values, scales)  # type: ignore[arg-type]
    scale = width**-0.5 if scaling is None else scaling
    options = (EVERYTHING if sliding_window is None else sliding_window, softcap or 0.0, s_aux, scales)
    if step.starts is None:
        out = attention_of_newest(turned, keys, values, step.tables, step.lengths, scale, *options)
    else:
        chunk = turned.view(batch, tokens, heads, width)
        out = attention_of_chunk(chunk, keys, values, step.tables, step.starts, step.lengths, scale, *options)
    out = out.view(batch, tokens, heads, width)
    return out if latent is None else latent.results(out), None


def turn_later(query: torch.Tensor, key: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, *_: Any):
    """In place of a model's `apply_rotary_pos_emb`: attention turns them as it writes the cache."""
    step = current.get()
    step.turned, step.angles = query, (cosine, sine)
    return query, key


def with_later_turns(module: torch.nn.Module) -> bool:
    """Let an attention layer leave its rotation to attention, where that is the rotation of halves; whether
    it does. The layer's own code runs, with another function under the name of the rotation."""
    forward = inspect.unwrap(type(module).forward)
    original = forward.__globals__.get("apply_rotary_pos_emb")
    if "apply_rotary_pos_emb" not in forward.__code__.co_names or not _turns_halves(original):
        return False
    module.forward = MethodType(with_names(forward, {"apply_rotary_pos_emb": turn_later}), module)
    return True


def with_names(function: Callable[..., Any], names: dict[str, Any]) -> Callable[..., Any]:
    """A function of the library that finds others under some of its module's names."""
    given: Any = inspect.unwrap(function)
    known = {**given.__globals__, **names}
    made = FunctionType(given.__code__, known, given.__name__, given.__defaults__, given.__closure__)
    made.__kwdefaults__ = given.__kwdefaults__
    return made


def _turns_halves(function: Any) -> bool:
    """Whether a rotation is that of pairs (i, i + half), on a trial."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn((1, heads, 3, 8), generator=generator) for heads in (4, 2))
    angle = torch.randn((1, 3, 4), generator=generator).repeat(1, 1, 2)
    try:
        got = function(q, k, angle.cos(), angle.sin())
    except Exception:
        return False
    for given, turned in zip((q, k), got, strict=True):
        first, second = given.chunk(2, -1)
        want = given * angle.cos() + torch.cat([-second, first], -1) * angle.sin()
        if not torch.allclose(turned, want, atol=1e-6):
            return False
    return True


def require_width(width: int) -> None:
    """Raise ModelError for heads that the attention kernels do not take."""
    if width & (width - 1) or width < 16:
        raise ModelError(
            f"heads of width {width} are not served; powers of two from 16 on are.",
        )
