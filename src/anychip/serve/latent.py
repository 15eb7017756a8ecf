"""Multi-head latent attention (DeepSeek-V2 and V3) over a cache of latents: keys and values of all heads are
products of one latent a token, so the products with a head's matrices are done with queries and results
instead. Flows in: a layer of the library. Flows out: the same layer, whose attention finds latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..llm.packed.dense import DenseWeight, dense
from ..llm.packed.experts import Experts, expert_matmul, experts
from ..llm.packed.products import unpacked_rows
from ..llm.packed.weights import PackedWeight
from ..ops.iteration import power_of_two
from .sources import Weight


def latent_width(config: Any) -> int | None:
    """Elements of a token in the cache of such a model, filled up to a power of two; None for others."""
    rank = getattr(config, "kv_lora_rank", None)
    return None if rank is None else power_of_two(rank + config.qk_rope_head_dim)


@dataclass(frozen=True, slots=True)
class Latent:
    """Of one layer: `keys` take a head's query [plain] to the latent's [rank], `values` a head's sum of
    latents to its result."""

    heads: int
    plain: int
    rank: int
    width: int
    keys: Experts
    values: Experts

    def _routes(self, tokens: int) -> torch.Tensor:
        return torch.arange(self.heads, dtype=torch.int32).repeat(tokens)

    def queries(self, query: torch.Tensor) -> torch.Tensor:
        """query [batch, heads, tokens, plain + turned] as [batch tokens, heads, width]."""
        rows = query.transpose(1, 2).reshape(-1, query.shape[-1])
        plain = rows[:, : self.plain].contiguous()
        made = expert_matmul(plain, self.keys, self._routes(rows.shape[0] // self.heads), 1)
        return self._filled(torch.cat([made, rows[:, self.plain :]], 1)).view(-1, self.heads, self.width)

    def stored(self, rows: torch.Tensor) -> torch.Tensor:
        """Keys or values [batch, 1, tokens, any] as [batch tokens, 1, width]."""
        return self._filled(rows.reshape(-1, rows.shape[-1])).view(-1, 1, self.width)

    def results(self, out: torch.Tensor) -> torch.Tensor:
        """Sums of latents [..., heads, width] as results [..., heads, value width]."""
        rows = out.reshape(-1, self.width)[:, : self.rank].contiguous()
        made = expert_matmul(rows, self.values, self._routes(rows.shape[0] // self.heads), 1)
        return made.view(*out.shape[:-1], -1)

    def _filled(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(rows, (0, self.width - rows.shape[1]))


def with_latents(module: Any, config: Any) -> None:
    """Let an attention layer of the library hand latents to its attention."""
    weight = _numbers(module.kv_b_proj.packed)
    heads, plain, rank = module.num_heads, module.qk_nope_head_dim, module.kv_lora_rank
    parts = weight.view(heads, plain + module.v_head_dim, rank)
    keys = experts([dense(one.t().contiguous()) for one in parts[:, :plain]])
    values = experts([dense(one.contiguous()) for one in parts[:, plain:]])
    width = latent_width(config)
    assert width is not None
    module.latent = Latent(heads, plain, rank, width, keys, values)
    del module.kv_b_proj
    module.expand_kv = lambda latents, turned: (torch.cat([latents, turned], -1), latents)


def _numbers(weight: Weight) -> torch.Tensor:
    """A weight as numbers [rows, columns]."""
    if isinstance(weight, PackedWeight):
        return unpacked_rows(weight, torch.arange(weight.rows))
    if isinstance(weight, DenseWeight):
        return weight.numbers.movedim(-1, 1).reshape(-1, weight.columns)[: weight.rows]
    each = weight.scales.repeat_interleave(weight.block, 1)[:, : weight.columns]
    return (weight.numbers.float() * each).movedim(-1, 1).reshape(-1, weight.columns)[: weight.rows]
