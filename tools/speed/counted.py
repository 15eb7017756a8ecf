"""What `tools.speed.counts` counts, in a process of its own: kernels, eager calls, a compilation.

    valgrind --tool=callgrind --instr-atstart=no python -m tools.speed.counted FACTS [GROUP ...]

Flows in: groups of rows, all without. Flows out: files of callgrind's named `GROUP; NAME; CALLS`, and in the
file FACTS the processor that this process saw and what kernels were compiled for. Without Valgrind the same
program fills the caches of compiled kernels. Everything is called before it is counted, without being
instrumented: no count holds an import.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from llvmlite import binding as llvm

from anychip.bench import overhead, suite
from anychip.bench.overhead import SIDE, Call
from anychip.compiler import pipeline
from anychip.compiler.targets import host, machine
from anychip.ops.launching import planned_launches
from anychip.ops.registry import overloads
from anychip.pytorch import using
from anychip.runtime import launches
from anychip.triton_backend.origin import front_end
from tools.speed.callgrind import Counter

KERNELS = (
    "gelu f32 256x1024",
    "silu_mul bf16 256x1024",
    "softmax f32 256x1024",
    "layer_norm bf16 256x1024",
    "rms_norm_backward f32 256x1024",
    "sum_rows f32 256x1024",
    "argmax_rows f32 256x1024",
    "cumsum f32 256x1024",
    "sort f32 64x256",
    "transpose f32 256x256",
    "gather f32 256x1024",
    "dropout f32 256x1024",
    "histogram f32 65536",
    "matmul f32 256x256x256",
    "matmul bf16 256x256x256",
    "matmul i8 256x256x256",
    "gemv_int4_weights bf16 1024x1024",
    "attention_causal f32 1x4x128x64",
    "conv2d f32 1x64x28x28",
    "cross_entropy f32 64x1024",
)
"""Rows of the suite, small ones of every family."""
COMPILED = "rms_norm_backward f32 256x1024"
"""The row whose first kernel is compiled."""
KERNEL_CALLS, SMALL_CALLS, WARM_CALLS = 2, 100, 40


class Counted(NamedTuple):
    """A count to be: `call` is warm, and made `calls` times, under the portable policy or none."""

    group: str
    name: str
    calls: int
    call: Callable[[], Any]
    portable: bool = False


def checks() -> Iterator[Counted]:
    """What shows that counts are those of the calls: no call, some, and twice as many. The first calls are
    not compared: the loop that makes them is new to Python then."""
    x = torch.rand(SIDE)
    call = _warm(lambda: x.add_(1.0))
    yield Counted("check", "first", SMALL_CALLS, call)
    yield Counted("check", "none", 0, call)
    yield Counted("check", "once", SMALL_CALLS, call)
    yield Counted("check", "twice", 2 * SMALL_CALLS, call)


def kernels() -> Iterator[Counted]:
    """Rows of the suite: the kernel, and the Python that launches it."""
    for label in KERNELS:
        (case,) = suite.cases([label])
        work = case.make()
        yield Counted(
            "kernel", label, KERNEL_CALLS, _warm(lambda w=work: w.ours(*w.arguments), KERNEL_CALLS + 1)
        )


def operators() -> Iterator[Counted]:
    """Small calls under the portable policy: as a user writes them, through PyTorch's dispatcher, and the
    operator's function alone."""
    with using("portable"):
        for call in small_calls():
            with planned_launches() as seen:
                call.written()
            if not seen:
                raise SystemExit(f"{call.label} launches none of our kernels: the count would be PyTorch's")
            implementation = overloads()[call.overload][1].implementation
            yield Counted("eager call", call.label, SMALL_CALLS, _warm(call.written), portable=True)
            alone = _warm(lambda i=implementation, c=call: i(*c.arguments))
            yield Counted("operator alone", call.label, SMALL_CALLS, alone, portable=True)


def small_calls() -> list[Call]:
    """Those of `anychip bench overhead`, and two operators of other kinds."""
    x, index = torch.rand(SIDE, SIDE), torch.tensor([3, 1, 2])
    return [
        *overhead.calls(),
        Call("sum", "sum.dim_IntList", (x, [-1]), lambda: x.sum(-1)),
        Call("index_select", "index_select", (x, 0, index), lambda: x.index_select(0, index)),
    ]


def compilation() -> Iterator[Counted]:
    """One compilation with no cache, in three parts: Triton's front end, our compiler, LLVM."""
    (case,) = suite.cases([COMPILED])
    work = case.make()
    with launches.record() as recorded:
        work.ours(*work.arguments)
    origin = recorded[0].origin
    options, target = origin.metadata._asdict(), origin.metadata.target
    text = front_end(origin.source, target, options)
    lowered = pipeline.lower(text, host()).llvm_ir
    yield Counted("compilation", "front end", 1, lambda: front_end(origin.source, target, options))
    yield Counted("compilation", "our compiler", 1, lambda: pipeline.lower(text, host()))
    machine.emit_object(lowered, host())
    yield Counted("compilation", "LLVM", 1, lambda: machine.emit_object(lowered, host()))


def _warm(call: Callable[[], Any], calls: int = WARM_CALLS) -> Callable[[], Any]:
    for _ in range(calls):
        call()
    return call


GROUPS: dict[str, Callable[[], Iterator[Counted]]] = {
    "check": checks,
    "kernel": kernels,
    "eager": operators,
    "compilation": compilation,
}


def main() -> None:
    facts, chosen = Path(sys.argv[1]), sys.argv[2:] or list(GROUPS)
    counter = Counter()
    gc.disable()
    torch.set_num_threads(1)
    with torch.no_grad():
        rows = [row for group in chosen for row in GROUPS[group]()]
        counter.start()
        for portable, same in groupby(rows, lambda row: row.portable):
            with using("portable") if portable else nullcontext():
                for row in same:
                    counter.count(f"{row.group}; {row.name}; {row.calls}", row.call, row.calls)
                    if counter.is_counting:
                        print(f"counted: {row.group}, {row.name}", flush=True)
    features = {name for name, present in llvm.get_host_cpu_features().items() if present}
    facts.write_text(
        json.dumps(
            {
                "counting": counter.is_counting,
                "target": host().name,
                "shown": llvm.get_host_cpu_name(),
                "avx512": any(name.startswith("avx512") for name in features),
            }
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
