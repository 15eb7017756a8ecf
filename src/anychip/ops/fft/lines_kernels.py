"""The kernel of Fourier transforms of lines, several stages at once in registers."""

from __future__ import annotations

import triton
import triton.language as tl

from ..distinct import distinct
from ..kernels.numbers import double
from .line_stages import (
    NO,
    NOT_PAIRED,
    YES,
    before_of,
    first_stage,
    laid_apart,
    last_stage,
    middle_stage,
    radix_of,
    table_of,
    untangle,
)


@triton.jit(do_not_specialize=["scale", "groups", "share"])
def lines_kernel(
    out_real,
    out_imaginary,
    real,
    imaginary,
    first,
    second,
    t_real,
    t_imaginary,
    f_real,
    f_imaginary,
    groups,
    share,
    inner,
    in_outer,
    in_inner,
    in_step,
    out_outer,
    out_inner,
    out_step,
    f_inner,
    scale: tl.int64,
    LENGTH: tl.constexpr,
    CODE: tl.constexpr,
    STAGES: tl.constexpr,
    WIDTH: tl.constexpr,
    PAIRED: tl.constexpr,
    TURNED: tl.constexpr,
    SCALED: tl.constexpr,
    APART: tl.constexpr,
    SPECTRA: tl.constexpr,
    WHOLE: tl.constexpr,
    NEAREST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Transform `share` of the `groups` of WIDTH lines each, by the STAGES factors in CODE. Lines o * inner +
    i begin at o * outer + i * inner stride; `first` and `second` are the programs' work areas.

    SPECTRA: 1 if half the spectra (WHOLE: the spectra) of real signals are wanted whose pairs the lines are,
    2 if they are given and the pairs are wanted. NEAREST: the distance of neighbours that are read, if it is
    known to be 2; `f` is then e to the power of -pi i k / LENGTH."""
    distinct(first, second)
    distinct(first, real)
    distinct(second, real)
    distinct(first, t_real)
    distinct(first, t_imaginary)
    distinct(second, t_real)
    distinct(second, t_imaginary)
    distinct(first, f_real)
    distinct(first, f_imaginary)
    distinct(second, f_real)
    distinct(second, f_imaginary)
    distinct(first, out_real)
    distinct(first, out_imaginary)
    distinct(second, out_real)
    distinct(second, out_imaginary)
    if imaginary is not None:
        distinct(first, imaginary)
        distinct(second, imaginary)
    if NEAREST == 2 and WIDTH == 1:
        step = 2
        side = in_inner
    elif NEAREST == 2:
        step = in_step
        side = 2
    else:
        step = in_step
        side = in_inner
    program = tl.program_id(0).to(tl.int64)
    factor = double(scale).to(first.dtype.element_ty)
    HALF: tl.constexpr = LENGTH * WIDTH + APART
    area = 2 * HALF
    first += program * area
    second += program * area
    blocks = tl.cdiv(inner, WIDTH)
    for group in range(program * share, tl.minimum((program + 1) * share, groups)):
        outer = (group // blocks).to(tl.int64)
        line = (group % blocks).to(tl.int64) * WIDTH
        inside_b = tl.arange(0, WIDTH) < inner - line
        source = outer * in_outer + line * in_inner
        target = outer * out_outer + line * out_inner
        if imaginary is None:
            turned = None
        else:
            turned = imaginary + source
        if SPECTRA == 2:
            laid_apart(
                real + source,
                turned,
                side,
                step,
                inside_b,
                second,
                second + HALF,
                LENGTH + 1,
                WIDTH,
                BLOCK,
            )
            tl.debug_barrier()
            first_stage(
                second,
                second + HALF,
                1,
                WIDTH,
                inside_b,
                first,
                first + HALF,
                t_real,
                t_imaginary,
                f_real,
                f_imaginary,
                radix_of(CODE, 0),
                LENGTH // radix_of(CODE, 0),
                WIDTH,
                YES,
                BLOCK,
            )
        else:
            first_stage(
                real + source,
                turned,
                side,
                step,
                inside_b,
                first,
                first + HALF,
                t_real,
                t_imaginary,
                f_real,
                f_imaginary,
                radix_of(CODE, 0),
                LENGTH // radix_of(CODE, 0),
                WIDTH,
                NO,
                BLOCK,
            )
        tl.debug_barrier()
        for stage in tl.static_range(1, STAGES - 1):
            if stage % 2 == 1:
                middle_stage(
                    first,
                    first + HALF,
                    second,
                    second + HALF,
                    t_real + table_of(CODE, stage, LENGTH),
                    t_imaginary + table_of(CODE, stage, LENGTH),
                    radix_of(CODE, stage),
                    LENGTH // before_of(CODE, stage + 1),
                    before_of(CODE, stage) * WIDTH,
                    BLOCK,
                )
            else:
                middle_stage(
                    second,
                    second + HALF,
                    first,
                    first + HALF,
                    t_real + table_of(CODE, stage, LENGTH),
                    t_imaginary + table_of(CODE, stage, LENGTH),
                    radix_of(CODE, stage),
                    LENGTH // before_of(CODE, stage + 1),
                    before_of(CODE, stage) * WIDTH,
                    BLOCK,
                )
            tl.debug_barrier()
        if STAGES % 2 == 0:
            work = first
            other = second
        else:
            work = second
            other = first
        if SPECTRA == 1:
            last_stage(
                work,
                work + HALF,
                other,
                other + HALF,
                1,
                WIDTH,
                inside_b,
                f_real,
                f_imaginary,
                0,
                factor,
                radix_of(CODE, STAGES - 1),
                LENGTH // radix_of(CODE, STAGES - 1),
                WIDTH,
                NOT_PAIRED,
                NO,
                NO,
                BLOCK,
            )
            tl.debug_barrier()
            untangle(
                other,
                other + HALF,
                out_real + target,
                out_imaginary + target,
                out_inner,
                out_step,
                inside_b,
                f_real,
                f_imaginary,
                factor,
                LENGTH,
                WIDTH,
                PAIRED,
                WHOLE,
                BLOCK,
            )
        else:
            last_stage(
                work,
                work + HALF,
                out_real + target,
                out_imaginary + target,
                out_inner,
                out_step,
                inside_b,
                f_real + line,
                f_imaginary + line,
                f_inner,
                factor,
                radix_of(CODE, STAGES - 1),
                LENGTH // radix_of(CODE, STAGES - 1),
                WIDTH,
                PAIRED,
                TURNED,
                SCALED,
                BLOCK,
            )
        tl.debug_barrier()
