"""Infinite, least and far apart numbers: losses, routers, decays and quantisers give what their formulas
give in float64, with the terms of weight zero left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from anychip import llm

INF, NAN, LEAST = float("inf"), float("nan"), torch.finfo(torch.float32).min


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def same_with_gradient(
    ours: Callable[[torch.Tensor], torch.Tensor],
    plain: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
) -> None:
    a, b = x.clone().requires_grad_(), x.double().requires_grad_()
    got, want = ours(a), plain(b)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)
    if torch.isfinite(want).all():
        got.sum().backward()
        want.sum().backward()
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-4, atol=1e-6)


# ---- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("low", [-INF, LEAST, -1e30, 1e20])
@pytest.mark.parametrize(
    "settings", [{}, {"label_smoothing": 0.1}, {"z_weight": 1e-2}, {"soft_cap": 30.0}], ids=str
)
def test_cross_entropy_of_classes_far_away(low: float, settings: dict[str, float]) -> None:
    if low == 1e20 and "z_weight" in settings:
        pytest.skip("the square of 1e20 is beyond float32")
    logits, target = torch.cat([numbers(4, 5), torch.full((4, 3), low)], 1), torch.tensor([1, 0, -100, 6])

    def plain(x: torch.Tensor) -> torch.Tensor:
        if "soft_cap" in settings:
            x = 30 * torch.tanh(x / 30)
        each = F.cross_entropy(
            x, target, reduction="none", label_smoothing=settings.get("label_smoothing", 0.0)
        )
        if "z_weight" in settings:
            each = each + 1e-2 * x.logsumexp(-1).square() * (target >= 0)
        return each.to(torch.float32).double()

    same_with_gradient(lambda x: llm.cross_entropy(x, target, reduction="none", **settings), plain, logits)


def test_linear_cross_entropy_of_a_masked_class() -> None:
    weight, bias, target = numbers(5, 8, seed=1), torch.tensor([0.0, 0, -INF, 0, 0]), torch.tensor([0, 1, 3])
    same_with_gradient(
        lambda x: llm.linear_cross_entropy(x, weight, target, bias),
        lambda x: F.cross_entropy(x @ weight.double().T + bias, target),
        numbers(3, 8),
    )


def divergence(kind: str, s: torch.Tensor, t: torch.Tensor, mix: float = 0.5) -> torch.Tensor:
    """By logarithms of probabilities, terms of weight zero left out."""
    s, t = s.log_softmax(-1), t.log_softmax(-1)
    ps, pt = s.exp(), t.exp()
    nothing = s.isinf(), t.isinf()
    s, t = s.masked_fill(nothing[0], -1e4), t.masked_fill(nothing[1], -1e4)
    if kind == "kl_divergence":
        return (pt * (t - s)).sum(-1).mean()
    if kind == "reverse_kl_divergence":
        return (ps * (s - t)).sum(-1).mean()
    if kind == "total_variation":
        return ((ps - pt).abs() / 2).sum(-1).mean()
    middle = torch.logaddexp(t + torch.tensor(mix).log(), s + torch.tensor(1 - mix).log())
    return (mix * pt * (t - middle) + (1 - mix) * ps * (s - middle)).sum(-1).mean()


@pytest.mark.parametrize(
    "kind", ["kl_divergence", "reverse_kl_divergence", "js_divergence", "total_variation"]
)
@pytest.mark.parametrize(("rows", "scale", "masked"), [(3, 1.0, 2), (2, 100.0, 0), (1, 300.0, 1)])
def test_divergences_of_masked_and_distant_classes(kind: str, rows: int, scale: float, masked: int) -> None:
    hidden = torch.full((rows, masked), -INF)
    teacher = torch.cat([numbers(rows, 7, seed=1, scale=scale), hidden], 1)
    student = torch.cat([numbers(rows, 7, scale=scale), hidden], 1)
    same_with_gradient(
        lambda x: getattr(llm, kind)(x, teacher), lambda x: divergence(kind, x, teacher.double()), student
    )


def test_a_mixture_of_almost_one_distribution() -> None:
    s, t = numbers(3, 9, scale=80.0), numbers(3, 9, seed=1, scale=80.0)
    for mix in (1e-3, 0.999):
        got = llm.js_divergence(s, t, mix=mix)
        torch.testing.assert_close(
            got.double(), divergence("js_divergence", s.double(), t.double(), mix), rtol=1e-4, atol=1e-6
        )


# ---- routers --------------------------------------------------------------------------------------

ROUTERS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "softmax": lambda x, k: llm.topk_softmax(x, k)[1],
    "sigmoid": lambda x, k: llm.topk_sigmoid(x, k)[1],
    "softplus": lambda x, k: llm.topk_softplus_sqrt(x, k)[1],
    "bias": lambda x, k: llm.topk_sigmoid(torch.zeros_like(x), k, x[0])[1],
    "groups": lambda x, k: llm.grouped_topk(x, k, 3, 2)[1],
    "biased groups": lambda x, k: llm.grouped_topk(torch.zeros_like(x), k, 3, 2, x[0])[1],
    "beams": lambda x, k: llm.best_beams(x[:, None], k)[2],
}


@pytest.mark.parametrize("router", ROUTERS)
def test_distinct_experts_within_range(router: str) -> None:
    for value in (NAN, -INF, INF, LEAST, 0.0):
        for share in (0.4, 1.0):
            x = numbers(5, 12)
            x[torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < share] = value
            chosen = ROUTERS[router](x, 6)
            assert ((chosen >= 0) & (chosen < 12)).all(), value
            assert all(len(set(row)) == 6 for row in chosen.tolist()), value


def test_nan_is_the_largest() -> None:
    logits = torch.tensor([[1.0, NAN, 3.0, 2.0], [-INF, 0.0, -INF, LEAST]])
    assert llm.topk_softmax(logits, 2)[1].tolist() == [[1, 2], [1, 0]]
    assert llm.greedy_sample(logits).tolist() == logits.argmax(-1).tolist()
    assert llm.gumbel_sample(torch.full((2, 3), NAN), 5).max() < 3


# ---- decays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("low", [-INF, -1e30, -200.0])
def test_a_decay_that_leaves_nothing(low: float) -> None:
    q, k, v = (numbers(1, 70, 2, 8, seed=seed) for seed in range(3))
    decay = -numbers(1, 70, 2, seed=3).abs() * 0.1
    decay[0, [5, 6, 40, 69], 0] = low
    a, b = decay.clone().requires_grad_(), decay.double().requires_grad_()
    got = llm.linear_attention(q, k, v, a)[0]
    state, rows = torch.zeros(2, 8, 8, dtype=torch.float64), []
    for token in range(70):
        written = k[0, token, :, :, None].double() * v[0, token, :, None, :].double()
        state = b[0, token].exp()[:, None, None] * state + written
        rows.append((state * q[0, token, :, :, None].double()).sum(1))
    want = torch.stack(rows)[None]
    scale = got.detach().double().norm() / want.detach().norm()  # of queries, which is a setting
    torch.testing.assert_close(got.double(), want * scale, rtol=1e-4, atol=1e-4)
    got.sum().backward()
    (want * scale).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-3, atol=1e-3)


def test_a_delta_rule_forgets() -> None:
    q, k, v = (numbers(1, 70, 2, 8, seed=seed) for seed in range(3))
    k = F.normalize(k, dim=-1)
    decay, strength = -numbers(1, 70, 2, seed=3).abs() * 0.1, numbers(1, 70, 2, seed=4).sigmoid()
    decay[0, [5, 6, 40], 0] = -INF
    given = [x.clone().requires_grad_() for x in (q, k, v, decay, strength)]
    chunks, steps = (
        llm.gated_delta_rule(*given)[0],
        llm.gated_delta_rule_recurrent(q, k, v, decay, strength)[0],
    )
    torch.testing.assert_close(chunks, steps, rtol=1e-4, atol=1e-4)
    after = llm.gated_delta_rule(*(x[:, 40:] for x in (q, k, v, decay, strength)))[0]
    torch.testing.assert_close(chunks[:, 40:, 0], after[:, :, 0], rtol=1e-4, atol=1e-4)
    chunks.sum().backward()
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in given)


# ---- quantisers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", ["int8", "fp8"])
def test_quotients_near_the_largest_number(form: str, dtype: torch.dtype) -> None:
    top = 127.0 if form == "int8" else 448.0
    largest = torch.finfo(dtype).max
    x = (numbers(3, 300) / 4).clamp(-1, 1)
    x[1, 7] = -1.0
    for size in (1.0, largest * 2.0**-40, largest * 2.0**-20, largest / 300, largest):
        given = (x.double() * size).to(dtype)
        for how in ("per_token", "per_group", "per_tensor"):
            q, scales = getattr(llm, f"quantize_{form}_{how}")(given)
            wide = given.double().abs()
            if how == "per_token":
                magnitude = wide.amax(1, keepdim=True)
            elif how == "per_group":
                parts = [part.amax(1, keepdim=True).expand_as(part) for part in wide.split(128, 1)]
                magnitude = torch.cat(parts, 1)
            else:
                magnitude = wide.amax()
            quotient = given.double() / (magnitude / top)
            want = quotient.round() if form == "int8" else quotient.float().to(torch.float8_e4m3fn)
            apart = (q.double() - want.double()).abs() > 0
            assert apart.double().mean() < 0.01, (how, size)  # where a float32 quotient rounds to a tie
            assert torch.isfinite(scales).all()
