"""Loops of known work, in machine code made for this machine: what its limits are measured with.

Flows in: sizes and counts. Flows out: seconds. The loops are LLVM IR, compiled by the compiler's own
back end and linked by the runtime, so nothing but Anychip's own parts stands behind a roof.
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..compiler import targets
from ..compiler.codegen.dot_instruction import factor_type
from ..compiler.targets import Target, machine
from ..runtime.loader import LoadedCode, load

ACCUMULATORS = 20
"""Independent chains in a multiply-add loop: enough for four cycles of latency and two units, few
enough for the registers of every target with vectors of its own width."""


def scalar_chain(steps: int) -> float:
    """Seconds of `steps` dependent scalar multiply-adds: a clock of the core's frequency."""
    return _seconds(_function("chain"), steps)


def multiply_adds(element: str, steps: int, threads: int) -> tuple[float, float] | None:
    """(operations, seconds) of a loop that only multiplies and adds `element` on each of `threads`;
    None where this machine has no instruction for that element."""
    work = _operations(targets.host()).get(element)
    if work is None:
        return None
    function = _function(f"fma_{element}")
    function(max(1, steps // 10))
    seconds = _on_threads(threads, lambda part: _seconds(function, steps))
    return float(work * ACCUMULATORS * steps * threads), seconds


class Triad:
    """a = b + s c over arrays that together hold `bytes` bytes, divided among threads."""

    def __init__(self, bytes: int, threads: int):
        lane_bytes = 64
        self.share = max(lane_bytes, bytes // 3 // threads // lane_bytes * lane_bytes)
        self.threads = threads
        stride = self.share + 4096 + lane_bytes
        self._memory = [(ctypes.c_char * (3 * stride + lane_bytes))() for _ in range(threads)]
        self._places = []
        for memory in self._memory:
            start = ctypes.addressof(memory) + lane_bytes - ctypes.addressof(memory) % lane_bytes
            ctypes.memset(start, 0, 3 * stride)
            self._places.append([start + k * stride for k in range(3)])

    def run(self, times: int, *, streaming: bool) -> float:
        """Bytes moved in a second; `streaming` stores past the caches."""
        function = _function("triad_streaming" if streaming else "triad")

        def part(number: int) -> float:
            a, b, c = self._places[number]
            return _seconds(function, a, b, c, self.share, times)

        return 3.0 * self.share * self.threads * times / _on_threads(self.threads, part)


def _seconds(function: Callable[..., None], *arguments: int) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def _on_threads(threads: int, part: Callable[[int], float]) -> float:
    """Seconds that `part` takes on every one of `threads` at once: the slowest's own time."""
    if threads == 1:
        return part(0)
    with ThreadPoolExecutor(threads) as pool:
        return max(pool.map(part, range(threads)))


@functools.cache
def _code() -> LoadedCode:
    target = targets.host()
    texts = {"chain": _chain(), "triad": _triad(target, False), "triad_streaming": _triad(target, True)}
    texts |= {f"fma_{element}": _fma_loop(element, target) for element in _operations(target)}
    symbols = tuple(f"anychip.bench.{name}" for name in texts)
    declarations = "\n".join(sorted({line for text in texts.values() for line in text[1]}))
    module = declarations + "\n" + "\n".join(text[0] for text in texts.values())
    module += "\n!0 = !{i32 1}\nattributes #0 = { nounwind }\n"
    return load(machine.emit_object(module, target), symbols)


@functools.cache
def _function(name: str) -> Callable[..., None]:
    parameters = [ctypes.c_int64] * (5 if name.startswith("triad") else 1)
    return ctypes.CFUNCTYPE(None, *parameters)(_code()[f"anychip.bench.{name}"])


def _operations(target: Target) -> dict[str, int]:
    """Element -> operations (multiplications and additions) of one instruction of the loop."""
    bits = target.vector_bits
    found = {"f32": 2 * max(1, bits // 32), "f64": 2 * max(1, bits // 64)}
    found |= {dot.element: 2 * dot.group * target.lanes(32) for dot in target.dots}
    return found


Text = tuple[str, tuple[str, ...]]
"""A function's definition, and the declarations that it needs."""


def _fma_loop(element: str, target: Target) -> Text:
    dot = target.dot(element)
    if dot is not None:
        lanes = target.lanes(32)
        intrinsic = f"@{dot.intrinsic}"
        kind = f"<{lanes} x {'i32' if element[0] == 'i' else 'float'}>"
        operand = str(factor_type(dot, lanes))
        declare = f"declare {kind} {intrinsic}({kind}, {operand}, {operand})"

        def step(value: str) -> str:
            return f"call {kind} {intrinsic}({kind} {value}, {operand} %x, {operand} %y)"
    else:
        scalar = {"f32": "float", "f64": "double"}[element]
        lanes = target.lanes(int(element[1:]))
        kind = operand = f"<{lanes} x {scalar}>"
        intrinsic = f"@llvm.fma.v{lanes}{element}"
        declare = f"declare {kind} {intrinsic}({kind}, {kind}, {kind})"

        def step(value: str) -> str:
            return f"call {kind} {intrinsic}({kind} %x, {kind} %y, {kind} {value})"

    names = range(ACCUMULATORS)
    lines = [f'define void @"anychip.bench.fma_{element}"(i64 %steps) {{', "entry:"]
    lines += [f"  %p = alloca {operand}, align 64", f"  store volatile {operand} zeroinitializer, ptr %p"]
    lines += [f"  %x = load volatile {operand}, ptr %p", f"  %y = load volatile {operand}, ptr %p"]
    lines += [f"  %s{k} = load volatile {kind}, ptr %p" for k in names]
    lines += ["  br label %loop", "loop:", "  %i = phi i64 [ 0, %entry ], [ %n, %loop ]"]
    lines += [f"  %a{k} = phi {kind} [ %s{k}, %entry ], [ %b{k}, %loop ]" for k in names]
    lines += [f"  %b{k} = {step(f'%a{k}')}" for k in names]
    lines += ["  %n = add i64 %i, 1", "  %more = icmp slt i64 %n, %steps"]
    lines += ["  br i1 %more, label %loop, label %done", "done:"]
    lines += [f"  store volatile {kind} %b{k}, ptr %p" for k in names]
    return "\n".join([*lines, "  ret void", "}"]), (declare,)


def _chain() -> Text:
    text = """
define void @"anychip.bench.chain"(i64 %steps) {
entry:
  %p = alloca double, align 8
  store volatile double 1.0, ptr %p
  %s = load volatile double, ptr %p
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %n, %loop ]
  %a = phi double [ %s, %entry ], [ %c, %loop ]
  %b = fmul double %a, %s
  %c = fadd double %b, %s
  %n = add i64 %i, 1
  %more = icmp slt i64 %n, %steps
  br i1 %more, label %loop, label %done
done:
  store volatile double %c, ptr %p
  ret void
}"""
    return text, ()


def _triad(target: Target, streaming: bool) -> Text:
    kind = f"<{target.lanes(32)} x float>"
    step = 4 * target.lanes(32)
    hint = ", !nontemporal !0" if streaming else ""
    name = "triad_streaming" if streaming else "triad"
    text = f"""
define void @"anychip.bench.{name}"(ptr noalias %a, ptr noalias %b, ptr noalias %c, i64 %bytes, i64 %times) {{
entry:
  br label %again
again:
  %t = phi i64 [ 0, %entry ], [ %u, %next ]
  br label %loop
loop:
  %i = phi i64 [ 0, %again ], [ %n, %loop ]
  %pa = getelementptr i8, ptr %a, i64 %i
  %pb = getelementptr i8, ptr %b, i64 %i
  %pc = getelementptr i8, ptr %c, i64 %i
  %x = load {kind}, ptr %pb, align 64
  %y = load {kind}, ptr %pc, align 64
  %m = fmul {kind} %y, splat (float 3.0)
  %z = fadd {kind} %x, %m
  store {kind} %z, ptr %pa, align 64{hint}
  %n = add i64 %i, {step}
  %more = icmp slt i64 %n, %bytes
  br i1 %more, label %loop, label %next
next:
  call void asm sideeffect "", "~{{memory}}"()
  %u = add i64 %t, 1
  %go = icmp slt i64 %u, %times
  br i1 %go, label %again, label %done
done:
  ret void
}}"""
    return text, ()
