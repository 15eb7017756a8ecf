"""Cases of the fused operators for language models, at the sizes of a small model. Flows in: names. Flows
out: cases that time each operator against a plain PyTorch composition of the same mathematics, PyTorch's own
fused call where it has one."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_map

from ..llm.registry import operators
from ..suggestions import did_you_mean
from .case import Case, Work, integers, moved, normal
from .errors import BenchmarkError

Arguments = Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class FusedCase:
    """One row. `pytorch` None is the record's own reference. `backward`: forward and gradients of the
    floating arguments with those of the result given as ones. `in_place`: ours changes its
    arguments, and gets copies of its own."""

    name: str
    arguments: Arguments
    pytorch: Callable[..., Any] | None = None
    backward: bool = False
    in_place: bool = False
    terms: int = 1


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool) -> torch.Tensor:
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True).transpose(1, 2)


def _paged(query: torch.Tensor, keys: Any, values: Any, tables: Any, lengths: Any) -> torch.Tensor:
    k, v = (x[tables[0].long()].flatten(0, 1)[: int(lengths[0])].transpose(0, 1) for x in (keys, values))
    return F.scaled_dot_product_attention(query.transpose(0, 1), k, v, enable_gqa=True).transpose(0, 1)


def _adamw(p: Any, g: Any, m: Any, v: Any, step: int) -> Any:
    m = torch.lerp(m, g, 0.1)
    v = v * 0.999 + 0.001 * g * g
    return p * (1 - 1e-5) - 1e-3 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8), m, v


def _experts(x: Any, gate_up: Any, down: Any, weights: Any, ids: Any) -> torch.Tensor:
    """Expert by expert, over the tokens that each has."""
    out = torch.zeros_like(x)
    for expert in range(gate_up.shape[0]):
        token, slot = torch.where(ids == expert)
        gate, up = (x[token] @ gate_up[expert].t()).chunk(2, -1)
        rows = (F.silu(gate) * up) @ down[expert].t()
        out.index_add_(0, token, rows * weights[token, slot, None])
    return out


def _topk(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    weights, ids = logits.softmax(-1).topk(k)
    return weights / weights.sum(-1, keepdim=True), ids


def _routes() -> torch.Tensor:
    return torch.rand((512, 8), generator=torch.Generator().manual_seed(1)).argsort(-1)[:, :2].int()


def _pages() -> tuple[Any, ...]:
    tables = torch.randperm(80, generator=torch.Generator().manual_seed(1))[None, :64].int()
    return (
        normal(1, 16, 64),
        normal(80, 16, 4, 64),
        normal(80, 16, 4, 64, seed=1),
        tables,
        torch.tensor([1000]),
    )


def _table(tokens: int, pairs: int) -> tuple[torch.Tensor, torch.Tensor]:
    angle = torch.arange(tokens)[:, None] * 10000.0 ** (-torch.arange(pairs) / pairs)
    return angle.cos(), angle.sin()


HIDDEN = 2048, 2048
FUSED_CASES: tuple[FusedCase, ...] = (
    FusedCase(
        "rms_norm", lambda: (normal(*HIDDEN), normal(2048)), lambda x, w: F.rms_norm(x, w.shape, w, 1e-6)
    ),
    FusedCase(
        "rms_norm",
        lambda: (normal(*HIDDEN), normal(2048)),
        lambda x, w: F.rms_norm(x, w.shape, w, 1e-6),
        backward=True,
        terms=2048,
    ),
    FusedCase("add_rms_norm", lambda: (normal(*HIDDEN), normal(*HIDDEN, seed=1), normal(2048))),
    FusedCase(
        "add_layer_norm", lambda: (normal(*HIDDEN), normal(*HIDDEN, seed=1), normal(2048), normal(2048))
    ),
    FusedCase("gated_rms_norm", lambda: (normal(*HIDDEN), normal(*HIDDEN, seed=1), normal(2048))),
    FusedCase("pair_rms_norm", lambda: (normal(2048, 1536), normal(2048, 512), normal(1536), normal(512))),
    FusedCase("dynamic_tanh", lambda: (normal(*HIDDEN), torch.tensor([0.5]), normal(2048), normal(2048))),
    FusedCase("soft_cap", lambda: (normal(512, 32000), 30.0)),
    FusedCase("swiglu", lambda: (normal(1024, 5632), normal(1024, 5632, seed=1))),
    FusedCase("swiglu", lambda: (normal(1024, 5632), normal(1024, 5632, seed=1)), backward=True),
    FusedCase("geglu_tanh", lambda: (normal(1024, 5632), normal(1024, 5632, seed=1))),
    FusedCase("swiglu_clamped", lambda: (normal(1024, 11264), 7.0, 1.702, 1.0, True)),
    FusedCase("squared_relu", lambda: (normal(1024, 5632),)),
    FusedCase(
        "linear_activation",
        lambda: (normal(512, 1024), normal(2048, 1024), normal(2048), "gelu_tanh"),
        terms=1024,
    ),
    FusedCase("decode_linear", lambda: (normal(1, 2048), normal(2048, 2048)), terms=2048),
    FusedCase("scaled_embedding", lambda: (normal(32000, 1024), integers(32000, 2048), 32.0)),
    FusedCase(
        "rotary_embedding", lambda: (normal(1, 2048, 16, 64), normal(1, 2048, 4, 64), *_table(2048, 32))
    ),
    FusedCase(
        "norm_rotary",
        lambda: (
            normal(2048, 16, 64),
            normal(2048, 4, 64),
            normal(64),
            normal(64, seed=1),
            *_table(2048, 32),
            torch.arange(2048),
        ),
    ),
    FusedCase(
        "flash_attention",
        lambda: (*(normal(1, 1024, h, 64) for h in (16, 4, 4)), True),
        _attention,
        terms=1024,
    ),
    FusedCase(
        "flash_attention",
        lambda: (*(normal(1, 512, 8, 64, seed=k) for k in range(3)), True),
        _attention,
        backward=True,
        terms=2048,
    ),
    FusedCase("paged_attention", _pages, _paged, terms=1024),
    FusedCase(
        "kv_cache_write",
        lambda: (
            normal(4, 256, 4, 64),
            normal(4, 256, 4, 64),
            normal(4, 512, 4, 64),
            normal(4, 512, 4, 64),
            torch.arange(4),
        ),
        in_place=True,
    ),
    FusedCase(
        "cross_entropy",
        lambda: (normal(512, 32000), integers(32000, 512)),
        lambda x, y: F.cross_entropy(x, y.long()),
        terms=32000,
    ),
    FusedCase(
        "cross_entropy",
        lambda: (normal(512, 32000), integers(32000, 512)),
        lambda x, y: F.cross_entropy(x, y.long()),
        backward=True,
        terms=32000,
    ),
    FusedCase(
        "linear_cross_entropy",
        lambda: (normal(256, 512) * 0.1, normal(8000, 512) * 0.1, integers(8000, 256)),
        lambda x, w, y: F.cross_entropy(x @ w.t(), y.long()),
        backward=True,
        terms=8000,
    ),
    FusedCase("kl_divergence", lambda: (normal(256, 32000), normal(256, 32000, seed=1)), terms=32000),
    FusedCase("topk_softmax", lambda: (normal(4096, 64), 6), _topk),
    FusedCase("grouped_topk", lambda: (normal(1024, 256), 8, 8, 4), terms=8),
    FusedCase(
        "grouped_gemm",
        lambda: (normal(1024, 512), normal(8, 1024, 512), torch.arange(0, 1025, 128).int()),
        terms=512,
    ),
    FusedCase(
        "fused_moe",
        lambda: (
            normal(512, 512),
            normal(8, 1024, 512) * 0.05,
            normal(8, 512, 512) * 0.05,
            normal(512, 2),
            _routes(),
        ),
        _experts,
        terms=1024,
    ),
    FusedCase(
        "int8_weight_matmul",
        lambda: (normal(1, 2048), integers(127, 2048, 2048, dtype=torch.int8), normal(2048, 1) * 0.01),
        lambda x, w, s: x @ (w.to(x.dtype) * s).t(),
        terms=2048,
    ),
    FusedCase(
        "quantize_int8_per_token",
        lambda: (normal(*HIDDEN),),
        lambda x: (
            (x * 127 / x.abs().amax(-1, keepdim=True)).round().to(torch.int8),
            x.abs().amax(-1, keepdim=True) / 127,
        ),
    ),
    FusedCase(
        "adamw_step",
        lambda: (*(normal(1 << 22, seed=k) for k in range(3)), normal(1 << 22).abs(), 3),
        _adamw,
        in_place=True,
    ),
    FusedCase("lion_step", lambda: tuple(normal(1 << 22, seed=k) for k in range(3)), in_place=True),
    FusedCase("gradient_norm", lambda: ([normal(1 << 22), normal(1 << 20)],), terms=1 << 22),
    FusedCase("scale_by_temperature", lambda: (normal(16, 32000), torch.full((16,), 0.7))),
    FusedCase("top_k_mask", lambda: (normal(16, 32000), torch.full((16,), 50))),
    FusedCase("top_p_mask", lambda: (normal(16, 32000), torch.full((16,), 0.9)), terms=32000),
    FusedCase("greedy_sample", lambda: (normal(16, 32000),)),
    FusedCase("beam_search_scores", lambda: (normal(16, 32000), normal(16)), terms=32000),
    FusedCase("top_k_rows", lambda: (normal(64, 8192), 512), lambda x, k: x.topk(k).indices.sort(-1).values),
    FusedCase("causal_conv1d", lambda: (normal(1, 1024, 1024), normal(1024, 4), normal(1024), True)),
    FusedCase(
        "selective_state_update",
        lambda: (
            normal(4, 32, 64, 64),
            normal(4, 32, 64),
            normal(4, 32).abs(),
            -normal(32).abs(),
            normal(4, 1, 64),
            normal(4, 1, 64, seed=1),
        ),
        terms=64,
        in_place=True,
    ),
    FusedCase("sinkhorn", lambda: (normal(4096, 4, 4), 10)),
    FusedCase(
        "hyper_connection_write",
        lambda: (normal(1024, 1024), normal(1024, 4, 1024), normal(1024, 4), normal(1024, 4, 4)),
    ),
    FusedCase(
        "grouped_lora_shrink",
        lambda: (normal(512, 1024), normal(4, 16, 1024) * 0.1, integers(4, 512).sort().values),
        terms=1024,
    ),
)
"""What is timed; an operator may have several rows."""


Convert = Callable[[Any], Any]


def cases(
    patterns: Sequence[str] = (), there: Convert | None = None, home: Convert | None = None
) -> list[Case]:
    """The cases whose name matches one of the shell patterns; all without patterns. `there` brings arguments
    to a device, `home` results to the CPU, where they are compared. Raises `BenchmarkError` for a pattern
    that matches nothing."""
    known = [(fused, _case(fused, there, home)) for fused in FUSED_CASES]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(case.name, pattern) for _, case in known):
            hint = did_you_mean(pattern, {case.name for _, case in known})
            raise BenchmarkError(f"no fused operator that is timed matches {pattern!r}.\n  {hint}")
    return [case for _, case in known if not patterns or any(fnmatch.fnmatch(case.name, p) for p in patterns)]


def _case(fused: FusedCase, there: Convert | None, home: Convert | None) -> Case:
    operator = operators()[fused.name]
    tensors = _tensors(fused.arguments())
    name = fused.name + ("_and_gradients" if fused.backward else "")
    return Case(
        name, operator.family, tuple(tensors[0].shape), tensors[0].dtype, lambda: _work(fused, there, home)
    )


def _work(fused: FusedCase, there: Convert | None = None, home: Convert | None = None) -> Work:
    operator = operators()[fused.name]
    plain = fused.pytorch or operator.reference
    arguments = fused.arguments() if there is None else tree_map(there, fused.arguments())

    ours = operator.function
    if fused.backward:
        ours, plain = _with_gradients(ours), _with_gradients(plain)
    if fused.in_place:
        ours = _with_copies(ours, arguments)
    return Work(
        arguments,
        ours,
        plain,
        bytes=(3 if fused.backward else 1.5) * moved(*_tensors(arguments)),
        terms=fused.terms,
        compared=home,
        exportable=False,
    )


def _with_gradients(function: Callable[..., Any]) -> Callable[..., list[torch.Tensor]]:
    def call(*arguments: Any) -> list[torch.Tensor]:
        with torch.enable_grad():
            given = [
                x.detach().requires_grad_() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
                for x in arguments
            ]
            out = function(*given)
            wanted = [x for x in given if isinstance(x, torch.Tensor) and x.requires_grad]
            return [out.detach(), *torch.autograd.grad(out, wanted, torch.ones_like(out))]

    return call


def _with_copies(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """The first call, which is compared, finds the arguments as they were made."""
    copies = [x.clone() if isinstance(x, torch.Tensor) else x for x in arguments]
    return lambda *_: function(*copies)


def _tensors(arguments: Sequence[Any]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for x in arguments:
        found += [x] if isinstance(x, torch.Tensor) else _tensors(x) if isinstance(x, list) else []
    return found
