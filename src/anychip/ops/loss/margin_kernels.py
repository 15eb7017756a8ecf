"""The kernels of margin losses over classes and labels, and of their gradients."""

from __future__ import annotations

import triton
import triton.language as tl

from ..kernels.numbers import double


@triton.jit(do_not_specialize=["margin", "share", "classes"])
def multi_margin_kernel(
    out,
    gradient,
    source,
    target,
    weight,
    classes,
    margin: tl.int64,
    gradient_stride,
    share: tl.int64,
    SQUARED: tl.constexpr,
    BACKWARD: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """With h = max(0, margin - x[target] + x[j]) for j != target: out[row] = w / classes sum of h or h^2,
    or the gradient of x, out[row, j]; w is the weight of the target."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    limit = double(margin).to(COMPUTE)
    label = tl.load(target + row).to(tl.int64)
    tl.device_assert((label >= 0) & (label < classes), "target out of range")
    source += row * classes
    chosen = tl.load(source + label, mask=(label >= 0) & (label < classes), other=0.0).to(COMPUTE)
    factor = 1.0 / classes.to(COMPUTE)
    if weight is not None:
        factor = factor * tl.load(weight + label, mask=(label >= 0) & (label < classes)).to(COMPUTE)
    if BACKWARD:
        factor = factor * tl.load(gradient + row * gradient_stride).to(COMPUTE)
        factor = factor * double(share).to(COMPUTE)
        out += row * classes
    total = tl.zeros((BLOCK,), COMPUTE)
    for block in range(0, classes, BLOCK):
        at = block + lane
        inside = at < classes
        x = tl.load(source + at, mask=inside, other=0.0).to(COMPUTE)
        hinge = limit - chosen + x
        counted = inside & (at != label) & (hinge > 0)
        if BACKWARD:
            slope = tl.where(counted, factor, 0.0)
            if SQUARED:
                slope = slope * (2.0 * hinge)
            total += slope
            tl.store(out + at, slope.to(out.dtype.element_ty), mask=inside & (at != label))
        else:
            if SQUARED:
                hinge = hinge * hinge
            total += tl.where(counted, hinge, 0.0)
    value = tl.sum(total, 0)
    if BACKWARD:
        tl.store(out + label, (-value).to(out.dtype.element_ty), mask=(label >= 0) & (label < classes))
    else:
        tl.store(out + row, value * factor)


@triton.jit(do_not_specialize=["classes"])
def multilabel_kernel(out, marks, source, target, classes, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """out[row] = 1 / classes sum over targets t (up to the first -1) and others i of
    max(0, 1 - x[t] + x[i]); marks[row, i] = whether i is a target."""
    row = tl.program_id(0).to(tl.int64) * classes
    lane = tl.arange(0, BLOCK)
    inside = lane < classes
    x = tl.load(source + row + lane, mask=inside, other=0.0).to(COMPUTE)
    labels = tl.load(target + row + lane, mask=inside, other=-1).to(tl.int64)
    tl.device_assert((labels >= -1) & (labels < classes), "argument #3 (target) is out of range")
    count = tl.min(tl.where(inside & (labels >= 0), classes, lane), 0).to(tl.int32)
    mark = tl.zeros((BLOCK,), tl.int1)
    for k in range(count):
        mark = mark | (lane == tl.load(target + row + k))
    total = tl.zeros((BLOCK,), COMPUTE)
    for k in range(count):
        chosen = tl.load(source + row + tl.load(target + row + k).to(tl.int64)).to(COMPUTE)
        hinge = 1.0 - chosen + x
        total += tl.where(inside & ~mark & (hinge > 0), hinge, 0.0)
    tl.store(out + tl.program_id(0), tl.sum(total, 0) / classes.to(COMPUTE))
    tl.store(marks + row + lane, mark.to(marks.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["share", "classes"])
def multilabel_backward_kernel(
    out,
    gradient,
    source,
    target,
    marks,
    classes,
    gradient_stride,
    share: tl.int64,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradient of x: every hinge above zero adds to its other class and takes from its target."""
    row = tl.program_id(0).to(tl.int64) * classes
    lane = tl.arange(0, BLOCK)
    inside = lane < classes
    factor = tl.load(gradient + tl.program_id(0) * gradient_stride).to(COMPUTE) / classes.to(COMPUTE)
    factor = factor * double(share).to(COMPUTE)
    x = tl.load(source + row + lane, mask=inside, other=0.0).to(COMPUTE)
    labels = tl.load(target + row + lane, mask=inside, other=-1).to(tl.int64)
    mark = tl.load(marks + row + lane, mask=inside, other=0) != 0
    count = tl.min(tl.where(inside & (labels >= 0), classes, lane), 0).to(tl.int32)
    total = tl.zeros((BLOCK,), COMPUTE)
    for k in range(count):
        label = tl.load(target + row + k).to(tl.int64)
        chosen = tl.load(source + row + label).to(COMPUTE)
        hit = (inside & ~mark & (1.0 - chosen + x > 0)).to(COMPUTE)
        total += tl.where(lane == label, -tl.sum(hit, 0), hit)
    tl.store(out + row + lane, (total * factor).to(out.dtype.element_ty), mask=inside)
