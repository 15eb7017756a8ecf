"""Losses of distillation: how far a student's distribution is from a teacher's, both given as logits of
which the probabilities never reach memory. Flows in: two tensors of logits [rows, classes]. Flows out: the
mean over rows of a divergence, with the gradient of the student's logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .rows import log_sum_exp, mean_kernel

TILES = Tiles(simt={"block": 2048}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def divergence_terms(s, t, mix, KIND: tl.constexpr):
    """For log-probabilities s and t of student and teacher: the term of the divergence, and the student's
    probability times the term's derivative by it (up to what is constant over a row). What has no
    probability adds nothing, whatever its logarithm. A mixture has some where one of its parts
    has, so that it is enough to keep logarithms of zero finite."""
    student, teacher = tl.exp(s), tl.exp(t)
    if KIND == "kl":
        value = tl.where(teacher == 0.0, 0.0, teacher * (t - s))
        slope = -teacher
    elif KIND == "reverse_kl":
        value = tl.where(student == 0.0, 0.0, student * (s - t))
        slope = value
    elif KIND == "js":
        of_teacher = mix * teacher
        of_student = (1.0 - mix) * student
        middle = tl.log(tl.maximum(of_teacher + of_student, 1.1754943508222875e-38))
        slope = of_student * (tl.maximum(s, -1e30) - middle)
        value = slope + of_teacher * (tl.maximum(t, -1e30) - middle)
    else:
        value = 0.5 * tl.abs(student - teacher)
        slope = 0.5 * student * tl.where(student > teacher, 1.0, tl.where(student < teacher, -1.0, 0.0))
    return value, slope


@triton.jit
def divergence_kernel(
    losses, saved, student, teacher, classes, scale, mix, KIND: tl.constexpr, BLOCK: tl.constexpr
):
    """One row's divergence; both parts of both normalisers and the sum of slopes are kept, [rows, 5]."""
    row = tl.program_id(0).to(tl.int64)
    first_s, first_t = student + row * classes, teacher + row * classes
    largest_s, rest_s, _ = log_sum_exp(first_s, classes, scale, 1.0, False, BLOCK)  # type: ignore[arg-type]
    largest_t, rest_t, _ = log_sum_exp(first_t, classes, scale, 1.0, False, BLOCK)  # type: ignore[arg-type]
    loss = 0.0
    slopes = 0.0
    for first in range(0, classes, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < classes
        s = tl.load(first_s + lane, mask=mask, other=0.0).to(tl.float32) * scale - largest_s - rest_s
        t = tl.load(first_t + lane, mask=mask, other=0.0).to(tl.float32) * scale - largest_t - rest_t
        value, slope = divergence_terms(s, t, mix, KIND)
        loss += tl.sum(tl.where(mask, value, 0.0), 0)
        slopes += tl.sum(tl.where(mask, slope, 0.0), 0)
    tl.store(losses + row, loss)
    kept = saved + 5 * row
    tl.store(kept, largest_s)
    tl.store(kept + 1, rest_s)
    tl.store(kept + 2, largest_t)
    tl.store(kept + 3, rest_t)
    tl.store(kept + 4, slopes)


@triton.jit
def divergence_backward_kernel(
    dstudent,
    student,
    teacher,
    saved,
    gradient,
    rows,
    classes,
    scale,
    mix,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of one row: (slope - probability * sum of slopes) scale gradient / rows."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < classes
    at = row * classes + lane
    kept = saved + 5 * row
    largest_s, rest_s = tl.load(kept), tl.load(kept + 1)
    largest_t, rest_t = tl.load(kept + 2), tl.load(kept + 3)
    slopes = tl.load(kept + 4)
    s = tl.load(student + at, mask=mask, other=0.0).to(tl.float32) * scale - largest_s - rest_s
    t = tl.load(teacher + at, mask=mask, other=0.0).to(tl.float32) * scale - largest_t - rest_t
    _, slope = divergence_terms(s, t, mix, KIND)
    factor = tl.load(gradient).to(tl.float32) * scale / rows
    result = (slope - tl.exp(s) * slopes) * factor
    tl.store(dstudent + at, result.to(dstudent.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


class Divergence(torch.autograd.Function):
    """The mean over rows; the teacher gets no gradient."""

    @staticmethod
    def forward(
        ctx: Any, student: torch.Tensor, teacher: torch.Tensor, kind: str, temperature: float, mix: float
    ) -> torch.Tensor:
        """The divergence `kind` of student and teacher, both logits [rows, classes], at a temperature: one
        number."""
        if student.ndim != 2 or student.shape != teacher.shape or not temperature > 0.0:
            raise ArgumentError(
                f"a divergence needs logits [rows, classes] of one shape and a temperature above 0, not "
                f"{tuple(student.shape)}, {tuple(teacher.shape)} and {temperature}"
            )
        student, teacher = student.contiguous(), teacher.contiguous()
        rows, classes = student.shape
        device = student.device
        losses = torch.empty(rows, dtype=torch.float32, device=device)
        saved = torch.empty((rows, 5), dtype=torch.float32, device=device)
        block = min(TILES.on(device)["block"], power_of_two(classes))
        ctx.settings = (1.0 / temperature, mix, kind, block)
        launch(
            divergence_kernel,
            rows,
            losses,
            saved,
            student,
            teacher,
            classes,
            1.0 / temperature,
            mix,
            label=kind,
            KIND=kind,
            BLOCK=block,
        )
        out = torch.empty((), dtype=student.dtype, device=device)
        count = torch.empty((), dtype=torch.float32, device=device)
        launch(mean_kernel, 1, out, count, losses, None, rows, 0, MEAN=True, BLOCK=1024)
        ctx.save_for_backward(student, teacher, saved)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of the student's logits."""
        student, teacher, saved = ctx.saved_tensors
        scale, mix, kind, block = ctx.settings
        rows, classes = student.shape
        result = torch.empty_like(student)
        launch(
            divergence_backward_kernel,
            (cdiv(classes, block), rows),
            result,
            student,
            teacher,
            saved,
            grad_outputs[0].contiguous(),
            rows,
            classes,
            scale,
            mix,
            label=kind,
            KIND=kind,
            BLOCK=block,
        )
        return result, None, None, None, None


def kl_divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Mean over rows of sum t log(t / s), s and t the softmaxes of logits [rows, classes] / temperature.
    Differentiable in student. Raises ArgumentError."""
    return Divergence.apply(student, teacher, "kl", temperature, 0.5)


def reverse_kl_divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Mean over rows of sum s log(s / t); arguments of `kl_divergence`."""
    return Divergence.apply(student, teacher, "reverse_kl", temperature, 0.5)


def js_divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0, mix: float = 0.5
) -> torch.Tensor:
    """Mean over rows of mix KL(t, m) + (1 - mix) KL(s, m) with m = mix t + (1 - mix) s (Jensen and Shannon's
    for 0.5); arguments of `kl_divergence`, and 0 < mix < 1."""
    if not 0.0 < mix < 1.0:
        raise ArgumentError(f"js_divergence: mix must be between 0 and 1, not {mix}; kl_divergence has ends")
    return Divergence.apply(student, teacher, "js", temperature, mix)


def total_variation(student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Mean over rows of `sum(abs(s - t)) / 2`; arguments of `kl_divergence`."""
    return Divergence.apply(student, teacher, "tv", temperature, 0.5)


# ---- records --------------------------------------------------------------------------------------


def _kl(s: torch.Tensor, t: torch.Tensor, mix: float) -> torch.Tensor:
    return t.exp() * (t - s)


def _reverse_kl(s: torch.Tensor, t: torch.Tensor, mix: float) -> torch.Tensor:
    return s.exp() * (s - t)


def _js(s: torch.Tensor, t: torch.Tensor, mix: float) -> torch.Tensor:
    middle = (mix * t.exp() + (1 - mix) * s.exp()).log()
    return mix * t.exp() * (t - middle) + (1 - mix) * s.exp() * (s - middle)


def _tv(s: torch.Tensor, t: torch.Tensor, mix: float) -> torch.Tensor:
    return (s.exp() - t.exp()).abs() / 2


def _reference(terms: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def reference(
        student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0, mix: float = 0.5
    ) -> torch.Tensor:
        s = (student / temperature).log_softmax(-1)
        return terms(s, (teacher.detach() / temperature).log_softmax(-1), mix).sum(-1).mean()

    return reference


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 7), dtype), tensor((3, 7), dtype, seed=1)))
    yield Sample((tensor((50, 5), dtype).t(), tensor((5, 50), dtype, seed=1), 2.0))
    yield Sample((tensor((2, 3000), dtype), tensor((2, 3000), dtype, seed=1), 0.5))


for _name, _function, _terms in (
    ("kl_divergence", kl_divergence, _kl),
    ("reverse_kl_divergence", reverse_kl_divergence, _reverse_kl),
    ("js_divergence", js_divergence, _js),
    ("total_variation", total_variation, _tv),
):
    register(
        Fused(
            _name,
            "loss",
            _function,
            _reference(_terms),
            _samples,
            (divergence_kernel, divergence_backward_kernel, mean_kernel),
            differentiable=True,
        )
    )
